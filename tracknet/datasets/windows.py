"""Which frames make a window. There is one window per frame, its anchor, so that every frame is predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.datasets.table import FrameTable
from tracknet.utils.settings import SequenceConfig


@dataclass(frozen=True)
class Windows:
    """The N windows of N frames.

    Attributes:
        rows: int64 `[N, T]`, rows of the frame table; row `i` is the window anchored at frame `i`.
        padded: bool `[N]`, true where a window reaches past its run's end and repeats the frame there.
        run_bounds: int64 `[R, 2]`, the runs within which windows stay.
    """

    rows: npt.NDArray[np.int64]
    padded: npt.NDArray[np.bool_]
    run_bounds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


def make_windows(table: FrameTable, sequence: SequenceConfig) -> Windows:
    """The window of every frame: T frames, `stride` apart, repeated at the ends of a run.

    Args:
        table: the frames.
        sequence: length T, stride and anchor.
    """
    bounds = table.run_bounds()
    lengths = bounds[:, 1] - bounds[:, 0]
    first = np.repeat(bounds[:, 0], lengths)[:, None]
    last = np.repeat(bounds[:, 1] - 1, lengths)[:, None]
    offsets = (np.arange(sequence.length) - sequence.anchor_index) * sequence.stride
    wanted = np.arange(len(table))[:, None] + offsets
    rows = np.clip(wanted, first, last)
    return Windows(rows=rows, padded=(rows != wanted).any(axis=1), run_bounds=bounds)
