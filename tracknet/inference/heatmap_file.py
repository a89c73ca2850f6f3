"""Heatmaps of a whole source between the pass that makes them and the one that draws them."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

_LENGTH = struct.Struct("<I")
# The fastest: a map is nearly all zeros, and 36 KB become 0.3.
_ZLIB_LEVEL = 1


class HeatmapFile:
    """Takes maps in order and gives them back in order, as 8 bits a cell in a file without a name.

    The drawn glow has 256 colours, so that nothing is lost that could be seen. The file is gone when it is closed,
    however the process ends.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the file on the disk of `folder`. Raises OSError where that cannot be written to."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by the block)
        self._shape: tuple[int, ...] = (0, 0)

    def __enter__(self) -> HeatmapFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Of a full disk it fails: what is left to write is thrown away all the same, and the reason told already.
        with suppress(OSError):
            self._file.close()

    def add(self, heatmaps: npt.NDArray[np.floating]) -> None:
        """Takes maps `[n, h, w]`, 0..1, of the same h and w as those before. Raises OSError where the disk is full."""
        self._shape = heatmaps.shape[1:]
        for cells in np.round(heatmaps * 255).astype(np.uint8):
            packed = zlib.compress(cells.tobytes(), _ZLIB_LEVEL)
            self._file.write(_LENGTH.pack(len(packed)) + packed)

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:
        """The maps from the first on, float32 `[h, w]`, 0..1 in steps of 1/255."""
        self._file.seek(0)
        while head := self._file.read(_LENGTH.size):
            cells = zlib.decompress(self._file.read(*_LENGTH.unpack(head)))
            yield np.asarray(np.frombuffer(cells, np.uint8).reshape(self._shape) / 255, np.float32)
