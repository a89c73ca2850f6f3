"""The order of an epoch: what it covers, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datasets.conftest import REAL_CLIP_LENGTHS, bounds_of, steps_of
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.plan import (
    EpochPlan,
    EvaluationPlan,
    PlanConfig,
    ball_rng,
    order_rng,
    pair_rng,
    window_rng,
)
from tracknet.datasets.topology import Topology
from tracknet.utils.errors import UserError

RUN_LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=8)
CONFIGS = st.builds(
    PlanConfig,
    seed=st.integers(0, 2**32 - 1),
    batch_size=st.integers(1, 9),
    lanes=st.integers(1, 30),
    run_length=st.integers(1, 40),
)


def runs_of(lengths: list[int] | tuple[int, ...]) -> WindowRuns:
    return WindowRuns.all_of(bounds_of(lengths))


@given(RUN_LENGTHS, CONFIGS, st.integers(0, 2**31))
def test_every_window_at_most_once_and_fewer_than_a_batch_left_out(
    lengths: list[int], config: PlanConfig, epoch: int
) -> None:
    windows = sum(lengths)
    if windows < config.batch_size:
        with pytest.raises(UserError, match=f"cannot be filled: there are {windows}"):
            EpochPlan(runs_of(lengths), config, epoch)
        return
    plan = EpochPlan(runs_of(lengths), config, epoch)
    steps = steps_of(plan)
    assert steps.shape == (windows // config.batch_size, config.batch_size)
    served = steps.ravel()
    assert len(np.unique(served)) == len(served) > windows - config.batch_size
    assert served.min() >= 0
    assert served.max() < windows
    assert sorted(plan.sequence.tolist()) == list(range(windows))


@given(RUN_LENGTHS.filter(lambda lengths: sum(lengths) >= 9), CONFIGS, st.integers(0, 100))
def test_the_order_is_a_function_of_seed_and_epoch(
    lengths: list[int], config: PlanConfig, epoch: int
) -> None:
    np.testing.assert_array_equal(
        steps_of(EpochPlan(runs_of(lengths), config, epoch)),
        steps_of(EpochPlan(runs_of(lengths), config, epoch)),
    )


@given(RUN_LENGTHS.filter(lambda lengths: sum(lengths) >= 9), CONFIGS)
def test_a_step_can_be_asked_for_alone_and_in_any_order(lengths: list[int], config: PlanConfig) -> None:
    plan = EpochPlan(runs_of(lengths), config, 3)
    backwards = [plan.batch(step) for step in reversed(range(plan.num_steps))]
    np.testing.assert_array_equal(steps_of(plan), backwards[::-1])


@given(RUN_LENGTHS.filter(lambda lengths: sum(lengths) >= 9), CONFIGS)
def test_every_lane_and_slot_walks_one_stretch_of_the_sequence(
    lengths: list[int], config: PlanConfig
) -> None:
    """What decoding once rests on."""
    plan = EpochPlan(runs_of(lengths), config, 0)
    place = np.argsort(plan.sequence)
    steps = steps_of(plan)
    for lane in range(plan.lanes):
        assert (np.diff(place[steps[lane :: plan.lanes]], axis=0) == 1).all()


@settings(max_examples=40)
@given(
    RUN_LENGTHS,
    st.sampled_from([8, 16, 24]),
    st.integers(1, 30),
    st.integers(1, 40),
    st.integers(0, 50),
)
def test_ranks_and_workers_share_the_epoch_without_a_rest(
    lengths: list[int], batch_size: int, lanes: int, run_length: int, epoch: int
) -> None:
    """Whatever the topology: equal steps on every rank, and together the batches of one process."""
    if sum(lengths) < batch_size:
        return
    config = PlanConfig(1, batch_size, lanes, run_length)
    whole = steps_of(EpochPlan(runs_of(lengths), config, epoch))
    for ranks in (1, 2, 4, 8):
        for workers in (1, 2, 3, 4, 8):
            served = np.full_like(whole, -1)
            for rank in range(ranks):
                plan = EpochPlan(runs_of(lengths), config, epoch)
                slots = Topology(rank, ranks).slots(batch_size)
                assert plan.num_steps == len(whole)
                for worker in range(workers):
                    for step in range(worker, plan.num_steps, workers):
                        served[step, slots] = plan.batch(step)[slots]
            np.testing.assert_array_equal(served, whole)


def test_a_batch_that_cannot_be_split_is_refused_with_the_nearest_that_can() -> None:
    assert [Topology(rank, 4).slots(8) for rank in range(4)] == [slice(n, n + 2) for n in (0, 2, 4, 6)]
    with pytest.raises(UserError, match="batch_size=10 windows cannot be split evenly over 4") as caught:
        Topology(1, 4).slots(10)
    assert caught.value.remedy == "set training.batch_size to 8 or 12"
    with pytest.raises(UserError) as caught:
        Topology(1, 4).slots(3)
    assert caught.value.remedy == "set training.batch_size to 4"


@pytest.mark.parametrize(("rank", "ranks"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_there_is_not(rank: int, ranks: int) -> None:
    with pytest.raises(ValueError, match=f"rank {rank} of {ranks}"):
        Topology(rank, ranks)


def test_epochs_and_seeds_differ_and_leave_out_others() -> None:
    runs = runs_of(REAL_CLIP_LENGTHS)
    config = PlanConfig(seed=5, batch_size=64, lanes=24, run_length=32)
    plans = [EpochPlan(runs, config, epoch) for epoch in range(3)]
    plans.append(EpochPlan(runs, PlanConfig(6, 64, 24, 32), 0))
    left_out = set()
    for plan in plans:
        left_out.add(tuple(sorted(set(range(19_835)) - set(steps_of(plan).ravel().tolist()))))
    assert {len(windows) for windows in left_out} == {19_835 % 64}
    assert len(left_out) == len(plans)
    first = steps_of(plans[0])
    for other in plans[1:]:
        # A random order agrees with another in one place of 19,835.
        assert (first == steps_of(other)).mean() < 0.002


def test_the_order_of_one_seed_is_the_same_for_ever() -> None:
    """A change here is a change of `ORDER_VERSION`."""
    plan = EpochPlan(runs_of([7, 5]), PlanConfig(seed=1, batch_size=2, lanes=2, run_length=3), 4)
    assert plan.sequence.tolist() == [0, 1, 2, 11, 7, 8, 9, 10, 6, 3, 4, 5]
    assert steps_of(plan).tolist() == [[0, 9], [11, 3], [1, 10], [7, 4], [2, 6], [8, 5]]


# ---------------------------------------------------------------- evaluation


@given(st.integers(1, 200), st.integers(1, 20))
def test_evaluation_serves_every_window_once_in_order(windows: int, batch_size: int) -> None:
    plan = EvaluationPlan(windows, batch_size)
    steps = steps_of(plan)
    valid = np.stack([plan.valid(step) for step in range(plan.num_steps)])
    assert steps.shape == valid.shape == (-(-windows // batch_size), batch_size)
    assert steps[valid].tolist() == list(range(windows))
    assert (steps[~valid] == windows - 1).all()
    assert valid[:-1].all()


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 9))
def test_ranks_evaluate_every_window_once_and_in_order_when_laid_end_to_end(
    windows: int, batch_size: int, ranks: int
) -> None:
    plans = [EvaluationPlan(windows, batch_size, Topology(rank, ranks)) for rank in range(ranks)]
    assert len({(plan.num_steps, plan.batch_size) for plan in plans}) == 1
    gathered: list[int] = []
    for plan in plans:
        for step in range(plan.num_steps):
            batch, valid = plan.batch(step), plan.valid(step)
            assert len(batch) == len(valid) == -(-batch_size // ranks)
            assert ((batch >= 0) & (batch < windows)).all()
            gathered += batch[valid].tolist()
    assert gathered == list(range(windows))
    # No rank waits for a step that brings nobody anything.
    assert any(plan.valid(plan.num_steps - 1).any() for plan in plans)


@given(st.integers(1, 200), st.integers(1, 20), st.integers(2, 9), st.integers(0, 30))
def test_ranks_serve_the_batches_of_one_process_and_a_margin_around_their_own(
    windows: int, each: int, ranks: int, margin: int
) -> None:
    alone = EvaluationPlan(windows, each)
    batches = {tuple(alone.batch(step)) for step in range(alone.num_steps)}
    plans = [
        EvaluationPlan(windows, each * ranks, Topology(rank, ranks), margin=margin) for rank in range(ranks)
    ]
    assert len({plan.num_steps for plan in plans}) == 1
    ends = [0]
    for plan in plans:
        first, end = plan.own
        assert first == ends[-1]
        ends.append(end)
        served: list[int] = []
        for step in range(plan.num_steps):
            batch, valid = plan.batch(step), plan.valid(step)
            if valid.any():
                assert tuple(batch) in batches
            served += batch[valid].tolist()
        if first < end:
            low, high = max(0, first - margin), min(windows, end + margin)
            assert served[0] <= low
            assert served[-1] >= high - 1
            assert served == list(range(served[0], served[-1] + 1))
        else:
            assert served == []
    assert ends[-1] == windows


def test_evaluation_of_nothing_has_no_steps() -> None:
    assert EvaluationPlan(0, 4).num_steps == 0


def test_randomness_of_windows_epochs_and_seeds_is_apart() -> None:
    draws = {
        (seed, epoch, window): tuple(window_rng(seed, epoch, window).random(4))
        for seed in (0, 1, 2**32 - 1)
        for epoch in (0, 1)
        for window in (0, 1, 19_834)
    }
    assert len(set(draws.values())) == len(draws) == 18
    assert draws[1, 1, 19_834] == tuple(window_rng(1, 1, 19_834).random(4))


@pytest.mark.parametrize("make", [window_rng, ball_rng, pair_rng, order_rng])
def test_randomness_is_that_of_the_key(make: Callable[[int, int, int], np.random.Generator]) -> None:
    rng = make(2**32 + 7, 3, 19_834)
    state = rng.bit_generator.state["state"]
    key = np.array(state["key"], np.uint64)
    assert key[0] == (7 << 32) + 3
    assert not state["counter"].any()
    expected = np.random.Generator(np.random.Philox(key=key)).random(50)
    np.testing.assert_array_equal(rng.random(50), expected)
