"""Frames by row: from shards by position, checked before they are decoded, each decoded once while in reach."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Protocol

import google_crc32c
import numpy as np
import numpy.typing as npt

from tracknet.datasets.faults import ReadWatch, ShardFault
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.shard_set import ShardSet
from tracknet.utils.errors import RunError
from tracknet.utils.images import ImageError, decode_image
from tracknet.utils.tar_header import BLOCK_BYTES, BadHeader, parse_header

Frame = npt.NDArray[np.uint8]
# A build may have 1,000 shards, a process often 256 file descriptors.
_MOST_OPEN_FILES = 64


class FrameSource(Protocol):
    """Where frames come from: shards, or raw folders."""

    def read(self, row: int) -> Frame:
        """The frame of one row of the table: uint8 RGB `[H, W, 3]`, input size. Not to be written to."""
        ...

    def origin(self, row: int) -> str:
        """What messages call the frame: its file, and its key where the file holds several."""
        ...


class ShardReader:
    """Reads frames of a `ShardSet` by offset. One object per process: it keeps local files open.

    Shards of the cache are opened for every read, which costs about 0.02 ms: one that is held open cannot make
    room for the next.

    Attributes:
        shards: what is read.
        check_stop: called while a shard is fetched or waited for; may raise.
    """

    def __init__(self, shards: ShardSet) -> None:
        self.shards = shards
        self.check_stop: Callable[[], None] = lambda: None
        self._files: OrderedDict[int, int] = OrderedDict()
        self._size = shards.manifest.image_size
        # Shards of the cache that had a damaged frame.
        self._looked_at: set[int] = set()

    def read(self, row: int) -> Frame:
        """The frame of one row: uint8 RGB `[H, W, 3]`.

        Raises:
            RunError: the bytes are not those that the index promises; names shard, key and position.
        """
        content = self.read_bytes(row)
        try:
            frame = decode_image(content, size=self._size, whole=True)
        except ImageError as error:
            raise RunError(f"{self.origin(row)}: {error}", remedy="build the shards again") from None
        # OpenCV turns a picture as its EXIF data say, which the size that it states does not tell.
        if frame.shape != (self._size.height, self._size.width, 3):
            found = f"{frame.shape[1]}x{frame.shape[0]}"
            raise RunError(
                f"{self.origin(row)}: is {found}, not {self._size}", remedy="build the shards again"
            )
        return frame

    def read_bytes(self, row: int) -> bytes:
        """The image file of one row, with the index's checksum. Raises as `read` does."""
        shards = self.shards
        offset, size = int(shards.offset[row]), int(shards.size[row])
        try:
            shard_id = int(shards.shard_id[row])
            for _ in range(2):
                content = self._read_bytes(shard_id, size, offset)
                if len(content) == size and google_crc32c.value(content) == int(shards.crc32c[row]):
                    return content
                if not self._mend(shard_id):
                    break
            # It reads again, which may fail as the first time.
            what, of_shard = self._diagnose(row)
        except OSError as error:
            # A bad sector is a fault of one frame; a shard that cannot be opened one of all.
            what, of_shard = f"cannot be read: {error.strerror}", error.errno != errno.EIO
        raise self._fault(row, what, of_shard=of_shard)

    def origin(self, row: int) -> str:
        """Shard and key of a row."""
        return self.shards.origin(row)

    def close(self) -> None:
        """Closes the files; they open again when needed."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def __del__(self) -> None:
        self.close()

    def _read_bytes(self, shard_id: int, size: int, offset: int) -> bytes:
        try:
            held = self._files.get(shard_id)
            if held is not None:
                self._files.move_to_end(shard_id)
                return os.pread(held, size, offset)
            with self._opened(shard_id) as file:
                return os.pread(file, size, offset)
        except OSError as error:
            if error.errno != errno.ESTALE or shard_id not in self._files:
                raise
            # A network file system forgot the open file, as it does when the shard was replaced there.
            os.close(self._files.pop(shard_id))
            with self._opened(shard_id) as file:
                return os.pread(file, size, offset)

    def _mend(self, shard_id: int) -> bool:
        """Has the cache look at its copy of a shard, and mend it, once; false where there is nothing more to try."""
        folder, entry = self.shards.locate(shard_id)
        if not isinstance(folder, RemotePath) or shard_id in self._looked_at:
            return False
        self._looked_at.add(shard_id)
        folder.cache.mend(folder.shard(entry), self.check_stop)
        return True

    @contextlib.contextmanager
    def _opened(self, shard_id: int) -> Iterator[int]:
        if not isinstance(self.shards.locate(shard_id)[0], RemotePath):
            yield self._file(shard_id)
            return
        file = self.shards.open_shard(shard_id, self.check_stop)
        try:
            yield file
        finally:
            os.close(file)

    def _file(self, shard_id: int) -> int:
        if shard_id not in self._files:
            if len(self._files) >= _MOST_OPEN_FILES:
                os.close(self._files.popitem(last=False)[1])
            self._files[shard_id] = self.shards.open_shard(shard_id)
        return self._files[shard_id]

    def _fault(self, row: int, what: str, *, of_shard: bool) -> RunError:
        message, remedy = f"{self.origin(row)}: {what}", self._remedy(row)
        if not of_shard:
            return RunError(message, remedy=remedy)
        folder, entry = self.shards.locate(int(self.shards.shard_id[row]))
        return ShardFault(message, remedy=remedy, cause=f"{folder / entry.name}: {what}")

    def _diagnose(self, row: int) -> tuple[str, bool]:
        """Why the bytes of a row are not those that were built, and whether others of its shard are not for it."""
        shards, shard_id = self.shards, int(self.shards.shard_id[row])
        _, entry = shards.locate(shard_id)
        with self._opened(shard_id) as file:
            now, built = os.fstat(file).st_size, entry.bytes
            replaced = now > built or self._is_foreign(file, shard_id)
        if now < built and not replaced:
            return f"damaged: the shard was cut, it has {now:,} of {built:,} bytes", True
        if now != built:
            return f"damaged: the shard was replaced, it has {now:,} bytes, not {built:,}", True
        return (
            f"damaged (the {int(shards.size[row])} bytes at {int(shards.offset[row])} do not have the checksum "
            f"{int(shards.crc32c[row]):08x} that the index states): the shard was changed or replaced"
        ), False

    def _is_foreign(self, file: int, shard_id: int) -> bool:
        """Whether no frame of the shard begins a file where its first one should."""
        rows = np.flatnonzero(self.shards.shard_id == shard_id)
        first = int(rows[self.shards.offset[rows].argmin()])
        block = os.pread(file, BLOCK_BYTES, int(self.shards.offset[first]) - BLOCK_BYTES)
        if len(block) < BLOCK_BYTES:
            return False
        try:
            name = parse_header(block).name
        except BadHeader:
            return True
        return name.rpartition("/")[2].partition(".")[0] not in self.shards.table.keys[first]

    def _remedy(self, row: int) -> str:
        folder, entry = self.shards.locate(int(self.shards.shard_id[row]))
        command = self.shards.build_command
        if isinstance(folder, RemotePath):
            return (
                f"delete {folder.cache.path_of(folder.shard(entry))}: it is fetched again when it is needed"
            )
        if not (folder / entry.name).exists():
            return f"run {command} again: it writes {entry.name} anew and keeps the others"
        return f"delete {folder / entry.name} and run {command} again"


Version = tuple[int, int]
"""What was done to a frame: pass and window of the augmentation's randomness."""
AS_STORED: Version = (-1, -1)


