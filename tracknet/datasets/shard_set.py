"""The frames of one split: what is known of each, and in which shard it lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.manifest import THE_BUILD_COMMAND, Manifest, ShardEntry
from tracknet.datasets.remote_file import RemoteFile
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.table import FrameTable


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
        build_command: what a person is told to run where shards are missing or damaged.
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
    build_command: str = THE_BUILD_COMMAND

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
