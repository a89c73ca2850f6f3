"""The order of an epoch, in closed form: a function of the plan's parameters and of nothing else.

Every run's windows are cut at a random offset into pieces of L consecutive windows; the shuffled pieces, laid
end to end, are the sequence of N windows. With batch size B there are `S = N // B` steps. M lanes share them:
step `s` belongs to lane `m = s % M` at position `q = s // M`, and slot `j` of its batch reads

    sequence[start[m, j] + q]

with one contiguous stretch of the sequence for every (lane, slot): `lanes.lay_out` says where each starts. Whoever
serves a lane keeps the last few frames and decodes about one new frame per window. Which worker or rank serves a
step changes nothing: state is (epoch, step).

What the order depends on: the runs of windows there are (the build's frames, and the filter), seed, epoch, L, M
and B; T and stride enter through the L and M that `lanes.default_order` chooses. The build id is no part of the
seed. Corrected labels make another build of the same frames, and two runs that compare them are so paired, window
for window and augmentation for augmentation. To *resume* on another build is refused all the same, by name
(`training.checkpoint.check_resumable`): its targets may differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.random.bit_generator import ISeedSequence

from tracknet.datasets.lanes import lay_out, steps_of_lanes, training_steps
from tracknet.datasets.pieces import WindowIds, WindowRuns, shuffled_pieces
from tracknet.datasets.topology import Topology

ORDER_VERSION = 2
"""Of the rules of the order. A run that began under other rules cannot be resumed."""

# Apart from every window's own stream, whose number is its id. Source k of a mix takes the k-th below it.
_PLAN_STREAM = 2**64 - 1
# Further streams of every window, so that one part of the augmentation draws as it would without the others.
_BALL_STREAM = 2**62
_PAIR_STREAM = 2**63


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """What the order depends on, apart from the windows themselves.

    Attributes:
        seed: of the whole training.
        batch_size: B, windows per step over all ranks.
        lanes: M, capped by the number of steps.
        run_length: L, consecutive windows that stay together.
    """

    seed: int
    batch_size: int
    lanes: int
    run_length: int


class Plan(Protocol):
    """The batches of one epoch. Any step may be asked for, alone and in any order."""

    @property
    def num_steps(self) -> int:
        """Batches in the epoch."""
        ...

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B]`."""
        ...

    def passes(self, step: int) -> npt.NDArray[np.int64]:
        """The pass over its windows that each slot's is of: int64 `[B]`. No window comes twice in a pass."""
        ...

    def pieces(self, step: int) -> WindowIds:
        """The first window of the piece of the shuffle that each slot's is of: int64 `[B]`."""
        ...

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B]`: false for windows that only fill up a batch."""
        ...


class EpochPlan:
    """The batches of one training epoch: every window at most once, fewer than B left out."""

    def __init__(self, runs: WindowRuns, config: PlanConfig, epoch: int, *, stream: int = 0) -> None:
        """Draws the epoch's order.

        Args:
            runs: the windows.
            config: the plan's parameters.
            epoch: counts from 0.
            stream: number of the random stream, for plans that are parts of one.

        Raises:
            UserError: there are fewer windows than one batch needs.
        """
        self.num_steps = training_steps(len(runs), config.batch_size)
        self.lanes = min(config.lanes, self.num_steps)
        shuffled = shuffled_pieces(runs, config.run_length, order_rng(config.seed, epoch, stream))
        self.sequence, self._pieces = shuffled
        one_source = np.zeros((self.lanes, config.batch_size), np.int64)
        self._starts, _ = lay_out(one_source, steps_of_lanes(self.num_steps, self.lanes))
        self._passes = np.full(config.batch_size, epoch, np.int64)

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B]`."""
        return np.asarray(self.sequence[self._places(step)])

    def passes(self, step: int) -> npt.NDArray[np.int64]:
        """The epoch, for every slot: int64 `[B]`."""
        del step
        return self._passes

    def pieces(self, step: int) -> WindowIds:
        """The first window of each slot's piece: int64 `[B]`."""
        return np.asarray(self._pieces[self._places(step)])

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B]`, all true."""
        del step
        return np.ones(len(self._passes), np.bool_)

    def _places(self, step: int) -> npt.NDArray[np.int64]:
        return np.asarray(self._starts[step % self.lanes] + step // self.lanes)


@dataclass(frozen=True, slots=True)
class RankPlan:
    """One rank's slots of a plan over all ranks."""

    whole: Plan
    slots: slice

    @property
    def num_steps(self) -> int:
        """As the whole plan's."""
        return self.whole.num_steps

    def batch(self, step: int) -> WindowIds:
        """The window ids of this rank: int64 `[B / R]`."""
        return self.whole.batch(step)[self.slots]

    def passes(self, step: int) -> npt.NDArray[np.int64]:
        """Int64 `[B / R]`."""
        return self.whole.passes(step)[self.slots]

    def pieces(self, step: int) -> WindowIds:
        """Int64 `[B / R]`."""
        return self.whole.pieces(step)[self.slots]

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B / R]`."""
        return self.whole.valid(step)[self.slots]


class EvaluationPlan:
    """Every window exactly once over all ranks, in canonical order; a batch that is short is filled up.

    Each rank's own windows are a contiguous part of the batches that one process with this rank's batch size would
    serve. The ranks' own windows laid end to end are all windows in canonical order, and frames are decoded twice only
    at the parts' seams. All ranks take equally many steps.

    Attributes:
        own: first and one past the last of this rank's windows. It serves more where there is a margin.
    """

    def __init__(
        self, num_windows: int, batch_size: int, topology: Topology | None = None, *, margin: int = 0
    ) -> None:
        """Describes this rank's part.

        Args:
            num_windows: over all ranks.
            batch_size: over all ranks; each takes its share, rounded up.
            topology: this process among all; alone where not given.
            margin: how many windows to either side of its own this rank needs too, in whole batches.
        """
        topology = topology or Topology()
        ranks = topology.world_size
        self.num_windows = num_windows
        self.batch_size = size = -(-batch_size // ranks)
        batches = -(-num_windows // size)

        def served(rank: int) -> tuple[int, int]:
            first, end = Topology(rank, ranks).part(batches)
            more = -(-margin // size) if first < end else 0
            return max(0, first - more), min(batches, end + more)

        self.num_steps = max(end - first for first, end in map(served, range(ranks)))
        first, end = (min(batch * size, num_windows) for batch in topology.part(batches))
        self.own = first, end
        first, end = served(topology.rank)
        self._first, self._end = first * size, min(end * size, num_windows)

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B / R]`. Those past what is served repeat its last window."""
        # A rank without windows of its own, where there are more ranks than windows, repeats its neighbour's.
        return np.minimum(self._wanted(step), max(0, self._end - 1))

    def passes(self, step: int) -> npt.NDArray[np.int64]:
        """Zeros: int64 `[B / R]`."""
        del step
        return np.zeros(self.batch_size, np.int64)

    def pieces(self, step: int) -> WindowIds:
        """The windows themselves, which nothing shuffles: int64 `[B / R]`."""
        return self.batch(step)

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B / R]`: false for the repeated windows that fill a batch."""
        return self._wanted(step) < self._end

    def _wanted(self, step: int) -> WindowIds:
        return np.arange(self.batch_size) + (self._first + step * self.batch_size)


def window_rng(seed: int, window_pass: int, window: int) -> np.random.Generator:
    """The randomness of one window, or of the piece that it begins, in one pass; the same in whichever process."""
    return _philox(seed, window_pass, window)


def ball_rng(seed: int, window_pass: int, window: int) -> np.random.Generator:
    """The randomness of what happens to one window's ball in one pass."""
    return _philox(seed, window_pass, _BALL_STREAM + window)


def pair_rng(seed: int, window_pass: int, window: int) -> np.random.Generator:
    """The randomness of a pair of windows, by the first of them and its pass."""
    return _philox(seed, window_pass, _PAIR_STREAM + window)


def order_rng(seed: int, window_pass: int, source: int = 0) -> np.random.Generator:
    """The randomness of the order of one pass over one source's windows."""
    return _philox(seed, window_pass, _PLAN_STREAM - source)


def _philox(seed: int, window_pass: int, stream: int) -> np.random.Generator:
    """A counter-based generator: the same for the same numbers anywhere, without drawing what came before."""
    key = np.array([(seed % 2**32 << 32) + window_pass, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(_Key(key)))  # type: ignore[arg-type]  # stubs know its subclass only


class _Key(ISeedSequence):
    """A key as NumPy takes a seed. The same generator as that of `Philox(key=key)`, which gathers entropy that it
    does not use: 8 us in place of 3, and most of a window's draws.
    """

    def __init__(self, key: npt.NDArray[np.uint64]) -> None:
        self._key = key

    def generate_state(self, n_words: int, dtype: npt.DTypeLike = np.uint32) -> npt.NDArray[Any]:
        """The key, which is all that a Philox asks for."""
        assert (n_words, dtype) == (2, np.uint64)
        return self._key
