"""Tars made elsewhere: one pass over their members makes the rows of an index.

The pass is our own tar walk: WebDataset's reader ends silently at a damaged header and at a cut between two
members, and would index what is left as if it were all.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

from tracknet.datasets.manifest import ShardEntry
from tracknet.datasets.sample_json import IMAGE_SUFFIX, SampleLabel, read_sample_json, split_name
from tracknet.utils.errors import RunError, UserError, shorten
from tracknet.utils.geometry import Size
from tracknet.utils.images import ImageError, decode_image, stated_size
from tracknet.utils.tar_header import shown
from tracknet.utils.tar_walk import TarFault, TarMember, walk_tar

MOST_LISTED = 20
Row = dict[str, Any]


@dataclass
class ForeignShards:
    """What a pass over tars found.

    Attributes:
        entries: a manifest entry per tar.
        rows: an index row per frame, in the order of the tars until they are sorted.
        faults: everything wrong, by tar and member.
    """

    entries: list[ShardEntry] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def games(self) -> dict[str, list[str]]:
        """Split -> its games, in the order of the rows."""
        games: dict[str, dict[str, None]] = defaultdict(dict)
        for row in self.rows:
            games[row["split"]][row["game"]] = None
        return {split: list(names) for split, names in games.items()}


def read_foreign(
    paths: Sequence[tuple[Path, str]], *, most_pixels: int, on_bytes: Callable[[int], object]
) -> ForeignShards:
    """Walks tars and decodes every picture once.

    Args:
        paths: tars of one folder, each with its split.
        most_pixels: larger pictures are refused before they are decoded.
        on_bytes: told how many bytes were read.

    Raises:
        RunError: anything is wrong; everything is listed.
    """
    found = ForeignShards()
    for path, split in paths:
        shard = _ForeignShard(path, split, most_pixels)
        shard.walk(on_bytes)
        found.faults += shard.faults
        found.rows += shard.rows
        if shard.rows:
            found.entries.append(
                ShardEntry(path.name, split, len(shard.rows), path.stat().st_size, shard.digest.hexdigest())
            )
        elif not shard.faults:
            found.faults.append(f"{path.name}: holds no sample")
    found.faults += [*_doubles(found.rows), *_sizes(found.rows)]
    if found.faults:
        raise RunError(
            f"the tars cannot be indexed: {len(found.faults):,} things are wrong with them",
            problems=shorten(found.faults, MOST_LISTED),
            remedy="write these tars again; shards/README.md says what belongs into them",
        )
    _number_segments(found.rows)
    return found


def split_of(path: Path) -> str:
    """The split that a tar's name starts with, as `train-000.tar` does. Raises UserError for another name."""
    split = path.name.partition("-")[0].partition(".")[0].partition("_")[0]
    known = {
        "train": "train",
        "training": "train",
        "val": "val",
        "valid": "val",
        "validation": "val",
        "test": "test",
    }
    if split not in known:
        raise UserError(
            f"{path}: its name does not tell the split (train-, val- or test-)",
            remedy="rename it, or say --split train for all tars of the folder",
        )
    return known[split]