class CachedFrames:
    """The last few frames of a source, so that overlapping windows decode each frame once.

    A frame may be kept in a changed version, which is then made once too; the frame as stored is not kept beside it.

    Attributes:
        decodes: frames read from the source so far.
    """

    def __init__(self, source: FrameSource, capacity: int, watch: ReadWatch | None = None) -> None:
        """Wraps a source.

        Args:
            source: what to read from.
            capacity: frames to keep; 0 keeps none.
            watch: told of every read of the source.
        """
        self.source = source
        self._read: Callable[[int], Frame] = source.read
        self._capacity = capacity
        self._watch = watch
        self._frames: OrderedDict[tuple[int, Version], Frame] = OrderedDict()
        self.decodes = 0

    def read(
        self, row: int, version: Version = AS_STORED, change: Callable[[Frame], Frame] | None = None
    ) -> Frame:
        """As the source's, or what `change` makes of it; from memory where it can be.

        Args:
            row: of the table.
            version: tells one change from another.
            change: what is done to the frame; nothing where not given.
        """
        key = row, version
        frame = self._frames.get(key)
        if frame is not None:
            self._frames.move_to_end(key)
            return frame
        frame = self._read_source(row)
        self.decodes += 1
        if change is not None:
            frame = change(frame)
        if self._capacity:
            if len(self._frames) >= self._capacity:
                self._frames.popitem(last=False)
            self._frames[key] = frame
        return frame

    def read_beside(self, row: int) -> Frame:
        """As `read`, of a frame that no neighbour will ask for: if kept, it would push out one that they do."""
        frame = self._frames.get((row, AS_STORED))
        if frame is None:
            frame = self._read_source(row)
            self.decodes += 1
        return frame

    def forget(self, row: int, version: Version = AS_STORED) -> None:
        """Makes room: the frame will not be asked for soon."""
        self._frames.pop((row, version), None)

    def origin(self, row: int) -> str:
        """As the source's."""
        return self.source.origin(row)

    def _read_source(self, row: int) -> Frame:
        if self._watch is None:
            return self._read(row)
        self._watch.begin(row)
        try:
            return self._read(row)
        finally:
            self._watch.end()
