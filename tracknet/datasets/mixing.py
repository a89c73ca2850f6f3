"""Several sources in one stream, each with its share of the windows, under the plan's own guarantees.

A batch's slots are split among the sources, by lane and for good: of the `M * B` (lane, slot) pairs source k has
as many as its weight says, to the nearest pair, spread evenly over lanes and slots. Each pair walks one contiguous
stretch of its source's sequence, as in `plan`, so frames are decoded once and any step can be returned to.

A source's sequence goes on for ever: pass 0 over its windows in one order, pass 1 in another, and so on. An epoch
takes the next `C_k` windows of it (the same number every epoch) from `epoch * C_k` on. So within a pass every
window of a source comes exactly once, none is left out, and a small source with a large weight is simply passed
over several times an epoch, with another augmentation each time.

An epoch has as many windows as all sources together hold, less than B of them left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracknet.datasets.lanes import lay_out, steps_of_lanes, training_steps
from tracknet.datasets.pieces import WindowIds, WindowRuns, shuffled_pieces
from tracknet.datasets.plan import PlanConfig, order_rng
from tracknet.utils.errors import UserError


class MixedPlan:
    """The batches of one epoch over several sources.

    Attributes:
        used: int64 `[K]`, windows that the epoch takes of each source.
    """

    def __init__(
        self, sources: Sequence[WindowRuns], weights: Sequence[float], config: PlanConfig, epoch: int
    ) -> None:
        """Draws the epoch's order.

        Args:
            sources: the windows of each source, apart from each other.
            weights: each above 0; a source's share of all windows is its weight over their sum.
            config: the plan's parameters.
            epoch: counts from 0.

        Raises:
            UserError: too few windows for a batch, or a weight too small for even one (lane, slot).
        """
        self.num_steps = training_steps(sum(map(len, sources)), config.batch_size)
        self.lanes = min(config.lanes, self.num_steps)
        source_of_slot = share_slots(weights, self.lanes, config.batch_size)
        starts, self.used = lay_out(source_of_slot, steps_of_lanes(self.num_steps, self.lanes))
        self._starts = starts + (np.cumsum(self.used) - self.used)[source_of_slot]
        parts = [
            _stretch(runs, config, number, epoch * int(used), int(used))
            for number, (runs, used) in enumerate(zip(sources, self.used, strict=True))
        ]
        self.sequence, self._piece_of, self._pass_of = map(np.concatenate, zip(*parts, strict=True))

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B]`."""
        return np.asarray(self.sequence[self._places(step)])

    def passes(self, step: int) -> npt.NDArray[np.int64]:
        """The pass over its source that each slot's window is of: int64 `[B]`."""
        return np.asarray(self._pass_of[self._places(step)])

    def pieces(self, step: int) -> WindowIds:
        """The first window of each slot's piece: int64 `[B]`."""
        return np.asarray(self._piece_of[self._places(step)])

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B]`, all true."""
        return np.ones(len(self._places(step)), np.bool_)

    def _places(self, step: int) -> npt.NDArray[np.int64]:
        return np.asarray(self._starts[step % self.lanes] + step // self.lanes)


def share_slots(weights: Sequence[float], lanes: int, batch_size: int) -> npt.NDArray[np.int64]:
    """The source of every (lane, slot): int64 `[M, B]`, as the weights say to the nearest pair, evenly spread.

    Raises:
        UserError: a source would get none.
    """
    pairs = lanes * batch_size
    wanted = np.asarray(weights, np.float64) / sum(weights) * pairs
    count = np.floor(wanted).astype(np.int64)
    # The largest remainders get what is left; of equals the first.
    count[np.argsort(count - wanted, kind="stable")[: pairs - count.sum()]] += 1
    if not count.all():
        least = sum(weights) / pairs
        raise UserError(
            "a source's weight is too small to be given any windows",
            problems=[
                f"data.sources[{number}].weight={weights[number]:g} of {sum(weights):g} in all: "
                f"{wanted[number]:.2g} of the plan's {pairs} parts ({lanes} lanes x {batch_size} windows)"
                for number in np.flatnonzero(count == 0).tolist()
            ],
            remedy=f"give it a weight of at least {least:.3g}, or leave it out",
        )
    return _interleaved(count).reshape(lanes, batch_size)


def windows_used(weights: Sequence[float], num_steps: int, lanes: int, batch_size: int) -> list[int]:
    """How many windows of each source an epoch takes. Raises as `share_slots` does."""
    _, used = lay_out(share_slots(weights, lanes, batch_size), steps_of_lanes(num_steps, lanes))
    return [int(count) for count in used]


def _interleaved(count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each source `count[k]` times, as evenly as can be: of any stretch it has its share, to less than two.

    The j-th turn of a source falls between `j / share` and `(j + 1) / share`; of the turns that may come, the one
    that must come first does. (Liu & Layland's earliest deadline first keeps all deadlines here: "Scheduling
    Algorithms for Multiprogramming in a Hard-Real-Time Environment", 1973.)
    """
    pairs = int(count.sum())
    turns = sorted(
        (turn * pairs // n, -(-(turn + 1) * pairs // n), source)
        for source, n in enumerate(count.tolist())
        for turn in range(n)
    )
    order, waiting, come = np.empty(pairs, np.int64), list[tuple[int, int]](), 0
    for place in range(pairs):
        while come < pairs and turns[come][0] <= place:
            heapq.heappush(waiting, turns[come][1:])
            come += 1
        order[place] = heapq.heappop(waiting)[1]
    return order


def _stretch(
    runs: WindowRuns, config: PlanConfig, source: int, first: int, count: int
) -> tuple[WindowIds, WindowIds, npt.NDArray[np.int64]]:
    """`count` windows from place `first` of a source's endless sequence, the piece and the pass that each is of."""
    windows, pieces, passes = [], [], []
    for number in range(first // len(runs), -(-(first + count) // len(runs))):
        order = shuffled_pieces(runs, config.run_length, order_rng(config.seed, number, source))
        begin = number * len(runs)
        part = slice(max(0, first - begin), first + count - begin)
        windows.append(order.windows[part])
        pieces.append(order.first[part])
        passes.append(np.full(len(windows[-1]), number, np.int64))
    return np.concatenate(windows), np.concatenate(pieces), np.concatenate(passes)
