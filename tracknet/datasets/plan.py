"""The order of an epoch, in closed form: a function of the plan's parameters and of nothing else.

Every run's windows are cut at a random offset into pieces of L consecutive windows; the shuffled pieces,
laid end to end, are the sequence of N windows. With batch size B there are `S = N // B` steps. M lanes share
them: step `s` belongs to lane `m = s % M` at position `q = s // M`, and slot `j` of its batch reads

    sequence[offset_m + j * S_m + q],   S_m steps in lane m,   offset_m = B * sum of S_k over k < m

so that each (lane, slot) walks one contiguous stretch of the sequence, and whoever serves it decodes about one
new frame per window. Which worker or rank serves a step changes nothing: state is (epoch, step).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.utils.errors import UserError

WindowIds = npt.NDArray[np.int64]
# Apart from every window's own stream, whose number is its id.
_PLAN_STREAM = 2**64 - 1


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """What the order depends on, apart from the windows themselves.

    Attributes:
        seed: of the whole training.
        batch_size: windows per step, over all ranks.
        lanes: M, capped by the number of steps.
        run_length: L, consecutive windows that stay together.
    """

    seed: int
    batch_size: int
    lanes: int
    run_length: int


class EpochPlan:
    """The batches of one training epoch: every window at most once, fewer than B left out."""

    def __init__(self, run_bounds: npt.NDArray[np.int64], config: PlanConfig, epoch: int) -> None:
        """Draws the epoch's order.

        Args:
            run_bounds: int64 `[R, 2]`, first and one past the last window of every run.
            config: the plan's parameters.
            epoch: counts from 0.

        Raises:
            UserError: there are fewer windows than one batch needs.
        """
        self.sequence = _shuffled_pieces(run_bounds, config, epoch)
        self.batch_size = config.batch_size
        self.num_steps = len(self.sequence) // config.batch_size
        if self.num_steps == 0:
            raise UserError(
                f"a batch of {config.batch_size} windows cannot be filled: there are {len(self.sequence)}",
                remedy=f"set training.batch_size to at most {len(self.sequence)}, or build more data",
            )
        self.lanes = min(config.lanes, self.num_steps)
        steps_of_lane = (self.num_steps - np.arange(self.lanes) + self.lanes - 1) // self.lanes
        self._steps_of_lane = steps_of_lane
        self._offset_of_lane = config.batch_size * (np.cumsum(steps_of_lane) - steps_of_lane)

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B]`."""
        lane, position = step % self.lanes, step // self.lanes
        start = self._offset_of_lane[lane] + position
        return np.asarray(self.sequence[start + np.arange(self.batch_size) * self._steps_of_lane[lane]])


class EvaluationPlan:
    """Every window exactly once, in canonical order; the last batch is filled up by its last window."""

    def __init__(self, num_windows: int, batch_size: int) -> None:
        self.num_windows = num_windows
        self.batch_size = batch_size
        self.num_steps = -(-num_windows // batch_size)

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B]`. Those past the end repeat the last window."""
        return np.minimum(np.arange(self.batch_size) + step * self.batch_size, self.num_windows - 1)

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B]`: false for the repeated windows that fill the last batch."""
        return np.arange(self.batch_size) + step * self.batch_size < self.num_windows


def window_rng(seed: int, epoch: int, window: int) -> np.random.Generator:
    """The randomness of one window in one epoch, the same in whichever process it is drawn."""
    return _philox(seed, epoch, window)


def _philox(seed: int, epoch: int, stream: int) -> np.random.Generator:
    """A counter-based generator for (seed, epoch, stream): the same anywhere, without drawing what came before."""
    key = np.array([(seed % 2**32 << 32) + epoch, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _shuffled_pieces(run_bounds: npt.NDArray[np.int64], config: PlanConfig, epoch: int) -> WindowIds:
    rng = _philox(config.seed, epoch, _PLAN_STREAM)
    offsets = rng.integers(config.run_length, size=len(run_bounds))
    starts, ends = [], []
    for (first, end), offset in zip(run_bounds, offsets, strict=True):
        cuts = np.arange(first + offset, end, config.run_length)
        cuts = cuts[cuts > first]
        starts.append(np.concatenate([[first], cuts]))
        ends.append(np.concatenate([cuts, [end]]))
    if not starts:
        return np.zeros(0, np.int64)
    all_starts, all_ends = np.concatenate(starts), np.concatenate(ends)
    order = rng.permutation(len(all_starts))
    return np.concatenate([np.arange(all_starts[k], all_ends[k]) for k in order]).astype(np.int64)
