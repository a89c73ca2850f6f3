"""Errors, PCK and the histogram, whatever the score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.training.metrics.conftest import NAN, Frame, off_by, predictions_of
from tracknet.training.metrics.localisation import error_figures, error_histogram, pck


def test_figures_leave_frames_without_a_ball_or_a_guess_out():
    frames = [off_by(error, 0.0) for error in (1.0, 3.0, 5.0, 40.0)]
    predictions = predictions_of([*frames, off_by(None), off_by(NAN)])
    figures = error_figures(predictions)
    assert figures == {
        "mean": pytest.approx(12.25),
        "median": pytest.approx(4.0),
        "p90": pytest.approx(29.5),
        "p99": pytest.approx(38.95),
    }
    # A ball without a guess is within no radius.
    assert pck(predictions, [1, 5, 50]).tolist() == [0.2, 0.6, 0.8]


def test_histogram_holds_every_guess_and_reaches_the_diagonal():
    predictions = predictions_of([off_by(e) for e in (0.0, 0.5, 1.0, 25.0, 1100.0)] + [off_by(NAN)])
    histogram = error_histogram(predictions)
    edges, counts = histogram["edges_px"], histogram["counts"]
    assert len(edges) == len(counts) + 1
    assert edges[-1] == math.ceil(math.hypot(1280, 720))
    assert counts[:2] == [2, 1]
    assert counts[edges.index(20)] == 1
    assert counts[-1] == 1
    assert sum(counts) == 5


def test_a_guess_outside_the_picture_is_still_in_the_histogram():
    histogram = error_histogram(predictions_of([Frame((0.0, 0.0), (9000.0, 0.0))]))
    assert sum(histogram["counts"]) == 1


def test_no_frames():
    nothing = predictions_of([])
    assert all(math.isnan(value) for value in error_figures(nothing).values())
    assert np.isnan(pck(nothing, [5])).all()
    assert sum(error_histogram(nothing)["counts"]) == 0


def test_guesses_unlike_ours_are_told_and_taken():
    frames = [Frame((5.0, 5.0), (99999.0, 5.0), 0.5), Frame(None, (1290.0, -3.0), 87.0), Frame(None, None)]
    assert predictions_of(frames).oddities("p.parquet") == [
        "p.parquet has 1 of 2 guesses outside their frame, the first game1_Clip1_0000 with [99999.0, 5.0]: taken "
        "as they are",
        "p.parquet has 1 of 2 guesses with a score outside 0 to 1, the first game1_Clip1_0001 with 87.0: taken as "
        "they are",
    ]
    assert predictions_of(frames[2:]).oddities("p.parquet") == []
