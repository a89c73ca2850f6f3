"""The windows that there are, and their shuffle in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WindowIds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WindowRuns:
    """The windows that a plan orders.

    Attributes:
        ids: int64 `[N]`, ascending.
        bounds: int64 `[R, 2]`, first and one past the last *position in `ids`* of every run. Within a run windows
            share frames with their neighbours.
    """

    ids: WindowIds
    bounds: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def all_of(cls, run_bounds: npt.NDArray[np.int64]) -> WindowRuns:
        """Every window of adjacent runs: int64 `[R, 2]`, first and one past the last window."""
        first, end = (int(run_bounds[0, 0]), int(run_bounds[-1, 1])) if len(run_bounds) else (0, 0)
        return cls(np.arange(first, end, dtype=np.int64), run_bounds - first)

    def only(self, keep: npt.NDArray[np.bool_]) -> WindowRuns:
        """Those where `keep`, bool `[N]`, is true. A run that loses windows in its midst stays one run."""
        kept_before = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
        bounds = kept_before[self.bounds].reshape(-1, 2)
        return WindowRuns(self.ids[keep], bounds[bounds[:, 0] < bounds[:, 1]])


class Pieces(NamedTuple):
    """Windows in their shuffled order.

    Attributes:
        windows: int64 `[N]`, the window at each place.
        first: int64 `[N]`, the first window of the piece that it is of: the piece's name.
    """

    windows: WindowIds
    first: WindowIds


def shuffled_pieces(runs: WindowRuns, run_length: int, rng: np.random.Generator) -> Pieces:
    """All windows once: every run cut at a random offset into pieces of `run_length`, the pieces in random order.

    Takes 32 bytes a window while it works.
    """
    if not len(runs):
        return Pieces(np.zeros(0, np.int64), np.zeros(0, np.int64))
    starts, lengths = _cut(runs.bounds, run_length, rng)
    order = rng.permutation(len(starts))
    starts, lengths = starts[order], lengths[order]
    # From the place in the sequence to the position in `ids`: the same shift for all of a piece.
    shift = starts - (np.cumsum(lengths) - lengths)
    positions = np.repeat(shift, lengths)
    positions += np.arange(len(positions))
    return Pieces(
        np.asarray(runs.ids[positions], np.int64), np.repeat(np.asarray(runs.ids[starts], np.int64), lengths)
    )


def _cut(
    bounds: npt.NDArray[np.int64], run_length: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First position and length of every piece: int64 `[P]` each."""
    size = bounds[:, 1] - bounds[:, 0]
    offset = rng.integers(run_length, size=len(bounds))
    head = np.where(offset == 0, run_length, offset)
    pieces = 1 + np.maximum(0, -(-(size - head) // run_length))
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    # The cuts of a run lie at `head`, `head + L`, ...; its first piece starts at the run.
    cut = np.repeat(bounds[:, 0] + head, pieces) + (number - 1) * run_length
    starts = np.maximum(cut, np.repeat(bounds[:, 0], pieces))
    ends = np.minimum(cut + run_length, np.repeat(bounds[:, 1], pieces))
    return starts, ends - starts
