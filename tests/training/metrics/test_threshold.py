"""The threshold of highest F1."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.metrics.conftest import Frame, any_frames, off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS, best_threshold, design
from tracknet.training.metrics.bootstrap import Tally, whole


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


def test_nothing_to_choose_from():
    assert best_threshold(predictions_of([off_by(None, 0.9)]), design(5)) == 0.5
    assert best_threshold(predictions_of([off_by(float("nan"))]), design(5)) == 0.5
