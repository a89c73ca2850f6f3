"""Which frames make a window. There is one window per frame, its anchor, so that every frame is predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.datasets.table import FrameTable
from tracknet.utils.settings import SequenceConfig


@dataclass(frozen=True)
class Windows:
    """The N windows of N frames: window `i` is the one anchored at frame `i`. Worked out when asked for.

    Attributes:
        run_bounds: int64 `[R, 2]`, the runs within which windows stay; together they are all frames.
        sequence: length T, stride and anchor.
    """

    run_bounds: npt.NDArray[np.int64]
    sequence: SequenceConfig

    def __len__(self) -> int:
        return int(self.run_bounds[-1, 1]) if len(self.run_bounds) else 0

    def rows(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of the frame table: int64 `[n, T]` of windows `[n]`. At its run's ends the frame there repeats."""
        bounds = self._run_of(ids)
        return np.clip(self._wanted(ids), bounds[:, :1], bounds[:, 1:] - 1)

    def padded(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Bool `[n]`: true where a window reaches past its run's end and repeats the frame there."""
        bounds, wanted = self._run_of(ids), self._wanted(ids)
        return (wanted[:, 0] < bounds[:, 0]) | (wanted[:, -1] >= bounds[:, 1])

    def bounds(self, row: int) -> tuple[int, int]:
        """First row and one past the last of the run of frames that a row is of."""
        first, end = self._run_of(np.array([row]))[0].tolist()
        return first, end

    def _run_of(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return self.run_bounds[np.searchsorted(self.run_bounds[:, 0], ids, side="right") - 1]

    def _wanted(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        sequence = self.sequence
        return ids[:, None] + (np.arange(sequence.length) - sequence.anchor_index) * sequence.stride


def make_windows(table: FrameTable, sequence: SequenceConfig) -> Windows:
    """The window of every frame: T frames, `stride` apart, repeated at the ends of a run.

    Args:
        table: the frames.
        sequence: length T, stride and anchor.
    """
    return Windows(table.run_bounds(), sequence)
