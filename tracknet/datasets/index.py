"""Opens a build: finds its shards, checks them against the manifest, and reads the index."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import braceexpand
import numpy as np
import numpy.typing as npt

from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME, Manifest, ShardEntry
from tracknet.datasets.table import NO_STATUS, FrameTable
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.tar_header import BLOCK_BYTES

_COLUMNS = (
    *("key", "game", "clip", "frame", "shard", "offset", "size", "crc32c"),
    *("x_px", "y_px", "visibility", "status", "source_width", "source_height"),
)
_DO_NOT_USE = "do not use this folder: its index was damaged, or made to mislead; build it again"
_BUILD_AGAIN = "run the build command again: it replaces what is missing or damaged and keeps the rest"


@dataclass(frozen=True)
class ShardSet:
    """The frames of one split of a build, and where each lies.

    Attributes:
        folder: of the build; `Path()` for several builds together, whose `shard_names` are then whole paths.
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

    folder: Path
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
        return {**builds, "shards": [Path(name).name for name in self.shard_names]}

    def builds(self) -> list[str]:
        """The id of each build."""
        return [part.manifest.build_id for part in self.parts or (self,)]

    def folders(self) -> list[Path]:
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
        return f"{self.folder / self.shard_names[self.shard_id[row]]}: {self.table.keys[row]}"


def expand_shards(specs: Sequence[str]) -> list[Path]:
    """Shard files named by paths, folders, a manifest, globs, `{000..031}` or the written `<000..031>`.

    Raises:
        UserError: a name stands for no file. All such names are listed.
    """
    paths: list[Path] = []
    problems: list[str] = []
    for spec in specs:
        if Path(spec).is_dir() or Path(spec).name == MANIFEST_NAME:
            folder = Path(spec) if Path(spec).is_dir() else Path(spec).parent
            paths += [folder / entry.name for entry in Manifest.read(folder).shards_of("train")]
            continue
        braced = re.sub(r"<(\d+\.\.\d+)>", r"{\1}", spec)
        try:
            names = list(braceexpand.braceexpand(braced))
        except ValueError:
            problems.append(f"{spec}: a brace is not closed, as in train-{{000..031}}.tar")
            continue
        for name in names:
            path = Path(name)
            if any(char in path.name for char in "*?["):
                matches = sorted(match for match in path.parent.glob(path.name) if match.is_file())
                if not matches:
                    problems.append(f"{name}: matches no file")
                paths += matches
            elif path.is_file():
                paths.append(path)
            else:
                problems.append(f"{name}: no such file")
    if problems:
        raise UserError(
            f"{len(problems)} of the shards named are not there",
            problems=_shorten(problems),
            remedy=_shards_beside(specs),
        )
    return list(dict.fromkeys(paths))


def _shards_beside(specs: Sequence[str]) -> str:
    """What to name instead: the training shards in the folder that was meant, if it has any."""
    folder = Path(specs[0]).parent
    there = sorted(folder.glob("train-*.tar"))
    if there:
        span = f"{there[0].name} to {there[-1].name}"
        return f"{folder} has {len(there)} training shards, {span}; {folder} stands for all"
    return "build them: `python -m pipelines.build_shards --root data/tracknet`, or name the folder where they are"


