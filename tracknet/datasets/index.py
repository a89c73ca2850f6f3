"""Opens a build: finds its shards, checks them against the manifest, and reads the index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracknet.datasets.index_checks import OnLost, check_files, check_labels, check_names, check_places
from tracknet.datasets.index_file import build_again, read_index
from tracknet.datasets.manifest import THE_BUILD_COMMAND, Manifest, ShardEntry
from tracknet.datasets.remote_path import UPLOAD_AGAIN, RemotePath
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME
from tracknet.datasets.shard_names import read_manifest
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.table import FrameTable
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.naming import listed

_COLUMNS = (
    *("key", "game", "clip", "frame", "shard", "offset", "size", "crc32c"),
    *("x_px", "y_px", "visibility", "status", "source_width", "source_height"),
)


def open_shards(
    paths: Sequence[Path | RemotePath],
    *,
    tokens: bool = False,
    build_command: str = THE_BUILD_COMMAND,
    on_lost: OnLost | None = None,
) -> ShardSet:
    """The frames of some shards, all of one split of one build.

    Args:
        paths: shard files, as `expand_shards` gives them.
        tokens: the shards must hold features (`features.open_features`) instead of frames.
        build_command: what a person is told to run where the build is not whole.
        on_lost: told which local shards are missing or have another size, how many frames they hold, which are then
            left to whoever skips bad ones; where not given they are refused.

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
    return _open(
        folder, manifest, splits[0], entries, tokens=tokens, build_command=build_command, on_lost=on_lost
    )


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
    build_command: str = THE_BUILD_COMMAND,
    on_lost: OnLost | None = None,
) -> ShardSet:
    if manifest.features and not tokens:
        raise UserError(
            f"{folder} holds features, not frames",
            remedy=f"name the shards that they are of, and these as data.features={folder}",
        )
    make_whole = UPLOAD_AGAIN if isinstance(folder, RemotePath) else build_again(build_command)
    if isinstance(folder, RemotePath):
        for entry in entries:
            folder.shard(entry)  # refuses what is no hash; size and content are checked when it is fetched
    else:
        check_files(folder, entries, on_lost, make_whole)
    index, _ = read_index(folder, _COLUMNS, sha256=manifest.index_sha256, remedy=make_whole)
    check_names(folder, index, manifest)
    names = tuple(entry.name for entry in entries)
    id_of_name = {name: number for number, name in enumerate(names)}
    shard_id = np.array([id_of_name.get(name, -1) for name in index["shard"]], np.int32)
    keep = np.flatnonzero(shard_id >= 0)
    expected = sum(entry.frames for entry in entries)
    if len(keep) != expected:
        raise RunError(
            f"{folder / INDEX_NAME} has {len(keep)} frames for shards that hold {expected}",
            remedy=make_whole,
        )
    index = {name: values[keep] for name, values in index.items()}
    shard_id = shard_id[keep]
    check_places(folder, index, shard_id, entries)
    check_labels(folder, index)
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
        offset=index["offset"],
        size=index["size"],
        crc32c=index["crc32c"],
        build_command=build_command,
    )
