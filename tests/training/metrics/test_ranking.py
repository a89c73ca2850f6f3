"""Average precision by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.metrics.conftest import off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS
from tracknet.training.metrics.counts import outcomes
from tracknet.training.metrics.ranking import Ranking
from tracknet.utils.outcome import Outcome

TP, _, FP1, FP2, FN = Outcome


def ranking(codes: list[int], scores: list[float]) -> Ranking:
    return Ranking.of(np.array(codes, np.int8), np.array(scores))


def test_by_hand():
    """Down the scores: hit, miss, hit, hit; five balls. Precision 1, 1/2, 2/3, 3/4 at recall 1/5, 1/5, 2/5, 3/5."""
    ranked = ranking([FN, TP, TP, FP2, TP, FN], [0.99, 0.2, 0.9, 0.8, 0.3, 0.0])
    once, balls = np.ones((1, 4), np.int32), np.array([5])
    assert ranked.average_precision(once, balls) == pytest.approx((1 + 2 / 3 + 3 / 4) / 5)
    # Made monotone, recall 2/5 has 3/4 too.
    monotone = ranked.average_precision(once, balls, monotone=True)
    assert monotone == pytest.approx((1 + 3 / 4 + 3 / 4) / 5)


def test_equal_scores_come_in_together_in_whatever_order():
    for codes in ([TP, FP1, TP, FP1], [FP1, FP1, TP, TP], [TP, TP, FP1, FP1]):
        ranked = ranking(codes, [1.0] * 4)
        # One operating point: precision times recall.
        for monotone in (False, True):
            ap = ranked.average_precision(np.ones((1, 4), np.int32), np.array([2]), monotone=monotone)
            assert ap == pytest.approx(0.5)


def test_a_weight_of_two_is_the_detection_twice():
    codes, scores = [TP, FP1, TP, FP2], [0.9, 0.8, 0.7, 0.6]
    doubled = ranking(codes + codes, scores + scores)
    twice = np.full((1, 4), 2, np.int32)
    once = np.ones((1, 8), np.int32)
    found = ranking(codes, scores).average_precision(twice, np.array([6]))
    assert found == pytest.approx(doubled.average_precision(once, np.array([6])))


def test_only_detections_at_the_operating_threshold_are_ranked():
    predictions = predictions_of([off_by(0, 0.9), off_by(0, 0.4), off_by(9, 0.6), off_by(None, 0.3)])
    codes = outcomes(predictions, PROTOCOLS["wasb"], 0.5)
    assert Ranking.of(codes, predictions.score).rows.tolist() == [0, 2]


def test_no_detections():
    ranked = ranking([FN, FN], [0.1, 0.2])
    published = ranked.average_precision(np.ones((2, 0), np.int32), np.array([2, 0]))
    assert published[0] == 0
    assert np.isnan(published[1])
