"""The promises of the shuffle at the published data set's size; `benchmarks/shuffle.py` has the whole table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.shuffle import Mix, decodes_per_window, mix_of, permuted, planned, real_runs
from tracknet.datasets.lanes import default_order
from tracknet.datasets.plan import PlanConfig
from tracknet.utils.settings import SequenceConfig

EPOCHS = 8


def mean_mix(orders: list[np.ndarray]) -> Mix:
    mixes = [mix_of(steps, real_runs()) for steps in orders]
    return Mix(*(float(np.mean([getattr(mix, name) for mix in mixes])) for name in Mix.__dataclass_fields__))


def config_for(batch_size: int, length: int) -> PlanConfig:
    lanes, run_length = default_order(19_835, batch_size, SequenceConfig(length))
    return PlanConfig(0, batch_size, lanes, run_length)


# A permutation's are 14.13, 0.10 and 1.6; one epoch's figure for distinct clips is within 0.25 of the mean.
def test_batches_of_16_are_mixed_better_than_a_permutations() -> None:
    runs = real_runs()
    assert (len(runs), runs[-1, 1]) == (95, 19_835)
    plan = mean_mix([planned(runs, config_for(16, 3), epoch) for epoch in range(EPOCHS)])
    other = mean_mix([permuted(19_835, 16, seed) for seed in range(2)])
    assert plan.clips >= 14.3
    assert plan.clips > other.clips
    assert plan.clips_of_4 > other.clips_of_4
    assert plan.near <= 0.2 * other.near
    assert plan.near_next_8 <= 0.1 * other.near_next_8


@pytest.mark.parametrize(("batch_size", "length"), [(8, 3), (64, 3), (32, 5)])
def test_other_batches_are_mixed_as_well_as_a_permutations(batch_size: int, length: int) -> None:
    plan = mean_mix([planned(real_runs(), config_for(batch_size, length), epoch) for epoch in range(2)])
    other = mean_mix([permuted(19_835, batch_size, 0)])
    assert plan.clips > 0.98 * other.clips
    assert plan.near <= 0.3 * other.near
    assert plan.near_next_8 <= 0.1 * other.near_next_8


# Measured: 1.039, 1.056, 1.093; 1.111 and 1.220 where even 16 lanes hold too much of the data at once.
@pytest.mark.parametrize(
    ("batch_size", "length", "most"),
    [(8, 3, 1.05), (16, 3, 1.07), (32, 3, 1.1), (16, 5, 1.1), (16, 1, 1.0), (64, 3, 1.13), (64, 5, 1.24)],
)
@pytest.mark.parametrize("workers", [1, 8])
def test_about_one_decode_per_window(workers: int, batch_size: int, length: int, most: float) -> None:
    runs, config = real_runs(), config_for(batch_size, length)
    decodes = decodes_per_window(
        planned(runs, config, 0), runs, SequenceConfig(length), config.lanes, workers
    )
    assert 1.0 <= decodes <= most
