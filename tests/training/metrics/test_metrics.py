"""Metrics against tables worked out by hand and against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.training.metrics import (
    DetectionCounts,
    Predictions,
    best_threshold,
    count_detections,
    l2,
    monitored,
    pck,
    summarise,
)
from tracknet.utils.settings import MetricsConfig

NAN = float("nan")


def make(errors: list[float], scores: list[float]) -> Predictions:
    """Predictions with the given errors (NaN: no ball in the frame), off along x."""
    error = np.array(errors)
    truth = np.where(np.isnan(error)[:, None], NAN, np.full((len(errors), 2), 100.0))
    guess = np.full((len(errors), 2), 100.0)
    guess[:, 0] += np.nan_to_num(error)
    return Predictions(
        rows=np.arange(len(errors)),
        xy_px=guess,
        score=np.array(scores, float),
        true_xy_px=truth,
        visibility=np.where(np.isnan(error), 0, 1),
    )


# Four balls found to within 1, 3, 5 and 40 px, and two frames without a ball.
HAND = make([1, 3, 5, 40, NAN, NAN], [0.9, 0.2, 0.8, 0.7, 0.6, 0.1])


def test_l2_leaves_frames_without_a_ball_out():
    figures = l2(HAND)
    assert figures["l2_mean_px"] == pytest.approx(12.25)
    assert figures["l2_median_px"] == pytest.approx(4.0)
    assert figures["l2_p90_px"] == pytest.approx(29.5)


def test_pck_counts_the_radius_itself():
    assert pck(HAND, [2, 5, 50]) == {"pck@2px": 0.25, "pck@5px": 0.75, "pck@50px": 1.0}


def test_no_ball_anywhere_is_nan_not_an_error():
    empty = make([NAN], [0.9])
    assert math.isnan(l2(empty)["l2_mean_px"])
    assert math.isnan(pck(empty, [5])["pck@5px"])
    assert best_threshold(empty, distance_px=5) == 0.5


def test_counts_by_hand():
    counts = count_detections(HAND, distance_px=5, threshold=0.5)
    assert counts == DetectionCounts(true_positive=2, near_miss=1, missed=1, false_alarm=1, true_negative=1)
    assert counts.precision == pytest.approx(2 / 3)
    assert counts.recall == pytest.approx(2 / 4)
    assert counts.f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    # With the false alarm: precision 2/4, recall 2/4.
    assert counts.f1_all_frames == pytest.approx(0.5)
    assert counts.false_alarm_rate == pytest.approx(0.5)


@given(
    st.lists(st.tuples(st.one_of(st.just(NAN), st.floats(0, 20)), st.floats(0, 1)), min_size=1, max_size=30),
    st.integers(0, 30),
)
def test_counts_of_parts_add_up(frames: list[tuple[float, float]], cut: int):
    def count(part: list[tuple[float, float]]) -> DetectionCounts:
        errors, scores = [e for e, _ in part], [s for _, s in part]
        return count_detections(make(errors, scores), distance_px=5, threshold=0.5)

    whole = count(frames)
    parts = [part for part in (frames[:cut], frames[cut:]) if part]
    total = count(parts[0])
    for part in parts[1:]:
        total = total + count(part)
    assert total == whole
    assert sum(
        (whole.true_positive, whole.near_miss, whole.missed, whole.false_alarm, whole.true_negative)
    ) == len(frames)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.one_of(st.just(NAN), st.floats(0, 20)), st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.7, 0.9])),
        min_size=1,
        max_size=25,
    )
)
def test_best_threshold_beats_every_other(frames: list[tuple[float, float]]):
    predictions = make([e for e, _ in frames], [s for _, s in frames])
    if not predictions.present.any():
        return
    chosen = best_threshold(predictions, distance_px=5)

    def f1(threshold: float) -> float:
        value = count_detections(predictions, distance_px=5, threshold=threshold).f1_all_frames
        return 0.0 if math.isnan(value) else value

    assert f1(chosen) == pytest.approx(max(f1(score) for score in set(predictions.score)))


def test_cat_sorts_by_row_and_keeps_one_of_each():
    first, second = make([1, 2], [0.5, 0.6]), make([3, 4], [0.7, 0.8])
    second.rows[:] = [1, 0]
    third = Predictions(np.array([7]), *(np.array(a) for a in ([[0.0, 0.0]], [0.9], [[0.0, 0.0]], [1])))
    whole = Predictions.cat([first, second, third])
    assert whole.rows.tolist() == [0, 1, 7]
    assert whole.score.tolist() == [0.5, 0.6, 0.9]


def test_summary_holds_everything_and_the_monitored_figure():
    config = MetricsConfig(pck_px=(2, 10), distance_px=5, monitor="pck")
    figures = summarise(HAND, config, threshold=0.5)
    assert figures["pck@5px"] == 0.75
    assert figures["frames"] == 6
    assert figures["frames_with_ball"] == 4
    assert monitored(figures, config) == 0.75
    assert monitored(figures, MetricsConfig(monitor="l2")) == pytest.approx(-12.25)
    assert monitored(figures, MetricsConfig(monitor="f1")) == pytest.approx(0.5)
