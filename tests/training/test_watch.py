"""What a person is told when a training goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

from tracknet.training.checkpoint import TrainingState
from tracknet.training.watch import EmptyMapWatch, stop_if_not_finite
from tracknet.utils.errors import RunError

NAN = float("nan")


@pytest.mark.parametrize("value", [NAN, float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_names_step_and_samples(value: float):
    keys = [f"game1_Clip1_{n:04d}" for n in range(10)]
    with pytest.raises(RunError) as caught:
        stop_if_not_finite(value, "loss", step=17, lr=5e-4, keys=keys)
    message = str(caught.value)
    assert "step 17" in message
    assert "game1_Clip1_0007 and 2 more" in message
    assert "0.0005" in message


def test_a_finite_loss_passes():
    stop_if_not_finite(0.0, "loss", step=1, lr=1.0, keys=[])


def watch_run(errors: list[list[float]], *, after: int) -> list[str | None]:
    state = TrainingState()
    watch = EmptyMapWatch(state, after_steps=after, distance_px=5)
    told = []
    for error in errors:
        state.step += 1
        told.append(watch.update(np.array(error), 0.01))
    return told


def test_empty_maps_are_told_once_with_the_counts():
    told = watch_run([[200.0, 300.0, NAN]] * 6, after=4)
    assert [bool(t) for t in told] == [False, False, False, True, False, False]
    assert "after 4 steps 0 of 8 training balls" in str(told[3])
    assert "training.loss.name=focal" in str(told[3])


def test_a_run_that_learns_is_not_warned():
    assert watch_run([[200.0, 300.0], [2.0, 300.0], [1.0, 3.0], [2.0, 2.0]], after=4) == [None] * 4


def test_chance_hits_do_not_count_as_learning():
    told = watch_run([[1.0] + [300.0] * 199] + [[300.0] * 200] * 3, after=4)
    assert told[3] is not None