class _ForeignShard:
    def __init__(self, path: Path, split: str, most_pixels: int) -> None:
        self._path, self._split, self._most_pixels = path, split, most_pixels
        self.digest = hashlib.sha256()
        self.rows: list[Row] = []
        self.faults: list[str] = []
        self._picture: TarMember | None = None
        self._label: TarMember | None = None

    def walk(self, on_bytes: Callable[[int], object]) -> None:
        def take(block: bytes) -> None:
            self.digest.update(block)
            on_bytes(len(block))

        with self._path.open("rb") as file:
            for event in walk_tar(file, self._path.stat().st_size, on_bytes=take):
                if isinstance(event, TarFault):
                    self._say(str(event))
                else:
                    self._take(event)
        self._flush()

    def _take(self, member: TarMember) -> None:
        key, suffix = split_name(member.name)
        for other in (self._picture, self._label):
            if other is not None and split_name(other.name)[0] != key:
                self._flush()
                break
        is_label = suffix.lower() == ".json"
        if not is_label and not IMAGE_SUFFIX.fullmatch(suffix):
            self._say(f"{shown(member.name)}: is neither a .jpg, .jpeg or .png picture nor a .json label")
        elif (self._label if is_label else self._picture) is not None:
            self._say(f"{shown(member.name)}: is the second {'label' if is_label else 'picture'} of its key")
        elif is_label:
            self._label = member
        else:
            self._picture = member
        if self._picture is not None and self._label is not None:
            self._flush()

    def _flush(self) -> None:
        """Ends the sample that is being put together."""
        picture, label = self._picture, self._label
        self._picture = self._label = None
        if picture is not None and label is not None:
            try:
                self.rows.append(self._row(picture, label))
            except ValueError as error:  # an ImageError too
                self._say(str(error))
        elif picture is not None:
            self._say(f"{shown(picture.name)}: has no .json beside it")
        elif label is not None:
            self._say(f"{shown(label.name)}: has no picture beside it")

    def _row(self, picture: TarMember, label: TarMember) -> Row:
        key = split_name(picture.name)[0]
        try:
            height, width = decode_image(picture.content, most_pixels=self._most_pixels).shape[:2]
        except ImageError as error:
            raise ValueError(f"{shown(picture.name)}: {error}") from None
        stored = Size(width, height)
        if stated_size(picture.content) != stored:
            # Readers that skip EXIF data would see it lying, and the label elsewhere.
            raise ValueError(f"{shown(picture.name)}: is turned by its EXIF data: store it upright")
        try:
            parsed = read_sample_json(label.content, key=key, stored=stored)
        except ValueError as error:
            raise ValueError(f"{shown(label.name)}: {error}") from None
        return {
            "key": key,
            "split": self._split,
            "shard": self._path.name,
            "offset": picture.offset,
            "size": len(picture.content),
            "crc32c": google_crc32c.value(picture.content),
            "width": stored.width,
            "height": stored.height,
            "source": f"{self._path.name}/{picture.name}",
            "source_sha256": hashlib.sha256(picture.content).hexdigest(),
            **_label_columns(parsed),
        }

    def _say(self, message: str) -> None:
        self.faults.append(f"{self._path.name}: {message}")


def _label_columns(label: SampleLabel) -> Row:
    x_px, y_px = (None, None) if label.xy_px is None else label.xy_px
    return {
        "game": label.game,
        "clip": label.clip,
        "frame": label.frame,
        "x_px": x_px,
        "y_px": y_px,
        "visibility": label.visibility,
        "status": label.status,
        "source_width": label.source_size.width,
        "source_height": label.source_size.height,
    }


def _doubles(rows: Sequence[Row]) -> Iterator[str]:
    for what in (("key",), ("game", "clip", "frame")):
        shards_of: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for row in rows:
            shards_of[tuple(row[name] for name in what)].append(row["shard"])
        for identity, shards in shards_of.items():
            if len(shards) > 1:
                name = " ".join(map(str, identity))
                yield f"{', '.join(dict.fromkeys(shards))}: {len(shards)} samples are {' '.join(what)} {shown(name)}"


def _sizes(rows: Sequence[Row]) -> Iterator[str]:
    sizes = Counter(Size(row["width"], row["height"]) for row in rows)
    if len(sizes) > 1:
        (usual, count), *others = sizes.most_common()
        odd = next(row for row in rows if Size(row["width"], row["height"]) != usual)
        yield (
            f"the pictures are of {len(sizes)} sizes, and a model takes one: {count:,} of {usual}, "
            + ", ".join(f"{number:,} of {size}" for size, number in others[:5])
            + f"; the first other one is {odd['shard']}: {shown(odd['key'])}"
        )


def _number_segments(rows: list[Row]) -> None:
    """A segment is a clip's run of consecutive frames within one tar."""
    clips: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        clips[row["game"], row["clip"]].append(row)
    for clip in clips.values():
        clip.sort(key=lambda row: int(row["frame"]))
        number = 0
        for before, row in zip([None, *clip], clip, strict=False):
            if before and (before["shard"] != row["shard"] or before["frame"] + 1 != row["frame"]):
                number += 1
            row["segment"] = number
