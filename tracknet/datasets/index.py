"""Opens a build: finds its shards, checks them against the manifest, and reads the index."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.index_file import BUILD_AGAIN, Columns, read_index
from tracknet.datasets.remote_file import RemoteFile
from tracknet.datasets.remote_path import UPLOAD_AGAIN, RemotePath
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME, Manifest, ShardEntry
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import read_manifest
from tracknet.datasets.table import FrameTable
from tracknet.utils.errors import RunError, UserError, shorten
from tracknet.utils.naming import listed
from tracknet.utils.tar_header import BLOCK_BYTES, shown

_COLUMNS = (
    *("key", "game", "clip", "frame", "shard", "offset", "size", "crc32c"),
    *("x_px", "y_px", "visibility", "status", "source_width", "source_height"),
)
_DO_NOT_USE = "do not use this folder: its index was damaged, or made to mislead; build it again"


@dataclass(frozen=True)
class ShardSet:
    """The frames of one split of a build, and where each lies.

    Attributes:
        folder: of the build, here or behind a URL; `Path()` for several builds together, whose `shard_names` are
            then whole paths.
        manifest: of the build, or what several have in common.
        split: `train`, `val` or `test`.
        table: the N frames.
        shard_names: file names.
        shard_id: int32 `[N]`, position in `shard_names`.
        offset: int64 `[N]`, of the JPEG within its shard.
        size: int32 `[N]`, of the JPEG, bytes.
        crc32c: uint32 `[N]`, of the JPEG.
        parts: the sets of each build, where there are several.
    """

    folder: Path | RemotePath
    manifest: Manifest
    split: str
    table: FrameTable
    shard_names: tuple[str, ...]
    shard_id: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int32]
    crc32c: npt.NDArray[np.uint32]
    parts: tuple[ShardSet, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def describe(self) -> dict[str, list[str]]:
        """Which shards these are, wherever they lie: their names, and their builds where there are several."""
        builds = {"builds": [build[:12] for build in self.builds()]} if self.parts else {}
        return {**builds, "shards": [name for part in self.parts or (self,) for name in part.shard_names]}

    def builds(self) -> list[str]:
        """The id of each build."""
        return [part.manifest.build_id for part in self.parts or (self,)]

    def folders(self) -> list[Path | RemotePath]:
        """The folder of each build."""
        return [part.folder for part in self.parts or (self,)]

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> ShardSet:
        """The set with these frames only, in the order given; of one build."""
        assert not self.parts, "the parts of several builds would no longer add up to the whole"
        return replace(
            self,
            table=self.table.take(rows),
            shard_id=self.shard_id[rows],
            offset=self.offset[rows],
            size=self.size[rows],
            crc32c=self.crc32c[rows],
        )

    def origin(self, row: int) -> str:
        """`shards/train-003.tar: game1_Clip3_0042`, as messages name a sample."""
        folder, entry = self.locate(int(self.shard_id[row]))
        return f"{folder / entry.name}: {self.table.keys[row]}"

    def locate(self, shard_id: int) -> tuple[Path | RemotePath, ShardEntry]:
        """The folder of a shard, and what the manifest there says of it."""
        return self._located[shard_id]

    @cached_property
    def _located(self) -> list[tuple[Path | RemotePath, ShardEntry]]:
        if self.parts:
            return [place for part in self.parts for place in part._located]
        entries = {entry.name: entry for entry in self.manifest.shards}
        return [(self.folder, entries[name]) for name in self.shard_names]

    def remote_shards(self, *, read: bool = False) -> list[RemoteFile]:
        """The shards that lie behind URLs; with `read`, those that hold a frame of this set."""
        numbers = np.unique(self.shard_id).tolist() if read else range(len(self.shard_names))
        return [file for number in numbers if (file := self._remote[number]) is not None]

    @cached_property
    def _remote(self) -> list[RemoteFile | None]:
        return [
            folder.shard(entry) if isinstance(folder, RemotePath) else None for folder, entry in self._located
        ]

    @property
    def cache(self) -> ShardCache | None:
        """Where shards behind URLs are kept; `None` where all are local."""
        return next((folder.cache for folder in self.folders() if isinstance(folder, RemotePath)), None)

    def open_shard(self, shard_id: int, check_stop: Callable[[], None] = lambda: None) -> int:
        """A file descriptor of a shard, fetched first where it is behind a URL.

        Args:
            shard_id: which.
            check_stop: called while it is fetched or waited for; may raise.

        Raises:
            OSError: a local file cannot be opened.
            ShardFault: it cannot be fetched.
            CacheError: it cannot be kept.
        """
        folder, entry = self.locate(shard_id)
        if isinstance(folder, RemotePath):
            file = self._remote[shard_id]
            assert file is not None, "a remote folder's shard is a remote file"
            return folder.cache.open(file, check_stop)
        return os.open(folder / entry.name, os.O_RDONLY)


def open_shards(
    paths: Sequence[Path | RemotePath],
    *,
    tokens: bool = False,
    on_lost: Callable[[str, int], None] | None = None,
) -> ShardSet:
    """The frames of some shards, all of one split of one build.

    Args:
        paths: shard files, as `expand_shards` gives them.
        tokens: the shards must hold features (`features.open_features`) instead of frames.
        on_lost: told which local shards are missing or have another size, and how many frames they hold, which are
            then left to whoever skips bad ones; where not given they are refused.

    Raises:
        UserError: no manifest, several builds or splits, a file that is no shard of its build.
        RunError: a shard or the index is cut or replaced.
    """
    if not paths:
        raise UserError(
            "no shards were given", remedy="name a folder of shards, or files such as shards/train-*.tar"
        )
    folders = sorted({_absolute(path.parent) for path in paths})
    if len(folders) > 1:
        raise UserError(
            "the shards lie in several folders: " + ", ".join(folders),
            remedy="give the shards of one build",
        )
    folder = paths[0].parent
    manifest = read_manifest(folder)
    known = {entry.name: entry for entry in manifest.shards}
    strangers = [path.name for path in paths if path.name not in known]
    if strangers:
        raise UserError(
            f"{folder / MANIFEST_NAME} does not know {listed(strangers, 5)}",
            remedy="these files belong to another build: remove them or give the shards that the manifest lists",
        )
    # One file may be named twice, by its relative and its absolute path.
    entries = [known[name] for name in dict.fromkeys(path.name for path in paths)]
    splits = sorted({entry.split for entry in entries})
    if len(splits) > 1:
        raise UserError(
            f"the shards belong to several splits: {', '.join(splits)}",
            remedy="give the shards of one split; validation finds its own beside them",
        )
    return _open(folder, manifest, splits[0], entries, tokens=tokens, on_lost=on_lost)


def _absolute(folder: Path | RemotePath) -> str:
    return str(folder) if isinstance(folder, RemotePath) else str(folder.resolve())


def open_split(folder: Path | RemotePath, split: str) -> ShardSet:
    """All frames of one split of the build in `folder`. Raises as `open_shards` does."""
    manifest = read_manifest(folder)
    entries = list(manifest.shards_of(split))
    if not entries:
        there = sorted({entry.split for entry in manifest.shards})
        raise UserError(
            f"the build in {folder} has no split {split!r}",
            remedy=f"choose one of {', '.join(there)}, or build again with --val-games",
        )
    return _open(folder, manifest, split, entries)


def _open(
    folder: Path | RemotePath,
    manifest: Manifest,
    split: str,
    entries: Sequence[ShardEntry],
    *,
    tokens: bool = False,
    on_lost: Callable[[str, int], None] | None = None,
) -> ShardSet:
    if manifest.features and not tokens:
        raise UserError(
            f"{folder} holds features, not frames",
            remedy=f"name the shards that they are of, and these as data.features={folder}",
        )
    if isinstance(folder, RemotePath):
        for entry in entries:
            folder.shard(entry)  # refuses what is no hash; size and content are checked when it is fetched
    else:
        _check_files(folder, entries, on_lost)
    index, _ = read_index(folder, _COLUMNS, sha256=manifest.index_sha256, remedy=_make_whole(folder))
    if strange := set(index["shard"]) - {entry.name for entry in manifest.shards}:
        raise RunError(
            f"{folder / INDEX_NAME} has frames of {sorted(map(repr, strange))[0]}, which is no shard of this build",
            remedy=_DO_NOT_USE,
        )
    names = tuple(entry.name for entry in entries)
    id_of_name = {name: number for number, name in enumerate(names)}
    shard_id = np.array([id_of_name.get(name, -1) for name in index["shard"]], np.int32)
    keep = np.flatnonzero(shard_id >= 0)
    expected = sum(entry.frames for entry in entries)
    if len(keep) != expected:
        raise RunError(
            f"{folder / INDEX_NAME} has {len(keep)} frames for shards that hold {expected}",
            remedy=_make_whole(folder),
        )
    index = {name: values[keep] for name, values in index.items()}
    shard_id, offset, size = shard_id[keep], index["offset"], index["size"]
    misplaced = misplaced_rows(shard_id, offset, size, np.array([entry.bytes for entry in entries], np.int64))
    if misplaced:
        raise RunError(
            f"{folder / INDEX_NAME}: {len(misplaced)} frames lie where no shard has one",
            problems=shorten(
                [
                    f"{names[shard_id[row]]}: {shown(index['key'][row])}: {what}"
                    for row, what in misplaced.items()
                ]
            ),
            remedy=_DO_NOT_USE,
        )
    _check_labels(folder, index)
    clip_names = list(zip(index["game"].tolist(), index["clip"].tolist(), strict=True))
    clips = list(dict.fromkeys(clip_names))
    id_of_clip = {clip: number for number, clip in enumerate(clips)}
    table = FrameTable(
        keys=index["key"].tolist(),
        clips=clips,
        clip_id=np.array([id_of_clip[clip] for clip in clip_names], np.int32),
        frame=index["frame"],
        xy_px=np.stack([index["x_px"], index["y_px"]], axis=1),
        visibility=index["visibility"],
        status=index["status"],
        source_size=np.stack([index["source_width"], index["source_height"]], axis=1),
    )
    return ShardSet(
        folder=folder,
        manifest=manifest,
        split=split,
        table=table,
        shard_names=names,
        shard_id=shard_id,
        offset=offset,
        size=size,
        crc32c=index["crc32c"],
    )


def _check_labels(folder: Path | RemotePath, index: Columns) -> None:
    """A point exactly where there is a ball: anything else would train on nonsense."""
    visibility = index["visibility"]
    has_point = np.isfinite(index["x_px"]) & np.isfinite(index["y_px"])
    wrong = (visibility < 0) | (visibility > 3) | ((visibility > 0) != has_point)
    if wrong.any():
        problems = [
            f"{shown(index['key'][row])}: visibility {visibility[row]} with the point "
            f"({index['x_px'][row]:g}, {index['y_px'][row]:g})"
            for row in np.flatnonzero(wrong).tolist()
        ]
        raise RunError(
            f"{folder / INDEX_NAME}: {len(problems)} labels contradict themselves",
            problems=shorten(problems),
            remedy=_DO_NOT_USE,
        )


def misplaced_rows(
    shard_id: npt.NDArray[np.int32],
    offset: npt.NDArray[np.int64],
    size: npt.NDArray[np.int32],
    shard_bytes: npt.NDArray[np.int64],
) -> dict[int, str]:
    """Rows of an index that point where no member's content can be: row -> why.

    A member starts at a multiple of 512, behind its header, ends within its shard, and shares no byte with
    another. So no row can make a reader allocate more than the shard has, or serve one frame as two.

    Args:
        shard_id: `[N]`, position in `shard_bytes`.
        offset: `[N]`, of the content within its shard.
        size: `[N]`, of the content, bytes.
        shard_bytes: `[S]`, the shards' sizes.
    """
    wrong: dict[int, str] = {}
    room = shard_bytes[shard_id]
    # Not `offset + size > room`, which overflows.
    outside = (size < 1) | (offset < BLOCK_BYTES) | (offset % BLOCK_BYTES != 0) | (offset > room - size)
    for row in np.flatnonzero(outside).tolist():
        wrong[row] = f"{size[row]:,} bytes at {offset[row]:,} are no member of a tar of {room[row]:,} bytes"
    inside = np.flatnonzero(~outside)
    order = inside[np.lexsort((offset[inside], shard_id[inside]))]
    before, after = order[:-1], order[1:]
    overlap = (shard_id[before] == shard_id[after]) & (
        offset[after] - BLOCK_BYTES < offset[before] + size[before]
    )
    for first, second in zip(before[overlap].tolist(), after[overlap].tolist(), strict=True):
        wrong[second] = f"its bytes at {offset[second]:,} belong to the member at {offset[first]:,}"
    return wrong


def _check_files(
    folder: Path, entries: Sequence[ShardEntry], on_lost: Callable[[str, int], None] | None
) -> None:
    """Every shard is there and has its size; the content is checked frame by frame when it is read."""
    problems, frames = [], 0
    for entry in entries:
        path = folder / entry.name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif (size := path.stat().st_size) != entry.bytes:
            problems.append(f"{path} has {size:,} bytes, its manifest says {entry.bytes:,}: cut or replaced")
        else:
            continue
        frames += entry.frames
    # Where nothing is left it is no damage but the wrong folder.
    if problems and on_lost is not None and len(problems) < len(entries):
        on_lost(
            f"{len(problems)} of {len(entries)} shards are not what was built: {'; '.join(shorten(problems))}",
            frames,
        )
    elif problems:
        raise RunError(
            f"{len(problems)} of {len(entries)} shards are not what was built",
            problems=shorten(problems),
            remedy=BUILD_AGAIN,
        )


def _make_whole(folder: Path | RemotePath) -> str:
    return UPLOAD_AGAIN if isinstance(folder, RemotePath) else BUILD_AGAIN
