"""The score from which a guess is a detection: what each choice gives, and the best of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.training.metrics.counts import FN, FP1, FP2, TN, TP, count, outcomes, ratios
from tracknet.training.metrics.predictions import FloatArray, Predictions
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
    thresholds, counts = counts_by_threshold(predictions, protocol.with_all_frames())
    if not len(thresholds) or not counts[0, [TP, FP1, FN]].any():
        return NOTHING_TO_CHOOSE_FROM
    return float(thresholds[np.argmax(ratios(counts, protocol.recall_of)["f1"])])


def threshold_curve(
    predictions: Predictions, protocol: Protocol, threshold: float, points: int
) -> dict[str, list[float]]:
    """Recall and precision at every threshold, down to the one that takes every guess: `recall`, `precision`, `score`.

    Not what average precision is the area of: WASB's ranks the detections at the operating threshold only, by
    the blob's sum, with the recall's denominator of that threshold. Here each threshold counts for itself.

    Args:
        predictions: the frames.
        protocol: what counts.
        threshold: the operating one, whose point is among those returned, or the next surer guess's.
        points: at most so many, and that one.
    """
    thresholds, counts = counts_by_threshold(predictions, protocol)
    figures = ratios(counts, protocol.recall_of)
    shown = np.linspace(0, len(thresholds) - 1, min(points, len(thresholds))).round().astype(int)
    operating = int((thresholds >= threshold).sum()) - 1
    shown = np.unique(np.append(shown, operating) if operating >= 0 else shown)
    return {
        "recall": figures["recall"][shown].tolist(),
        "precision": figures["precision"][shown].tolist(),
        "score": thresholds[shown].tolist(),
    }


def counts_by_threshold(
    predictions: Predictions, protocol: Protocol
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """How often each outcome occurs at each threshold that makes a difference, in one sorted pass.

    Args:
        predictions: N frames.
        protocol: what counts.

    Returns:
        K distinct scores of guesses in descending order, float64 `[K]`, and int64 `[K, 5]`.
    """
    codes = outcomes(predictions, protocol, -np.inf)
    rows = np.flatnonzero(np.isin(codes, (TP, FP1, FP2)))
    rows = rows[np.argsort(-predictions.score[rows], kind="stable")]
    score = predictions.score[rows]
    total = count(codes)
    balls, empty = total[[TP, FP1, FN]].sum(), total[[FP2, TN]].sum()
    counts = np.empty((len(rows), 5), np.int64)
    for code in (TP, FP1, FP2):
        counts[:, code] = np.cumsum(codes[rows] == code)
    counts[:, FN] = balls - counts[:, TP] - counts[:, FP1]
    counts[:, TN] = empty - counts[:, FP2]
    # A threshold takes in every frame of equal score.
    is_last_of_equals = np.append(score[1:] < score[:-1], True) if len(rows) else np.zeros(0, bool)
    return score[is_last_of_equals], counts[is_last_of_equals]
