"""Finds false balls that do not move: a score board, a logo, a spot on the floor that a detector locks on to.

A spot at which there is a candidate for seconds on end is not the ball of a rally: in 27,663 labelled frames of real
tennis and badminton no ball stays within 6 px (at 720p) for longer than 0.94 s. But a ball may lie on the floor
before the serve. What tells the two apart is what else goes on: while a rally is played past a logo, there is another
candidate that moves; a ball that waits is alone.
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
# From this share of its frames with a moving candidate on, a spot is false: between rallies there is none.
_LEAST_RALLY = 0.1
# Cells are four times the radius wide and taken in four positions: what stays within the radius is in one of them.
_POSITIONS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
_CELL_RADII = 4.0


def locked_on(
    time_s: FloatArray, xy: FloatArray, scores: FloatArray, *, threshold: float, radius: float, least_s: float
) -> BoolArray:
    """Which candidates are a false ball that does not move: bool `[N, K]`.

    Args:
        time_s: `[N]`, ascending.
        xy: `[N, K, 2]`, in any unit of length; NaN where there is no candidate.
        scores: `[N, K]`, 0..1.
        threshold: from this score on a candidate that moves is taken for the ball of a rally.
        radius: a spot stays within this of its place, same unit as `xy`.
        least_s: candidates that stay for less than this are left alone.
    """
    there: BoolArray = np.asarray(np.isfinite(xy).all(axis=2))
    row = np.nonzero(there)[0]
    stays = [
        _stays(time_s, row, np.floor(xy[there] / (_CELL_RADII * radius) + position), least_s)
        for position in _POSITIONS
    ]
    is_still = np.zeros(len(row), np.bool_)
    for stay in stays:
        is_still[stay.members] = True
    still = _spread(is_still, there)
    rally = np.append(0, np.cumsum(((scores >= threshold) & there & ~still).any(axis=1)))
    is_false = np.zeros(len(row), np.bool_)
    for stay in stays:
        share = (rally[stay.last + 1] - rally[stay.first]) / (stay.last + 1 - stay.first)
        is_false[stay.members[(share >= _LEAST_RALLY)[stay.number]]] = True
    return _spread(is_false, there)


@dataclass(frozen=True, slots=True)
class _Stays:
    """S long stays of candidates in one place.

    Attributes:
        first: int64 `[S]`, the row in which each begins; `last` likewise.
        members: int64 `[n]`, the candidates.
        number: int64 `[n]`, the stay of each.
    """

    first: IntArray
    last: IntArray
    members: IntArray
    number: IntArray


def _stays(time_s: FloatArray, row: IntArray, cell: FloatArray, least_s: float) -> _Stays:
    """Where candidates in rows `[M]` and cells `[M, 2]` stay in one cell for `least_s` and are mostly seen there."""
    order = np.lexsort((row, cell[:, 1], cell[:, 0]))
    row, cell = row[order], cell[order]
    apart = (np.diff(cell, axis=0) != 0).any(axis=1) | (np.diff(time_s[row]) > _HIDDEN_S)
    begins = np.flatnonzero(np.append(True, apart)) if len(row) else np.zeros(0, np.int64)
    count = np.diff(np.append(begins, len(row)))
    first, last = row[begins], row[begins + count - 1]
    long = (time_s[last] - time_s[first] >= least_s) & (count >= _LEAST_SHARE * (last + 1 - first))
    of_long = np.repeat(long, count)
    number = np.repeat(np.arange(int(long.sum())), count[long])
    return _Stays(first[long], last[long], order[of_long], number)


def _spread(flags: BoolArray, there: BoolArray) -> BoolArray:
    """Flags of the candidates that are there, `[M]`, as `[N, K]`."""
    spread = np.zeros(there.shape, np.bool_)
    spread[there] = flags
    return spread
