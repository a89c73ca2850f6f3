"""What a person is told when a training goes wrong."""

from __future__ import annotations

import pytest

from tracknet.scripts import train
from tracknet.training.checkpoint import TrainingState
from tracknet.training.watch import EmptyMapWatch, stop_if_not_finite
from tracknet.utils.errors import RunError
from tracknet.utils.settings import LossConfig

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


def watch_run(
    steps: list[tuple[int, int]], *, after: int, loss: str = "mse", skip: str = "none"
) -> list[str | None]:
    """What is said after each step of (balls located, balls seen)."""
    state = TrainingState()
    watch = EmptyMapWatch(after, LossConfig(name=loss), skip)  # type: ignore[arg-type]
    told = []
    for found, seen in steps:
        state.step += 1
        told.append(watch.after_step(state, found, seen, 0.01))
    return told


def test_empty_maps_are_told_once_with_the_counts():
    told = watch_run([(0, 2)] * 6, after=4)
    assert [bool(t) for t in told] == [False, False, False, True, False, False]
    assert "after 4 steps 0 of 8 training balls" in str(told[3])


def test_advice_leaves_out_what_is_set_already():
    (told,) = watch_run([(0, 2)], after=1)
    assert "training.loss.name=quality_focal" in str(told)
    assert "model.decoder.skip=detail" in str(told)
    (told,) = watch_run([(0, 2)], after=1, loss="focal", skip="detail")
    assert "training.loss.name" not in str(told)
    assert "model.decoder.skip" not in str(told)
    assert "model.heatmap.sigma" in str(told)


def test_a_run_that_learns_is_not_warned():
    assert watch_run([(0, 2), (1, 2), (2, 2), (2, 2)], after=4) == [None] * 4


def test_chance_hits_do_not_count_as_learning():
    assert watch_run([(1, 200)] + [(0, 200)] * 3, after=4)[3] is not None


def test_a_map_that_is_the_same_for_all_frames_has_learned_nothing():
    """It finds the balls that lie where it is high, as often as those of other windows."""
    for by_chance, learned in ((2, False), (0, True)):
        state = TrainingState(step=1)
        told = EmptyMapWatch(1, LossConfig(), "detail").after_step(state, 5, 100, 0.1, by_chance=by_chance)
        assert (told is None) is learned
        assert learned or "5 of 100 training balls were located, 2.0 by the map of another window" in str(
            told
        )


@pytest.mark.parametrize(
    ("recipe", "collapses"),
    [
        # Seed 0 lies at the edge of the rule, and rounding decides: 6 balls located where 11 would be learning with
        # plain kernels, and 10 where 9 would be with those of `training.speed`, so that the advice fails to come.
        (
            [
                "training.loss.name=mse",
                "model.decoder.skip=none",
                "model.heatmap.sigma=0.5",
                "training.seed=1",
            ],
            True,
        ),
        (["training.loss.name=mse"], False),
        (["training.loss.hard_fraction=0.5", "training.ema=0.9"], False),
    ],
    ids=["no skip and a tiny ball", "mse", "default loss, hard windows, average"],
)
def test_the_advice_comes_in_a_run_that_collapses_and_in_no_other(
    small_train_args: list[str], capsys: pytest.CaptureFixture[str], recipe: list[str], collapses: bool
):
    """Real trainings of 60 steps on the 32 windows, seven times over; what is located is within 3 of 160 pixels."""
    args = [*small_train_args, "--name", "run", *recipe, "training.max_steps=60", "training.overlay_images=0"]
    args += ["training.metrics.distance_px=3", "training.val_every_epochs=100", "data.augment.enabled=false"]
    assert train.run(args) == 0
    said = capsys.readouterr().out
    assert ("the maps stay empty" in said) is collapses
    assert ("PCK@3px 0.0" in said) is collapses


def test_a_resumed_run_goes_on_counting():
    state = TrainingState(step=3, balls_found=0, balls_seen=6)
    state.step += 1
    assert EmptyMapWatch(4, LossConfig(), "detail").after_step(state, 0, 2, 0.0) is not None
    assert state.balls_seen == 8
