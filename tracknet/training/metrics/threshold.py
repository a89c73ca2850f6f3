"""The score from which a guess is a detection."""

from __future__ import annotations

import numpy as np

from tracknet.training.metrics.counts import FN, FP1, FP2, TN, TP, is_ball, is_near, ratios
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import Protocol

NOTHING_TO_CHOOSE_FROM = 0.5


def best_threshold(predictions: Predictions, protocol: Protocol) -> float:
    """The score threshold of highest F1 under a protocol, frames without a ball always counted.

    To be chosen on frames that figures are not reported on. Every distinct score is tried in one sorted pass;
    of equals the highest threshold wins. 0.5 where no frame has a ball, or none a guess.

    Args:
        predictions: the frames.
        protocol: what counts; what it excludes is counted too, or any threshold would do there.
    """
    ball = is_ball(predictions, protocol)
    rows = np.flatnonzero(predictions.guessed)
    if not ball.any() or not len(rows):
        return NOTHING_TO_CHOOSE_FROM
    rows = rows[np.argsort(-predictions.score[rows], kind="stable")]
    score, near = predictions.score[rows], is_near(predictions, protocol)[rows] & ball[rows]
    counts = np.empty((len(rows), 5), np.int64)
    counts[:, TP] = np.cumsum(near)
    counts[:, FP1] = np.cumsum(ball[rows] & ~near)
    counts[:, FP2] = np.cumsum(~ball[rows])
    counts[:, FN] = ball.sum() - counts[:, TP] - counts[:, FP1]
    counts[:, TN] = (~ball).sum() - counts[:, FP2]
    f1 = ratios(counts, protocol.recall_of)["f1"]
    # A threshold takes in every frame of equal score.
    is_last_of_equals = np.append(score[1:] < score[:-1], True)
    return float(score[np.argmax(np.where(is_last_of_equals, f1, -1.0))])
