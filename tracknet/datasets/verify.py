"""Reads every byte of a build once and holds it against manifest and index: all faults, by shard and key.

A shard is hashed, walked member by member and compared in one pass, with one member in memory at a time. What
is behind a fault is still checked, so that several faults in one shard are all found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from tracknet.datasets.contents import Contents
from tracknet.datasets.index import misplaced_rows
from tracknet.datasets.sample_json import IMAGE_SUFFIX, SampleLabel, read_sample_json, split_name
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME, ShardEntry
from tracknet.datasets.table import NO_STATUS
from tracknet.utils.geometry import Size
from tracknet.utils.images import ImageError, decode_image, stated_size
from tracknet.utils.tar_header import shown
from tracknet.utils.tar_walk import Expected, TarFault, TarMember, walk_tar

MOST_FAULTS = 1000
"""Kept for each shard; the others are counted."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong: the file, the key or member where there is one, and what."""

    file: str
    key: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


@dataclass(slots=True)
class Verification:
    """What was read and what is wrong with it.

    Attributes:
        shards: read.
        frames: whose bytes have the checksum that the index states.
        bytes: read.
        faults: in the order of the manifest.
        more_faults: beyond `MOST_FAULTS` in one shard, counted only.
        notes: differences that are no damage.
    """

    shards: int = 0
    frames: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    more_faults: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Of all faults."""
        return len(self.faults) + self.more_faults


def verify_build(
    contents: Contents, *, decode: bool = False, on_bytes: Callable[[int], object] = lambda count: None
) -> Verification:
    """Checks a build as a whole.

    Args:
        contents: its manifest and index.
        decode: decode every picture too, which takes ten times as long and finds nothing in what was built and
            is undamaged.
        on_bytes: told how many bytes were read, again and again.
    """
    result = Verification()
    result.faults += _build_faults(contents)
    rows_of_shard: dict[str, list[int]] = {}
    for row, name in enumerate(contents["shard"].tolist()):
        rows_of_shard.setdefault(name, []).append(row)
    known = {entry.name for entry in contents.manifest.shards}
    for name in rows_of_shard.keys() - known:
        count = len(rows_of_shard[name])
        result.faults.append(
            Fault(INDEX_NAME, None, f"{count:,} rows are of {shown(name)!r}, no shard of this build")
        )
    older_labels = 0
    for entry in contents.manifest.shards:
        rows = np.array(rows_of_shard.get(entry.name, []), np.int64)
        check = _ShardCheck(contents, entry, rows, decode=decode)
        faults = list(_capped(check.run(on_bytes), result))
        if check.sha256 != entry.sha256 and check.was_read and not faults:
            faults = [
                Fault(
                    entry.name,
                    None,
                    "its bytes are not those that were built (sha256), though every "
                    "member is as the index says: its headers or labels were changed",
                )
            ]
        result.faults += faults
        result.shards += check.was_read
        result.frames += check.good_frames
        result.bytes += check.bytes_read
        older_labels += check.older_labels
    if older_labels:
        result.notes.append(
            f"{older_labels:,} labels are newer in {INDEX_NAME}, which has authority, than in the tars' KEY.json"
        )
    return result


def _capped(faults: Iterator[Fault], result: Verification) -> Iterator[Fault]:
    for number, fault in enumerate(faults):
        if number < MOST_FAULTS:
            yield fault
        else:
            result.more_faults += 1


def _build_faults(contents: Contents) -> Iterator[Fault]:
    """What index and manifest alone give away."""
    manifest = contents.manifest
    if not contents.index_is_the_manifests:
        yield Fault(INDEX_NAME, None, f"is not the index that {MANIFEST_NAME} was written with (sha256)")
    names = [entry.name for entry in manifest.shards]
    for name, count in Counter(names).items():
        if count > 1:
            yield Fault(MANIFEST_NAME, None, f"lists {name} {count} times")
    for path in sorted(contents.folder.glob("*.tar")):
        if path.name not in names:
            yield Fault(path.name, None, f"is no shard of this build: {MANIFEST_NAME} does not list it")
    frames = zip(*(contents[name].tolist() for name in ("game", "clip", "frame")), strict=True)
    for what, values in (
        ("key", contents["key"].tolist()),
        ("frame", ["{}/{} {}".format(*f) for f in frames]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                yield Fault(INDEX_NAME, None, f"has {count} rows of {what} {shown(value)}")
    split_of = {entry.name: entry.split for entry in manifest.shards}
    wrong = Counter(
        (shard, split)
        for shard, split in zip(contents["shard"].tolist(), contents["split"].tolist(), strict=True)
        if split_of.get(shard, split) != split
    )
    for (shard, split), count in wrong.items():
        yield Fault(
            INDEX_NAME,
            None,
            f"{count:,} rows of {shard} are of split {shown(split)!r}, not {split_of[shard]}",
        )
    for where, stated, found in _totals(contents):
        if stated != found:
            yield Fault(MANIFEST_NAME, None, f"totals: {where} is {stated}, the index has {found}")


def _totals(contents: Contents) -> Iterator[tuple[str, Any, Any]]:
    """Every total that the manifest states, as (name, stated, found)."""
    totals = contents.manifest.totals
    yield "frames", totals.get("frames"), len(contents)
    yield "bytes", totals.get("bytes"), sum(entry.bytes for entry in contents.manifest.shards)
    clips = contents.clip_ids
    parts = totals.get("splits")
    for split, stated in (parts if isinstance(parts, dict) else {}).items():
        mine = contents["split"] == split
        counts = Counter(contents["visibility"][mine].tolist())
        found: dict[str, Any] = {
            "frames": int(mine.sum()),
            "games": len(set(contents["game"][mine].tolist())),
            "clips": len(np.unique(clips[mine])),
            "visibility": {str(code): counts[code] for code in sorted(counts)},
            "shards": len(list(contents.manifest.shards_of(split))),
        }
        for name, value in found.items():
            yield f"{split} {name}", stated.get(name) if isinstance(stated, dict) else None, value


class _ShardCheck:
    """One shard against its rows of the index."""

    def __init__(self, contents: Contents, entry: ShardEntry, rows: Rows, *, decode: bool) -> None:
        self._contents, self._entry, self._rows, self._decode = contents, entry, rows, decode
        self._made_elsewhere = bool(contents.manifest.config.get("made_elsewhere"))
        self._labels_changed = getattr(contents.manifest, "labels", None) is not None
        self.sha256 = ""
        self.was_read = False
        self.bytes_read = 0
        self.good_frames = 0
        self.older_labels = 0

    def run(self, on_bytes: Callable[[int], object]) -> Iterator[Fault]:
        """All faults of the shard."""
        entry = self._entry
        path = self._contents.folder / entry.name
        if not path.is_file():
            yield self._fault(None, "is missing")
            return
        if len(self._rows) != entry.frames:
            yield self._fault(
                None, f"has {len(self._rows)} rows in {INDEX_NAME}, {MANIFEST_NAME} says {entry.frames}"
            )
        length = path.stat().st_size
        if length != entry.bytes:
            yield self._fault(None, f"has {length:,} bytes, {MANIFEST_NAME} says {entry.bytes:,}")
        misplaced = self._misplaced(length)
        for row, what in misplaced.items():
            yield self._fault(shown(self._contents["key"][row]), f"its row in {INDEX_NAME} is wrong: {what}")
        yield from self._order()
        try:
            yield from self._walk(path, length, misplaced, on_bytes)
        except OSError as error:
            yield self._fault(None, f"cannot be read: {error.strerror}")

    def _misplaced(self, length: int) -> dict[int, str]:
        offset, size = self._contents["offset"][self._rows], self._contents["size"][self._rows]
        nought = np.zeros(len(self._rows), np.int32)
        found = misplaced_rows(nought, offset, size, np.array([length], np.int64))
        return {int(self._rows[row]): what for row, what in found.items()}

    def _order(self) -> Iterator[Fault]:
        """Samples of our own builds lie in the order of the index; in tars made elsewhere, as somebody put them."""
        back = np.flatnonzero(np.diff(self._contents["offset"][self._rows]) < 0)
        if len(back) and not self._made_elsewhere:
            key = shown(self._contents["key"][self._rows[back[0] + 1]])
            yield self._fault(key, "lies before its predecessor in the tar: the members are out of order")

    def _walk(
        self, path: Path, length: int, misplaced: dict[int, str], on_bytes: Callable[[int], object]
    ) -> Iterator[Fault]:
        row_at = {int(self._contents["offset"][row]): int(row) for row in self._rows if row not in misplaced}
        expected = {
            at: Expected(f"{self._contents['key'][row]}.jpg", int(self._contents["size"][row]))
            for at, row in row_at.items()
        }
        digest = hashlib.sha256()

        def take(block: bytes) -> None:
            digest.update(block)
            self.bytes_read += len(block)
            on_bytes(len(block))

        missing = dict(row_at)
        pending: tuple[str, int | None] | None = None  # the picture whose label must come next
        with path.open("rb") as file:
            self.was_read = True
            for event in walk_tar(file, length, expected=expected, on_bytes=take):
                if isinstance(event, TarFault):
                    yield self._fault(None, str(event))
                    pending = None if event.name is None or pending is None else pending
                    continue
                key, suffix = split_name(event.name)
                if suffix == ".json":
                    if pending is None or pending[0] != key:
                        yield self._fault(shown(event.name), "does not follow the picture of its key")
                    elif pending[1] is not None:
                        yield from self._label(event, pending[1])
                    pending = None
                    continue
                if pending is not None:
                    yield self._fault(pending[0], "its picture has no .json right behind it")
                pending = None
                if not IMAGE_SUFFIX.fullmatch(suffix):
                    yield self._fault(shown(event.name), "is neither a picture nor a label")
                    continue
                row = missing.pop(event.offset, None)
                pending = (key, row)
                if row is None:
                    yield self._fault(shown(event.name), f"has no row in {INDEX_NAME} that points to it")
                else:
                    yield from self._picture(event, key, row)
            if pending is not None:
                yield self._fault(pending[0], "its picture has no .json right behind it")
        self.sha256 = digest.hexdigest()
        for at, row in missing.items():
            yield self._fault(
                shown(self._contents["key"][row]),
                f"{INDEX_NAME} places it at byte {at:,}, where no member is found",
            )

    def _picture(self, member: TarMember, key: str, row: int) -> Iterator[Fault]:
        contents = self._contents
        if key != contents["key"][row]:
            yield self._fault(
                shown(member.name), f"{INDEX_NAME} calls the picture here {shown(contents['key'][row])}"
            )
        size, crc = int(contents["size"][row]), int(contents["crc32c"][row])
        if len(member.content) != size:
            yield self._fault(
                key, f"its picture has {len(member.content):,} bytes, {INDEX_NAME} says {size:,}"
            )
            return
        if google_crc32c.value(member.content) != crc:
            yield self._fault(
                key, f"its picture is damaged: it has not the checksum {crc:08x} of {INDEX_NAME}"
            )
            return
        problem = self._bad_picture(member.content, row)
        if problem:
            yield self._fault(key, f"its picture {problem}")
        else:
            self.good_frames += 1

    def _bad_picture(self, content: bytes, row: int) -> str | None:
        stored = self._contents.manifest.image_size
        indexed = Size(int(self._contents["width"][row]), int(self._contents["height"][row]))
        if indexed != stored:
            return f"is {indexed} by {INDEX_NAME}, {MANIFEST_NAME} says {stored}"
        try:
            found = stated_size(content)
            if found == stored and self._decode:
                height, width = decode_image(content).shape[:2]
                found = Size(width, height)
        except ImageError as error:
            return str(error)
        return None if found == stored else f"is {found}, not {stored}"

    def _label(self, member: TarMember, row: int) -> Iterator[Fault]:
        contents = self._contents
        key = shown(contents["key"][row])
        try:
            found = read_sample_json(member.content, key=key, stored=contents.manifest.image_size)
        except ValueError as error:
            yield self._fault(f"{key}.json", str(error))
            return
        differing = _differences(found, contents, row)
        if self._labels_changed and differing.keys() <= {"xy_px", "visibility", "status"}:
            self.older_labels += bool(differing)
        elif differing:
            said = ", ".join(
                f"{name} {here} there, {there} in {INDEX_NAME}" for name, (here, there) in differing.items()
            )
            yield self._fault(f"{key}.json", f"does not agree with the index: {said}")

    def _fault(self, key: str | None, message: str) -> Fault:
        return Fault(self._entry.name, key, message)


def _differences(label: SampleLabel, contents: Contents, row: int) -> dict[str, tuple[Any, Any]]:
    """Fields in which a label and its row differ: name -> (label's, index's)."""
    x, y = float(contents["x_px"][row]), float(contents["y_px"][row])
    status = int(contents["status"][row])
    indexed = {
        "game": contents["game"][row],
        "clip": contents["clip"][row],
        "frame": int(contents["frame"][row]),
        "xy_px": None if np.isnan(x) or np.isnan(y) else (x, y),
        "visibility": int(contents["visibility"][row]),
        "status": None if status == NO_STATUS else status,
        "source_size": Size(int(contents["source_width"][row]), int(contents["source_height"][row])),
    }
    return {
        name: (found, value) for name, value in indexed.items() if (found := getattr(label, name)) != value
    }
