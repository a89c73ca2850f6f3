"""Finds false balls that do not move: a score board, a logo, a spot on the floor that a detector locks on to.

A spot at which there is a candidate for seconds on end is not the ball of a rally: in 27,663 labelled frames of real
tennis and badminton no ball stays within 6 px (at 720p) for longer than 0.94 s. But a ball may lie on the floor
before the serve. What tells the two apart is what else goes on: a rally is played past a logo, while a ball that
waits is alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# A spot that is found in fewer of its frames is no spot but a place where balls pass.
_LEAST_SHARE = 0.5
# It may be hidden for so long, by a player for example, and be the same.
_HIDDEN_S = 0.5
# From this share of its frames with a ball in flight on, a spot is false: of a ball that waits nearly none has one.
_LEAST_RALLY = 0.1
# Cells are four times the radius wide and taken in four positions: what stays within the radius is in one of them.
_POSITIONS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
_CELL_RADII = 4.0


@dataclass(frozen=True, slots=True)
class Spots:
    """Candidates that stay in one place for long: balls that wait, and what is none.

    Attributes:
        still: bool `[N, K]`, which these are.
    """

    still: BoolArray
    _stays: tuple[_Stays, ...]

    @classmethod
    def find(cls, time_s: FloatArray, xy: FloatArray, *, radius: float, least_s: float) -> Spots:
        """All there are.

        Args:
            time_s: `[N]`, ascending.
            xy: `[N, K, 2]`, in any unit of length; NaN where there is no candidate.
            radius: a spot stays within this of its place, same unit as `xy`.
            least_s: candidates that stay for less than this are left alone.
        """
        there = np.asarray(np.isfinite(xy).all(axis=2))
        row, column = np.nonzero(there)
        stays = tuple(
            _Stays.find(time_s, row, column, np.floor(xy[there] / (_CELL_RADII * radius) + position), least_s)
            for position in _POSITIONS
        )
        still = np.zeros(there.shape, np.bool_)
        for stay in stays:
            still[stay.row, stay.column] = True
        return cls(still, stays)

    def beside(self, rally: BoolArray) -> BoolArray:
        """The spots that are no ball, bool `[N, K]`: another one flies in many of their frames.

        Args:
            rally: `[N]`, the frames in which a ball flies, told without the spots.
        """
        so_far = np.append(0, np.cumsum(rally))
        false = np.zeros(self.still.shape, np.bool_)
        for stay in self._stays:
            share = (so_far[stay.last + 1] - so_far[stay.first]) / (stay.last + 1 - stay.first)
            of_false = (share >= _LEAST_RALLY)[stay.number]
            false[stay.row[of_false], stay.column[of_false]] = True
        return false


@dataclass(frozen=True, slots=True)
class _Stays:
    """S long stays of candidates in one cell.

    Attributes:
        first: int64 `[S]`, the row in which each begins.
        last: int64 `[S]`, the row in which each ends.
        row: int64 `[n]`, of the candidates.
        column: int64 `[n]`, of the candidates.
        number: int64 `[n]`, the stay of each.
    """

    first: IntArray
    last: IntArray
    row: IntArray
    column: IntArray
    number: IntArray

    @classmethod
    def find(
        cls, time_s: FloatArray, row: IntArray, column: IntArray, cell: FloatArray, least_s: float
    ) -> _Stays:
        """Those of candidates in rows `[M]`, columns `[M]` and cells `[M, 2]` that last and are mostly seen."""
        order = np.lexsort((row, cell[:, 1], cell[:, 0]))
        row, column, cell = row[order], column[order], cell[order]
        apart = (np.diff(cell, axis=0) != 0).any(axis=1) | (np.diff(time_s[row]) > _HIDDEN_S)
        begins = np.flatnonzero(np.append(True, apart)) if len(row) else np.zeros(0, np.int64)
        count = np.diff(np.append(begins, len(row)))
        first, last = row[begins], row[begins + count - 1]
        long = (time_s[last] - time_s[first] >= least_s) & (count >= _LEAST_SHARE * (last + 1 - first))
        of_long = np.repeat(long, count)
        number = np.repeat(np.arange(int(long.sum())), count[long])
        return cls(first[long], last[long], row[of_long], column[of_long], number)
