"""The threshold of highest F1."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.metrics.conftest import Frame, any_frames, off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS, best_threshold, design
from tracknet.training.metrics.bootstrap import Tally, whole
from tracknet.training.metrics.threshold import threshold_curve
from tracknet.utils.errors import UserError


@settings(max_examples=200, deadline=None)
@given(frames=any_frames(), name=st.sampled_from(sorted(PROTOCOLS)))
def test_beats_every_other(frames: list[Frame], name: str):
    protocol = PROTOCOLS[name].with_all_frames()
    predictions = predictions_of(frames)
    chosen = best_threshold(predictions, PROTOCOLS[name])
    if not any(frame.code in protocol.visible for frame in frames) or not predictions.guessed.any():
        assert chosen == 0.5
        return

    def f1(threshold: float) -> float:
        value = whole(Tally.of(predictions, protocol, threshold))["f1"]
        return 0.0 if math.isnan(value) else value

    scores = set(predictions.score[predictions.guessed].tolist())
    assert f1(chosen) == pytest.approx(max(f1(score) for score in scores))
    assert chosen == max(score for score in scores if f1(score) == pytest.approx(f1(chosen)))


def test_false_alarms_count_even_where_the_protocol_leaves_them_out():
    frames = [off_by(0, 0.9), off_by(0, 0.5), *[off_by(None, 0.4)] * 5, off_by(0, 0.3)]
    # At 0.3 all three balls are found, with five false alarms: F1 6/11; at 0.5 two of three: 4/5.
    assert best_threshold(predictions_of(frames), design(5)) == 0.5


@settings(max_examples=200, deadline=None)
@given(
    frames=any_frames(), name=st.sampled_from(sorted(PROTOCOLS)), share=st.sampled_from([0.0, 0.1, 0.25, 0.5])
)
def test_the_best_of_those_that_seldom_alarm(frames: list[Frame], name: str, share: float):
    protocol = PROTOCOLS[name].with_all_frames()
    predictions = predictions_of(frames)
    scores = sorted(set(predictions.score[predictions.guessed].tolist()))
    tallies = {score: whole(Tally.of(predictions, protocol, score)) for score in scores}
    if not scores or not any(frame.code in protocol.visible for frame in frames):
        assert best_threshold(predictions, PROTOCOLS[name], most_false_alarms=share) == 0.5
        return
    empty = [
        frame for frame in frames if frame.code == 0
    ]  # an occluded ball's is none, whatever the protocol says
    alarms = {s: sum(f.guess is not None and f.score >= s for f in empty) for s in scores}
    kept = {s: t["f1"] for s, t in tallies.items() if empty and alarms[s] <= share * len(empty)}
    if not kept:
        with pytest.raises(UserError):
            best_threshold(predictions, PROTOCOLS[name], most_false_alarms=share)
        return
    chosen = best_threshold(predictions, PROTOCOLS[name], most_false_alarms=share)
    assert kept[chosen] == pytest.approx(max(kept.values()))


def test_a_share_of_false_alarms_that_cannot_be_kept():
    surest = [off_by(None, 0.9), off_by(None, 0.1), off_by(None, 0.2), off_by(0, 0.5)]
    with pytest.raises(UserError, match=r"at most 0.3 of the 3 .*: of the surest guesses 1 is") as caught:
        best_threshold(predictions_of(surest), design(5), most_false_alarms=0.3)
    assert caught.value.remedy == "allow 0.333 or more"
    assert best_threshold(predictions_of(surest), design(5), most_false_alarms=1 / 3) == 0.5
    with pytest.raises(UserError, match="no frame without a ball"):
        best_threshold(predictions_of([off_by(0, 0.5)]), design(5), most_false_alarms=0.3)


def test_an_occluded_ball_is_no_frame_without_one():
    """Under `wasb` 30 frames of visibility 3 are without a visible ball: they must not thin out two real alarms."""
    occluded = [Frame((9, 9), None, visibility=3)] * 30
    frames = [off_by(0, 0.7), off_by(0, 0.4), off_by(None, 0.5), off_by(None, 0.5), *occluded]
    assert best_threshold(predictions_of(frames), PROTOCOLS["wasb"], most_false_alarms=0.1) == 0.7


def test_nothing_to_choose_from():
    assert best_threshold(predictions_of([off_by(None, 0.9)]), design(5)) == 0.5
    assert best_threshold(predictions_of([off_by(float("nan"))]), design(5)) == 0.5


def test_the_curve_goes_below_the_operating_threshold():
    """By WASB: found at 0.9 and 0.3, a near miss at 0.4, a false alarm at 0.2, and a ball without any guess."""
    frames = [off_by(0, 0.9), off_by(30, 0.4), off_by(0, 0.3), off_by(None, 0.2), off_by(float("nan"))]
    curve = threshold_curve(predictions_of(frames), PROTOCOLS["wasb"], 0.5, 200)
    assert curve["score"] == [0.9, 0.4, 0.3, 0.2]
    # A near miss is in no denominator of WASB's recall: four balls, then three.
    assert curve["recall"] == pytest.approx([1 / 4, 1 / 3, 2 / 3, 2 / 3])
    assert curve["precision"] == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    of_all = threshold_curve(predictions_of(frames), PROTOCOLS["racketvision"], 0.5, 200)
    assert of_all["recall"] == pytest.approx([1 / 4, 1 / 4, 2 / 4, 2 / 4])
    # Frames that the protocol leaves out are no false alarms.
    assert threshold_curve(predictions_of(frames), design(), 0.5, 200)["score"] == [0.9, 0.4, 0.3]


@settings(max_examples=100, deadline=None)
@given(
    frames=any_frames(), name=st.sampled_from(sorted(PROTOCOLS)), threshold=st.sampled_from([0.1, 0.5, 0.8])
)
def test_every_point_of_the_curve_is_a_score_of_its_own(frames: list[Frame], name: str, threshold: float):
    predictions, protocol = predictions_of(frames), PROTOCOLS[name]
    curve = threshold_curve(predictions, protocol, threshold, 200)
    for score, recall, precision in zip(curve["score"], curve["recall"], curve["precision"], strict=True):
        figures = whole(Tally.of(predictions, protocol, score))
        assert (recall, precision) == pytest.approx((figures["recall"], figures["precision"]), nan_ok=True)
    # The ring lies on the line.
    operating = whole(Tally.of(predictions, protocol, threshold))
    if not math.isnan(operating["precision"]):
        points = list(zip(curve["recall"], curve["precision"], strict=True))
        assert any(
            p == pytest.approx((operating["recall"], operating["precision"]), nan_ok=True) for p in points
        )


def test_a_long_curve_is_thinned_to_its_ends_and_the_operating_point():
    frames = [off_by(0 if n % 3 else 9, (n + 1) / 1000) for n in range(999)]
    curve = threshold_curve(predictions_of(frames), PROTOCOLS["wasb"], 0.5433, 20)
    assert len(curve["score"]) == 21
    assert curve["score"] == sorted(curve["score"], reverse=True)
    assert {0.999, 0.544, 0.001} <= set(curve["score"])
    assert threshold_curve(predictions_of([]), PROTOCOLS["wasb"], 0.5, 20)["score"] == []
