"""The plan for shards that do not all fit on the disk: block after block of shards, each with an order of its own.

The seed deals the shards to blocks, of which two fit the cache: one that is read and the next, which is fetched
meanwhile. Which shards share a block stays so for the whole training, so that every epoch has equally many steps;
each epoch takes the blocks in another order, and orders the windows of each block anew, as `plan` does.

A window whose frames lie in several blocks is left out: no time comes at which they are all there. With segments of
n frames and K blocks that is about `(T - 1) * stride / n * (1 - 1 / K)` of all windows, always the same ones. Of each
block fewer than B further windows are left out, others each epoch; of a block that has no B windows at all, as a filter
may leave it, every window in every epoch.

Where everything fits there is one block, and the order is the usual plan's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.datasets.pieces import WindowIds, WindowRuns
from tracknet.datasets.plan import EpochPlan, PlanConfig, order_rng
from tracknet.datasets.windows import Windows
from tracknet.utils.errors import UserError
from tracknet.utils.gigabytes import GB, at_least_gb

_WINDOWS_AT_ONCE = 1 << 18
# Numbers of random streams; block b takes b + 2.
_DEALING, _ORDER_OF_BLOCKS = 0, 1


@dataclass(frozen=True)
class Blocks:
    """Shards that are there together, and the windows that they hold whole.

    Attributes:
        shards: of each block, positions among the shards.
        runs: the windows of each block.
        left_out: windows whose frames lie in several blocks.
        too_few: windows of blocks that have fewer than a batch of them; no epoch serves these either.
    """

    shards: tuple[tuple[int, ...], ...]
    runs: tuple[WindowRuns, ...]
    left_out: int
    too_few: int

    def __len__(self) -> int:
        return len(self.shards)


def deal_shards(shard_bytes: Sequence[int], cache_bytes: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Shards in blocks, two of which fit the cache; one block where all fit.

    Blocks are of equal size, to one shard.

    Args:
        shard_bytes: of each shard.
        cache_bytes: for all shards that are kept.
        seed: of the training.

    Raises:
        UserError: the cache does not hold the largest shard twice.
    """
    sizes = np.asarray(shard_bytes, np.int64)
    if sizes.sum() <= cache_bytes:
        return (tuple(range(len(sizes))),)
    if 2 * sizes.max() > cache_bytes:
        raise UserError(
            f"data.cache.max_gb={cache_bytes / GB:g} holds less than two shards of {sizes.max() / GB:.3g} GB, "
            "one to read and one to fetch meanwhile",
            remedy=f"set it to at least {at_least_gb(2 * int(sizes.max()))}, or build smaller shards (data.num_shards)",
        )
    order = order_rng(seed, 0, _DEALING).permutation(len(sizes))
    count = -(-int(sizes.sum()) * 2 // cache_bytes)
    while True:
        edges = [len(sizes) * number // count for number in range(count + 1)]
        dealt = [order[start:end] for start, end in itertools.pairwise(edges)]
        if max(int(sizes[block].sum()) for block in dealt) * 2 <= cache_bytes:
            return tuple(tuple(sorted(block.tolist())) for block in dealt)
        count += 1


def make_blocks(
    runs: WindowRuns,
    windows: Windows,
    shard_id: npt.NDArray[np.int32],
    shard_bytes: Sequence[int],
    *,
    cache_bytes: int,
    batch_size: int,
    seed: int,
) -> Blocks:
    """The blocks of a training.

    Args:
        runs: the windows to serve.
        windows: which frames each has.
        shard_id: int32 `[N]`, the shard of every frame.
        shard_bytes: of each shard.
        cache_bytes: for all shards that are kept.
        batch_size: B, over all ranks.
        seed: of the training.

    Raises:
        UserError: see `deal_shards`.
    """
    dealt = deal_shards(shard_bytes, cache_bytes, seed)
    if len(dealt) == 1:
        return Blocks(dealt, (runs,), 0, 0)
    block_of_shard = np.empty(len(shard_bytes), np.int32)
    for number, block in enumerate(dealt):
        block_of_shard[list(block)] = number
    block_of = np.empty(len(runs), np.int32)
    for start in range(0, len(runs), _WINDOWS_AT_ONCE):
        part = slice(start, start + _WINDOWS_AT_ONCE)
        blocks = block_of_shard[shard_id[windows.rows(runs.ids[part])]]
        block_of[part] = np.where((blocks == blocks[:, :1]).all(axis=1), blocks[:, 0], -1)
    kept = tuple(runs.only(block_of == number) for number in range(len(dealt)))
    too_few = sum(len(block) for block in kept if len(block) < batch_size)
    return Blocks(dealt, kept, int((block_of < 0).sum()), too_few)


class BlockedPlan:
    """The batches of one epoch, block after block. See `plan.Plan`.

    Attributes:
        order: the blocks in the order in which they are served.
        first_steps: int64 `[K + 1]`, the step at which each place in that order begins, and the end.
    """

    def __init__(self, blocks: Blocks, config: PlanConfig, epoch: int) -> None:
        """Draws the epoch's order; the windows of a block are ordered when it is come to.

        Args:
            blocks: see `make_blocks`.
            config: the plan's parameters.
            epoch: counts from 0.
        """
        self._blocks, self._config, self._epoch = blocks, config, epoch
        served = [number for number in range(len(blocks)) if len(blocks.runs[number]) >= config.batch_size]
        shuffled = order_rng(config.seed, epoch, _ORDER_OF_BLOCKS).permutation(len(served))
        self.order = [served[place] for place in shuffled]
        steps = [len(blocks.runs[number]) // config.batch_size for number in self.order]
        self.first_steps = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
        self.num_steps = int(self.first_steps[-1])
        self._drawn: dict[int, EpochPlan] = {}

    def place_of(self, step: int) -> int:
        """At which place of `order` the block of a step stands."""
        return int(np.searchsorted(self.first_steps, step, side="right")) - 1

    def batch(self, step: int) -> WindowIds:
        """The window ids of one step: int64 `[B]`."""
        plan, step_of_block = self._block_at(step)
        return plan.batch(step_of_block)

    def passes(self, step: int) -> npt.NDArray[np.int64]:
        """The epoch, for every slot: int64 `[B]`."""
        del step
        return np.full(self._config.batch_size, self._epoch, np.int64)

    def pieces(self, step: int) -> WindowIds:
        """The first window of each slot's piece: int64 `[B]`."""
        plan, step_of_block = self._block_at(step)
        return plan.pieces(step_of_block)

    def valid(self, step: int) -> npt.NDArray[np.bool_]:
        """Bool `[B]`, all true."""
        del step
        return np.ones(self._config.batch_size, np.bool_)

    def _block_at(self, step: int) -> tuple[EpochPlan, int]:
        """The plan of a step's block, and the step within it."""
        place = self.place_of(step)
        return self._plan_at(place), step - int(self.first_steps[place])

    def _plan_at(self, place: int) -> EpochPlan:
        number = self.order[place]
        if number not in self._drawn:
            # The one before may be asked for again by a neighbouring step, those further back will not be.
            for old in [
                block for block in self._drawn if block not in self.order[max(0, place - 1) : place + 1]
            ]:
                del self._drawn[old]
            self._drawn[number] = EpochPlan(
                self._blocks.runs[number], self._config, self._epoch, stream=number + 2
            )
        return self._drawn[number]


def steps_in(blocks: Blocks, batch_size: int) -> int:
    """Batches in every epoch.

    Raises:
        UserError: no block fills one.
    """
    steps = sum(len(runs) // batch_size for runs in blocks.runs)
    if not steps:
        most = max(len(runs) for runs in blocks.runs)
        raise UserError(
            f"a batch of {batch_size} windows cannot be filled: of {len(blocks)} blocks of shards none has more "
            f"than {most} windows",
            remedy=f"set training.batch_size to at most {most}, or raise data.cache.max_gb",
        )
    return steps


def smallest(blocks: Blocks) -> int:
    """Windows of the smallest block: what lanes and pieces are chosen for."""
    return min(len(runs) for runs in blocks.runs)
