"""The plan in blocks: what it covers, that two blocks fit the cache, and that one block is the usual plan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import REAL_CLIP_LENGTHS, bounds_of, steps_of
from tracknet.datasets.blocks import BlockedPlan, Blocks, deal_shards, make_blocks, steps_in
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.plan import EpochPlan, PlanConfig
from tracknet.datasets.windows import Windows
from tracknet.utils.errors import UserError
from tracknet.utils.settings import SequenceConfig

CONFIG = PlanConfig(seed=3, batch_size=4, lanes=6, run_length=8)
SEGMENT = 20


def segments(lengths: list[int] | tuple[int, ...], shards: int, seed: int) -> np.ndarray:
    """The shard of every frame, clips cut into segments that are dealt at random."""
    rng = np.random.default_rng(seed)
    dealt = [
        np.full(min(SEGMENT, n - at), rng.integers(shards)) for n in lengths for at in range(0, n, SEGMENT)
    ]
    return np.concatenate(dealt).astype(np.int32)


def blocks_of(
    lengths: list[int] | tuple[int, ...], shards: int, cache: int, seed: int = 0, length: int = 3
) -> tuple[Blocks, np.ndarray, Windows]:
    bounds = bounds_of(lengths)
    windows = Windows(bounds, SequenceConfig(length))
    shard_id = segments(lengths, shards, seed)
    blocks = make_blocks(
        WindowRuns.all_of(bounds),
        windows,
        shard_id,
        [10] * shards,
        cache_bytes=cache,
        batch_size=CONFIG.batch_size,
        seed=seed,
    )
    return blocks, shard_id, windows


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(0, 400), st.integers(0, 9))
def test_every_shard_is_in_one_block_and_two_blocks_fit(sizes: list[int], spare: int, seed: int) -> None:
    cache = 2 * max(sizes) + spare
    dealt = deal_shards(sizes, cache, seed)
    assert sorted(shard for block in dealt for shard in block) == list(range(len(sizes)))
    if sum(sizes) <= cache:
        assert len(dealt) == 1
    else:
        assert max(sum(sizes[shard] for shard in block) for block in dealt) * 2 <= cache


@given(
    st.lists(st.integers(1, 90), min_size=3, max_size=12),
    st.integers(2, 8),
    st.integers(20, 60),
    st.sampled_from([1, 3, 5]),
    st.integers(0, 5),
)
def test_a_block_serves_every_window_that_it_holds_whole_and_no_other(
    lengths: list[int], shards: int, cache: int, length: int, epoch: int
) -> None:
    blocks, shard_id, windows = blocks_of(lengths, shards, cache, length=length)
    if max(len(runs) for runs in blocks.runs) < CONFIG.batch_size:
        with pytest.raises(UserError, match="cannot be filled"):
            steps_in(blocks, CONFIG.batch_size)
        return
    plan = BlockedPlan(blocks, CONFIG, epoch)
    assert plan.num_steps == steps_in(blocks, CONFIG.batch_size)
    for step in range(plan.num_steps):
        shards_here = blocks.shards[plan.order[plan.place_of(step)]]
        assert set(shard_id[windows.rows(plan.batch(step))].ravel().tolist()) <= set(shards_here)
    served = steps_of(plan).ravel()
    assert len(np.unique(served)) == len(served)
    assert blocks.left_out + sum(len(runs) for runs in blocks.runs) == sum(lengths)
    if length == 1:
        assert blocks.left_out == 0
    assert len(served) > sum(lengths) - blocks.left_out - CONFIG.batch_size * len(blocks)
    small = [len(runs) for runs in blocks.runs if len(runs) < CONFIG.batch_size]
    assert blocks.too_few == (sum(small) if len(blocks) > 1 else 0)


def test_windows_of_a_block_without_a_batch_are_counted_as_never_served() -> None:
    """What every epoch leaves out is what is said, and what one epoch leaves out beyond that comes in another."""
    # Ten shards of one clip of so many frames each; five blocks of two shards.
    lengths = [2, 1, 1, 2, 9, 6, 1, 0, 5, 3]
    bounds = bounds_of(lengths)
    shard_id = np.repeat(np.arange(10), lengths).astype(np.int32)
    blocks = make_blocks(
        WindowRuns.all_of(bounds),
        Windows(bounds, SequenceConfig(1)),
        shard_id,
        [10] * 10,
        cache_bytes=40,
        batch_size=4,
        seed=0,
    )
    never = set(range(sum(lengths)))
    for epoch in range(30):
        never -= set(steps_of(BlockedPlan(blocks, CONFIG, epoch)).ravel().tolist())
    assert blocks.left_out == 0
    assert blocks.too_few == len(never) > 0


def test_where_all_fits_the_order_is_the_usual_one() -> None:
    lengths = (50, 70, 31)
    blocks, _, _ = blocks_of(lengths, shards=4, cache=40)
    usual = EpochPlan(WindowRuns.all_of(bounds_of(lengths)), CONFIG, epoch=2)
    # By the stream: a single block takes no plan of blocks at all (see `stream.WindowStream.plan_of`).
    assert len(blocks) == 1
    np.testing.assert_array_equal(blocks.runs[0].ids, np.sort(usual.sequence))


def test_epochs_take_blocks_and_windows_in_another_order_and_steps_stay_equal() -> None:
    blocks, _, _ = blocks_of(REAL_CLIP_LENGTHS, shards=32, cache=80)
    plans = [BlockedPlan(blocks, CONFIG, epoch) for epoch in range(4)]
    assert len(blocks) == 8
    assert len({tuple(plan.order) for plan in plans}) == 4
    assert len({plan.num_steps for plan in plans}) == 1
    assert not np.array_equal(steps_of(plans[0]), steps_of(plans[1]))
    np.testing.assert_array_equal(steps_of(plans[0]), steps_of(BlockedPlan(blocks, CONFIG, 0)))
    # Asked for backwards, as a step alone may be.
    backwards = [plans[0].batch(step) for step in reversed(range(plans[0].num_steps))]
    np.testing.assert_array_equal(np.stack(backwards[::-1]), steps_of(plans[0]))


def test_the_share_left_out_is_the_one_that_is_stated() -> None:
    blocks, _, _ = blocks_of(REAL_CLIP_LENGTHS, shards=32, cache=80)
    assert blocks.left_out / sum(REAL_CLIP_LENGTHS) == pytest.approx(2 / SEGMENT * (1 - 1 / 8), rel=0.1)


def test_a_cache_for_less_than_two_shards_is_refused_with_the_number() -> None:
    with pytest.raises(UserError, match=r"max_gb=0\.05 holds less than two shards of 0\.03 GB") as error:
        deal_shards([30_000_000] * 4, 50_000_000, seed=0)
    assert "at least 0.06" in str(error.value)
