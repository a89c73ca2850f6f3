"""Frames by row: from shards by position, checked before they are decoded, each decoded once while in reach."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import google_crc32c
import numpy as np
import numpy.typing as npt

from tracknet.datasets.index import ShardSet
from tracknet.utils.errors import RunError
from tracknet.utils.images import ImageError, decode_image

Frame = npt.NDArray[np.uint8]
# A build may have 1,000 shards, a process often 256 file descriptors.
_MOST_OPEN_FILES = 64


class FrameSource(Protocol):
    """Where frames come from: shards, or raw folders."""

    def read(self, row: int) -> Frame:
        """The frame of one row of the table: uint8 RGB `[H, W, 3]`, input size. Not to be written to."""
        ...


class ShardReader:
    """Reads frames of a `ShardSet` by offset. One object per process: it keeps the files open."""

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards
        self._files: OrderedDict[int, int] = OrderedDict()
        self._size = shards.manifest.image_size

    def read(self, row: int) -> Frame:
        """The frame of one row: uint8 RGB `[H, W, 3]`.

        Raises:
            RunError: the bytes are not those that the index promises; names shard, key and position.
        """
        content = self.read_bytes(row)
        try:
            frame = decode_image(content, size=self._size)
        except ImageError as error:
            raise RunError(f"{self.shards.origin(row)}: {error}", remedy="build the shards again") from None
        # OpenCV turns a picture as its EXIF data say, which the size that it states does not tell.
        if frame.shape != (self._size.height, self._size.width, 3):
            found = f"{frame.shape[1]}x{frame.shape[0]}"
            raise RunError(
                f"{self.shards.origin(row)}: is {found}, not {self._size}", remedy="build the shards again"
            )
        return frame

    def read_bytes(self, row: int) -> bytes:
        """The image file of one row, with the index's checksum. Raises as `read` does."""
        shards = self.shards
        offset, size = int(shards.offset[row]), int(shards.size[row])
        try:
            content = os.pread(self._file(int(shards.shard_id[row])), size, offset)
        except OSError as error:
            raise RunError(f"{shards.origin(row)}: cannot be read: {error.strerror}") from None
        if len(content) != size or google_crc32c.value(content) != int(shards.crc32c[row]):
            raise RunError(
                f"{shards.origin(row)}: damaged (the {size} bytes at {offset} do not have the checksum "
                f"{int(shards.crc32c[row]):08x} that the index states)",
                remedy=f"delete {shards.shard_names[shards.shard_id[row]]} and run the build command again",
            )
        return content

    def close(self) -> None:
        """Closes the files; they open again when needed."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def __del__(self) -> None:
        self.close()

    def _file(self, shard_id: int) -> int:
        if shard_id not in self._files:
            if len(self._files) >= _MOST_OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
            path = self.shards.folder / self.shards.shard_names[shard_id]
            self._files[shard_id] = os.open(path, os.O_RDONLY)
        self._files.move_to_end(shard_id)
        return self._files[shard_id]


class CachedFrames:
    """The last few frames of a source, so that overlapping windows decode each frame once."""

    def __init__(self, source: FrameSource, capacity: int) -> None:
        """Wraps a source.

        Args:
            source: what to read from.
            capacity: frames to keep, at least 1.
        """
        self._read: Callable[[int], Frame] = source.read
        self._capacity = max(1, capacity)
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self.decodes = 0

    def read(self, row: int) -> Frame:
        """As the source's, from memory where it can be."""
        frame = self._frames.get(row)
        if frame is None:
            frame = self._read(row)
            self.decodes += 1
            if len(self._frames) >= self._capacity:
                self._frames.popitem(last=False)
            self._frames[row] = frame
        else:
            self._frames.move_to_end(row)
        return frame
