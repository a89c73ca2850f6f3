"""Which other frames help to change a window: those that show what is behind its ball, or a ball it may be lent.

Decided by the labels alone, so the same wherever a window is made.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.datasets.schema import Visibility
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows

Rows = npt.NDArray[np.int64]
# Rows. At a ball's median 11 px a frame it is out of its own way after 5; further off, players and cameras have moved.
_BACKGROUND_REACH = 24
# A shuttle that has left the picture, or was caught, is away for about 3 s.
_LENDER_REACH = 100


class Lenders:
    """The frames around a window, within its clip's run of frames."""

    def __init__(self, table: FrameTable, windows: Windows) -> None:
        self._table = table
        self._windows = windows
        self.seen = (table.visibility == Visibility.CLEAR) | (table.visibility == Visibility.HARD)
        """Bool `[N]`: the ball is there to be seen."""

    def background(self, rows: Rows, clear_px: float) -> int | None:
        """The nearest row whose ball is absent, or far from all those of the rows.

        Args:
            rows: int64 `[T]`, with balls.
            clear_px: how far, on either axis, frame pixels.
        """
        near = self._around(rows, _BACKGROUND_REACH)
        away = (
            np.abs(self._table.xy_px[near][:, None] - self._table.xy_px[rows][None]).max(axis=2).min(axis=1)
        )
        # NaN, no ball, compares as near.
        fit = near[~(away < clear_px)]
        return int(fit[np.abs(fit - rows.mean()).argmin()]) if len(fit) else None

    def with_balls(self, window: int, pick: float) -> Rows | None:
        """The rows, int64 `[T]`, of a window nearby that shows a ball in all its frames, each another.

        Not the nearest: where a ball vanishes there is mostly a player beside it.

        Args:
            window: that has none.
            pick: below 1, which one.
        """
        near = self._around(np.array([window]), _LENDER_REACH)
        near = near[~self._windows.padded(near)]
        if not len(near):
            return None
        fit = near[self.seen[self._windows.rows(near)].all(axis=1)]
        if not len(fit):
            return None
        return np.asarray(self._windows.rows(fit[[int(pick * len(fit))]])[0])

    def places(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Where the run of some rows has its ball: float64 `[n, 2]`, frame pixels."""
        first, end = self._windows.bounds(int(rows[0]))
        return np.asarray(self._table.xy_px[first:end][self.seen[first:end]])

    def _around(self, rows: Rows, reach: int) -> Rows:
        first, end = self._windows.bounds(int(rows[0]))
        return np.arange(max(first, int(rows[0]) - reach), min(end, int(rows[-1]) + reach + 1))
