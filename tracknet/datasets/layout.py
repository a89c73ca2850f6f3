"""Where the parts of a batch lie in one flat buffer, so that a worker can write and a trainer read it in place."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.utils.geometry import Size

Buffer = npt.NDArray[np.uint8]
# A cache line: no part shares one with its neighbour, and every type is aligned.
_ALIGNMENT = 64
_TORCH_TYPES = {
    np.dtype(np.uint8): torch.uint8,
    np.dtype(np.bool_): torch.bool,
    np.dtype(np.int64): torch.int64,
    np.dtype(np.float16): torch.float16,
    np.dtype(np.float32): torch.float32,
    np.dtype(np.float64): torch.float64,
}


@dataclass(frozen=True)
class Part:
    """One array of a batch: its name, type, shape, and first byte in the buffer."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Its length in the buffer."""
        return math.prod(self.shape) * self.dtype.itemsize

    @functools.cached_property
    def strides(self) -> tuple[int, ...]:
        """Numbers from one entry to the next along each axis."""
        return tuple(math.prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))


@dataclass(frozen=True)
class BatchLayout:
    """The parts of a batch of B windows in `nbytes` bytes.

    Attributes:
        parts: `frames` uint8 `[B, T, H, W, 3]`, `heatmaps` float16 `[B, M, h, w]`, the small ones, named and
            typed as in `Batch`, and where asked for `features` float16 `[B, T, Hp, Wp, C]`, `balls` and `mix`.
        nbytes: of the whole batch.
    """

    parts: tuple[Part, ...]
    nbytes: int

    @classmethod
    def of(
        cls,
        *,
        windows: int,
        length: int,
        maps: int,
        input_size: Size,
        heatmap_size: Size | None,
        tokens: tuple[int, int, int] | None = None,
    ) -> BatchLayout:
        """The layout of B windows of T frames with M maps each.

        Args:
            windows: B.
            length: T.
            maps: M.
            input_size: of the frames.
            heatmap_size: of the targets; `None` where they are drawn later, from `balls` and `mix`.
            tokens: (Hp, Wp, C) of a frame's features.
        """
        cells = heatmap_size or Size(0, 0)
        wanted: list[tuple[str, Any, tuple[int, ...]]] = [
            ("frames", np.uint8, (windows, length, input_size.height, input_size.width, 3)),
            ("heatmaps", np.float16, (windows, maps, cells.height, cells.width)),
            ("weights", np.float32, (windows, maps)),
            ("xy_px", np.float32, (windows, maps, 2)),
            ("visibility", np.uint8, (windows, maps)),
            ("to_frame", np.float64, (windows, 3, 3)),
            ("late_matrix", np.float64, (windows, 3, 3)),
            ("late_colour", np.float64, (windows, 3, 4)),
            ("rows", np.int64, (windows, maps)),
            ("valid", np.bool_, (windows,)),
            ("padded", np.bool_, (windows,)),
        ]
        if heatmap_size is None:
            wanted += [("balls", np.float64, (windows, maps, 3)), ("mix", np.float64, (windows,))]
        if tokens is not None:
            wanted.append(("features", np.float16, (windows, length, *tokens)))
        parts, offset = [], 0
        for name, dtype, shape in wanted:
            part = Part(name, np.dtype(dtype), shape, offset)
            parts.append(part)
            offset += -(-part.nbytes // _ALIGNMENT) * _ALIGNMENT
        return cls(tuple(parts), offset)

    def arrays(self, buffer: Buffer) -> dict[str, npt.NDArray[Any]]:
        """The parts as arrays over a buffer of `nbytes` bytes: to be written."""
        return {
            part.name: buffer[part.offset : part.offset + part.nbytes].view(part.dtype).reshape(part.shape)
            for part in self.parts
        }

    def tensors(self, buffer: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parts as tensors over a uint8 tensor of `nbytes` bytes. Each keeps the whole buffer alive."""
        # A view of each type and then one of each part: half as many calls as slicing, 5 us less a window.
        typed = {dtype: buffer.view(_TORCH_TYPES[dtype]) for dtype in {part.dtype for part in self.parts}}
        start = buffer.storage_offset()
        return {
            part.name: typed[part.dtype].as_strided(
                part.shape, part.strides, (start + part.offset) // part.dtype.itemsize
            )
            for part in self.parts
        }
