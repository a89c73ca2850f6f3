"""Several sources in one stream: their shares, what is served when, and what it costs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.datasets.conftest import REAL_CLIP_LENGTHS, bounds_of, steps_of
from tracknet.datasets.mixing import MixedPlan, share_slots, windows_used
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.plan import EpochPlan, PlanConfig
from tracknet.datasets.reader import CachedFrames, Frame
from tracknet.datasets.topology import Topology
from tracknet.datasets.windows import Windows
from tracknet.utils.errors import UserError
from tracknet.utils.settings import SequenceConfig

SOURCES = st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=2, max_size=3)
WEIGHTS = st.lists(st.floats(0.2, 5), min_size=3, max_size=3)
CONFIGS = st.builds(
    PlanConfig,
    seed=st.integers(0, 2**32 - 1),
    batch_size=st.sampled_from([4, 8]),
    lanes=st.integers(1, 24),
    run_length=st.integers(1, 20),
)


def sources_of(lengths: list[list[int]]) -> list[WindowRuns]:
    sources, first = [], 0
    for runs in lengths:
        sources.append(WindowRuns.all_of(bounds_of(runs) + first))
        first += sum(runs)
    return sources


def plan_of(lengths: list[list[int]], weights: list[float], config: PlanConfig, epoch: int) -> MixedPlan:
    return MixedPlan(sources_of(lengths), weights[: len(lengths)], config, epoch)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=5), st.integers(1, 24), st.integers(1, 16))
def test_slots_are_shared_as_the_weights_say(weights: list[float], lanes: int, batch_size: int) -> None:
    pairs = lanes * batch_size
    ideal = np.array(weights) / sum(weights) * pairs
    try:
        slots = share_slots(weights, lanes, batch_size)
    except UserError:
        assert ideal.min() < 1
        return
    count = np.bincount(slots.ravel(), minlength=len(weights))
    assert slots.shape == (lanes, batch_size)
    assert count.sum() == pairs
    assert (np.abs(count - ideal) < 1).all()
    # Evenly: every lane has its share, to a slot or two.
    for source, share in enumerate(count / pairs):
        assert (np.abs((slots == source).sum(axis=1) - share * batch_size) < 2).all()


def test_a_weight_too_small_is_refused_with_the_least_that_works() -> None:
    with pytest.raises(UserError, match="too small") as caught:
        share_slots([1000, 1, 1000, 2], 24, 8)
    assert [line.split(":")[0] for line in caught.value.problems] == [
        "data.sources[1].weight=1 of 2003 in all",
        "data.sources[3].weight=2 of 2003 in all",
    ]
    assert caught.value.remedy is not None
    assert "at least 10.4" in caught.value.remedy
    assert share_slots([1000, 10.5, 1000, 10.5], 24, 8).size == 192


@given(SOURCES, WEIGHTS, CONFIGS, st.integers(1, 6))
def test_within_a_pass_every_window_of_a_source_comes_once(
    lengths: list[list[int]], weights: list[float], config: PlanConfig, epochs: int
) -> None:
    assume(sum(map(sum, lengths)) // config.batch_size >= 3)
    sources = sources_of(lengths)
    served: Counter[tuple[int, int]] = Counter()
    for epoch in range(epochs):
        try:
            plan = MixedPlan(sources, weights[: len(sources)], config, epoch)
        except UserError:
            # A share of less than a slot; what is refused is tested above.
            return
        assert plan.num_steps == sum(map(len, sources)) // config.batch_size
        for step in range(plan.num_steps):
            passes, windows = plan.passes(step).tolist(), plan.batch(step).tolist()
            served.update(zip(passes, windows, strict=True))
            # A piece is named by a window of the same source, at most L - 1 before.
            for window, piece in zip(windows, plan.pieces(step).tolist(), strict=True):
                assert 0 <= window - piece < config.run_length
                assert any({window, piece} <= set(source.ids.tolist()) for source in sources)
    assert max(served.values()) == 1
    for source, used in zip(sources, plan.used.tolist(), strict=True):
        of_pass = Counter(number for number, window in served if window in set(source.ids.tolist()))
        whole, rest = divmod(epochs * used, len(source))
        # No window is left out for good: each pass is finished before the next begins.
        expected = {**dict.fromkeys(range(whole), len(source)), **({whole: rest} if rest else {})}
        assert of_pass == expected


@settings(max_examples=25)
@given(SOURCES, WEIGHTS, CONFIGS, st.integers(0, 5))
def test_ranks_and_workers_share_the_epoch_without_a_rest(
    lengths: list[list[int]], weights: list[float], config: PlanConfig, epoch: int
) -> None:
    assume(sum(map(sum, lengths)) // config.batch_size >= 3)
    try:
        whole = steps_of(plan_of(lengths, weights, config, epoch))
    except UserError:
        return
    for ranks in (1, 2, 4):
        for workers in (1, 2, 3):
            served = np.full_like(whole, -1)
            for rank in range(ranks):
                plan = plan_of(lengths, weights, config, epoch)
                slots = Topology(rank, ranks).slots(config.batch_size)
                for worker in range(workers):
                    for step in reversed(range(worker, plan.num_steps, workers)):
                        served[step, slots] = plan.batch(step)[slots]
            np.testing.assert_array_equal(served, whole)


def test_one_source_alone_is_the_plan_of_epoch_0() -> None:
    runs, config = WindowRuns.all_of(bounds_of([50, 70])), PlanConfig(3, 4, 6, 8)
    np.testing.assert_array_equal(
        steps_of(MixedPlan([runs], [1.0], config, 0)), steps_of(EpochPlan(runs, config, 0))
    )


def test_a_small_source_is_passed_over_again_in_another_order() -> None:
    sources = sources_of([[300], [2] * 10])
    plan = MixedPlan(sources, [1, 1], PlanConfig(0, 8, 4, 8), 0)
    assert plan.used.tolist() == [160, 160] == windows_used([1, 1], plan.num_steps, 4, 8)
    small = plan.sequence[160:].reshape(8, 20)
    assert all(sorted(order) == list(range(300, 320)) for order in small.tolist())
    assert len({tuple(order) for order in small.tolist()}) == 8
    # And the next epoch goes on where this one stopped.
    following = MixedPlan(sources, [1, 1], PlanConfig(0, 8, 4, 8), 1)
    passes = np.concatenate([following.passes(step) for step in range(40)])
    windows = np.concatenate([following.batch(step) for step in range(40)])
    assert set(passes[windows >= 300].tolist()) == set(range(8, 16))
    assert Counter(passes[windows < 300].tolist()) == {0: 140, 1: 20}


def test_sources_of_one_length_are_shuffled_apart() -> None:
    plan = MixedPlan(sources_of([[64], [64]]), [1, 1], PlanConfig(0, 8, 4, 4), 0)
    one, other = plan.sequence[:64], plan.sequence[64:] - 64
    assert (one == other).mean() < 0.3


class _Nothing:
    def read(self, row: int) -> Frame:
        return np.zeros((0, 0, 3), np.uint8)


def test_frames_are_decoded_once_in_a_mix_too() -> None:
    """The real data set and a tenth as much of another, at equal weights.

    0.92 decodes per window, alone 1.06: where the small source is walked in several places at once, they share.
    """
    lengths = [list(REAL_CLIP_LENGTHS), [180] * 11]
    config = PlanConfig(0, 16, 24, 96)
    plan = plan_of(lengths, [1.0, 1.0], config, 0)
    windows = Windows(bounds_of([*lengths[0], *lengths[1]]), SequenceConfig(3))
    cache = CachedFrames(_Nothing(), 24 * 16 * 3)
    for step in range(plan.num_steps):
        for row in windows.rows(plan.batch(step)).ravel().tolist():
            cache.read(row)
    assert 0.85 < cache.decodes / (plan.num_steps * 16) < 1.0
    # Half of every batch.
    of_first = (steps_of(plan) < 19_835).sum(axis=1)
    assert set(of_first.tolist()) == {8}