def open_shards(paths: Sequence[Path]) -> ShardSet:
    """The frames of some shards, all of one split of one build.

    Args:
        paths: shard files, as `expand_shards` gives them.

    Raises:
        UserError: no manifest, several builds or splits, a file that is no shard of its build.
        RunError: a shard or the index is cut or replaced.
    """
    if not paths:
        raise UserError(
            "no shards were given", remedy="name a folder of shards, or files such as shards/train-*.tar"
        )
    folders = sorted({path.parent.resolve() for path in paths})
    if len(folders) > 1:
        raise UserError(
            "the shards lie in several folders: " + ", ".join(map(str, folders)),
            remedy="give the shards of one build",
        )
    folder = paths[0].parent
    manifest = Manifest.read(folder)
    known = {entry.name: entry for entry in manifest.shards}
    strangers = [path.name for path in paths if path.name not in known]
    if strangers:
        raise UserError(
            f"{folder / MANIFEST_NAME} does not know {', '.join(strangers[:5])}"
            + (f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""),
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
    return _open(folder, manifest, splits[0], entries)


def open_split(folder: Path, split: str) -> ShardSet:
    """All frames of one split of the build in `folder`. Raises as `open_shards` does."""
    manifest = Manifest.read(folder)
    entries = list(manifest.shards_of(split))
    if not entries:
        there = sorted({entry.split for entry in manifest.shards})
        raise UserError(
            f"the build in {folder} has no split {split!r}",
            remedy=f"choose one of {', '.join(there)}, or build again with --val-games",
        )
    return _open(folder, manifest, split, entries)


def _open(folder: Path, manifest: Manifest, split: str, entries: Sequence[ShardEntry]) -> ShardSet:
    _check_files(folder, entries)
    index = _read_index(folder, manifest)
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
            remedy=_BUILD_AGAIN,
        )

    def column(name: str, dtype: Any) -> npt.NDArray[Any]:
        return np.asarray([index[name][row] for row in keep], dtype)

    offset, size = column("offset", np.int64), column("size", np.int32)
    misplaced = misplaced_rows(
        shard_id[keep], offset, size, np.array([entry.bytes for entry in entries], np.int64)
    )
    if misplaced:
        raise RunError(
            f"{folder / INDEX_NAME}: {len(misplaced)} frames lie where no shard has one",
            problems=_shorten(
                [
                    f"{names[shard_id[keep[row]]]}: {index['key'][keep[row]]}: {what}"
                    for row, what in misplaced.items()
                ]
            ),
            remedy=_DO_NOT_USE,
        )
    clip_names = [(index["game"][row], index["clip"][row]) for row in keep]
    clips = list(dict.fromkeys(clip_names))
    id_of_clip = {clip: number for number, clip in enumerate(clips)}
    status = [index["status"][row] for row in keep]
    table = FrameTable(
        keys=[index["key"][row] for row in keep],
        clips=clips,
        clip_id=np.array([id_of_clip[clip] for clip in clip_names], np.int32),
        frame=column("frame", np.int32),
        # None becomes NaN: no coordinates.
        xy_px=np.stack([column("x_px", np.float64), column("y_px", np.float64)], axis=1),
        visibility=column("visibility", np.int8),
        status=np.array([NO_STATUS if code is None else code for code in status], np.int8),
        source_size=np.stack([column("source_width", np.int32), column("source_height", np.int32)], axis=1),
    )
    return ShardSet(
        folder=folder,
        manifest=manifest,
        split=split,
        table=table,
        shard_names=names,
        shard_id=shard_id[keep],
        offset=offset,
        size=size,
        crc32c=column("crc32c", np.uint32),
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


def _check_files(folder: Path, entries: Sequence[ShardEntry]) -> None:
    """Every shard is there and has its size; the content is checked frame by frame when it is read."""
    problems = []
    for entry in entries:
        path = folder / entry.name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif (size := path.stat().st_size) != entry.bytes:
            problems.append(f"{path} has {size:,} bytes, its manifest says {entry.bytes:,}: cut or replaced")
    if problems:
        raise RunError(
            f"{len(problems)} of {len(entries)} shards are not what was built",
            problems=_shorten(problems),
            remedy=_BUILD_AGAIN,
        )


def _read_index(folder: Path, manifest: Manifest) -> dict[str, list[Any]]:
    import pyarrow.parquet as pq

    path = folder / INDEX_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path} is missing", remedy=_BUILD_AGAIN) from None
    if hashlib.sha256(content).hexdigest() != manifest.index_sha256:
        raise RunError(f"{path} is not the index that its manifest was written with", remedy=_BUILD_AGAIN)
    columns: dict[str, list[Any]] = pq.read_table(io.BytesIO(content), columns=list(_COLUMNS)).to_pydict()
    return columns


def _shorten(problems: list[str], limit: int = 10) -> list[str]:
    if len(problems) <= limit:
        return problems
    return [*problems[:limit], f"and {len(problems) - limit} more"]
