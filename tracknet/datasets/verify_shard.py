"""One shard of a build, read once: every member against its row of the index, and every row against its member."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from tracknet.datasets.contents import Contents
from tracknet.datasets.index_checks import misplaced_rows
from tracknet.datasets.manifest import Manifest, ShardEntry
from tracknet.datasets.sample_json import IMAGE_SUFFIX, SampleLabel, read_sample_json, split_name
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME, sample_json
from tracknet.datasets.table import NO_STATUS
from tracknet.utils.geometry import Size
from tracknet.utils.images import ImageError, decode_image, stated_size
from tracknet.utils.tar_header import shown
from tracknet.utils.tar_walk import Expected, TarMember, walk_tar

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BuildFault:
    """One thing wrong: the file, the key or member where there is one, and what."""

    file: str
    key: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


class ShardCheck:
    """One shard against its rows of the index.

    Attributes:
        sha256: of its bytes, once `run` has ended; empty if it could not be read.
        bytes_read: so far.
        good_frames: pictures that are as the index says.
        older_labels: labels that `--labels-only` replaced in the index.
        suffix: of the members that hold the content.
        content: what messages call that.
    """

    suffix = ".jpg"
    content = "picture"

    def __init__(self, contents: Contents, entry: ShardEntry, rows: Rows, *, decode: bool) -> None:
        self._contents, self._entry, self._rows, self._decode = contents, entry, rows, decode
        self._made_elsewhere = bool(contents.manifest.config.get("made_elsewhere"))
        self._newer_labels = newer_labels(contents.manifest)
        self._missing: dict[int, int] = {}  # offset -> row of the pictures that were not met yet
        self._picture_before: tuple[str, int | None] | None = None  # key and row, until its label comes
        self._label_before: TarMember | None = None  # until its picture comes, in tars made elsewhere
        self.sha256 = ""
        self.bytes_read = 0
        self.good_frames = 0
        self.older_labels = 0

    def run(self, on_bytes: Callable[[int], object]) -> Iterator[BuildFault]:
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
            return
        newer = self._newer_labels.get(entry.name, 0)
        if self._newer_labels and newer != self.older_labels:
            yield self._fault(
                None, f"{self.older_labels:,} labels differ from the index, {MANIFEST_NAME} says {newer:,}"
            )

    def _misplaced(self, length: int) -> dict[int, str]:
        offset, size = self._contents["offset"][self._rows], self._contents["size"][self._rows]
        nought = np.zeros(len(self._rows), np.int32)
        found = misplaced_rows(nought, offset, size, np.array([length], np.int64))
        return {int(self._rows[row]): what for row, what in found.items()}

    def _order(self) -> Iterator[BuildFault]:
        """Samples of our own builds lie in the order of the index; in tars made elsewhere, in any order."""
        back = np.flatnonzero(np.diff(self._contents["offset"][self._rows]) < 0)
        if len(back) and not self._made_elsewhere:
            key = shown(self._contents["key"][self._rows[back[0] + 1]])
            yield self._fault(key, "lies before its predecessor in the tar: the members are out of order")

    def _walk(
        self, path: Path, length: int, misplaced: dict[int, str], on_bytes: Callable[[int], object]
    ) -> Iterator[BuildFault]:
        row_at = {int(self._contents["offset"][row]): int(row) for row in self._rows if row not in misplaced}
        expected = {
            at: Expected(self._member_name(row), int(self._contents["size"][row]))
            for at, row in row_at.items()
        }
        digest = hashlib.sha256()

        def take(block: bytes) -> None:
            digest.update(block)
            self.bytes_read += len(block)
            on_bytes(len(block))

        self._missing = row_at
        self._picture_before = self._label_before = None
        with path.open("rb") as file:
            for event in walk_tar(file, length, expected=expected, on_bytes=take):
                if isinstance(event, TarMember):
                    yield from self._member(event)
                    continue
                yield self._fault(event.name or f"at byte {event.offset:,}", event.message)
                if event.name is None:
                    # What lay here was not seen, so nothing is said of what should have followed.
                    self._picture_before = self._label_before = None
        yield from self._no_label()
        yield from self._no_picture()
        self.sha256 = digest.hexdigest()
        for at, row in self._missing.items():
            yield self._fault(
                shown(self._contents["key"][row]),
                f"{INDEX_NAME} places it at byte {at:,}, where no member is found",
            )

    def _member(self, member: TarMember) -> Iterator[BuildFault]:
        """A picture, which must have a row, or its label: right behind it, or beside it in tars made elsewhere."""
        key, suffix = split_name(member.name)
        if (suffix.lower() if self._made_elsewhere else suffix) == ".json":
            yield from self._label_met(member, key)
            return
        yield from self._no_label()
        if not IMAGE_SUFFIX.fullmatch(suffix):
            yield self._fault(shown(member.name), "is neither a picture nor a label")
            return
        label = self._label_before
        if label is not None and split_name(label.name)[0] == key:
            self._label_before = None
        else:
            label = None
            yield from self._no_picture()
        row = self._missing.pop(member.offset, None)
        if label is None:
            self._picture_before = (key, row)
        if row is None:
            yield self._fault(shown(member.name), f"has no row in {INDEX_NAME} that points to it")
            return
        yield from self._picture(member, key, row)
        if label is not None:
            yield from self._label(label, row)

    def _label_met(self, member: TarMember, key: str) -> Iterator[BuildFault]:
        before, self._picture_before = self._picture_before, None
        if before is not None and before[0] == key:
            if before[1] is not None:
                yield from self._label(member, before[1])
        elif self._made_elsewhere:
            yield from self._no_picture()
            self._label_before = member
        else:
            yield self._fault(shown(member.name), "does not follow the picture of its key")

    def _no_label(self) -> Iterator[BuildFault]:
        before, self._picture_before = self._picture_before, None
        if before is not None:
            yield self._fault(shown(before[0]), "its picture has no .json right behind it")

    def _no_picture(self) -> Iterator[BuildFault]:
        before, self._label_before = self._label_before, None
        if before is not None:
            yield self._fault(shown(before.name), "has no picture beside it")

    def _member_name(self, row: int) -> str:
        """What a row's picture is called in the tar; foreign tars have other suffixes too."""
        source = str(self._contents["source"][row])
        return (
            source.partition("/")[2] if self._made_elsewhere else f"{self._contents['key'][row]}{self.suffix}"
        )

    def _picture(self, member: TarMember, key: str, row: int) -> Iterator[BuildFault]:
        contents = self._contents
        if key != contents["key"][row]:
            yield self._fault(
                shown(member.name),
                f"{INDEX_NAME} calls the {self.content} here {shown(contents['key'][row])}",
            )
        key = shown(key)
        size, crc = int(contents["size"][row]), int(contents["crc32c"][row])
        if len(member.content) != size:
            yield self._fault(
                key, f"its {self.content} has {len(member.content):,} bytes, {INDEX_NAME} says {size:,}"
            )
            return
        if google_crc32c.value(member.content) != crc:
            yield self._fault(
                key, f"its {self.content} is damaged: it has not the checksum {crc:08x} of {INDEX_NAME}"
            )
            return
        problem = self._bad_content(member.content, row)
        if problem:
            yield self._fault(key, f"its {self.content} {problem}")
        else:
            self.good_frames += 1

    def _bad_content(self, content: bytes, row: int) -> str | None:
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

    def _label(self, member: TarMember, row: int) -> Iterator[BuildFault]:
        contents = self._contents
        key = shown(contents["key"][row])
        try:
            found = read_sample_json(member.content, key=key, stored=contents.manifest.image_size)
        except ValueError as error:
            yield self._fault(f"{key}.json", str(error))
            return
        differing = _differences(found, contents, row)
        if self._newer_labels and differing.keys() <= {"xy_px", "visibility", "status"}:
            self.older_labels += bool(differing)
        elif differing:
            said = ", ".join(
                f"{name} {here} there, {there} in {INDEX_NAME}" for name, (here, there) in differing.items()
            )
            yield self._fault(f"{key}.json", f"does not agree with the index: {said}")
        elif not self._made_elsewhere and member.content != sample_json(
            game=found.game,
            clip=found.clip,
            frame=found.frame,
            xy_px=found.xy_px,
            visibility=found.visibility,
            status=found.status,
            source_size=found.source_size,
        ):
            yield self._fault(
                f"{key}.json", "was changed: these are not the bytes in which its label is written"
            )

    def _fault(self, key: str | None, message: str) -> BuildFault:
        return BuildFault(self._entry.name, key, message)


def newer_labels(manifest: Manifest) -> dict[str, int]:
    """Shard -> how many of its labels `build_shards --labels-only` changed in the index alone; empty if none."""
    frames = manifest.labels.get("frames")
    counts = frames.items() if isinstance(frames, dict) else ()
    return {name: count for name, count in counts if isinstance(count, int) and count}


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
