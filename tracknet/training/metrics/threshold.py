"""The score from which a guess is a detection: what each choice gives, and the best of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.training.metrics.counts import count, outcomes, ratios
from tracknet.training.metrics.predictions import FloatArray, Predictions
from tracknet.training.metrics.protocols import Protocol
from tracknet.utils.errors import UserError
from tracknet.utils.outcome import Outcome
from tracknet.utils.spacing import evenly_spaced

NOTHING_TO_CHOOSE_FROM = 0.5


def best_threshold(
    predictions: Predictions, protocol: Protocol, *, most_false_alarms: float | None = None
) -> float:
    """The score threshold of highest F1 under a protocol, frames without a ball always counted.

    To be chosen on frames that figures are not reported on. Every distinct score is tried in one sorted pass;
    of equals the highest threshold wins. 0.5 where no frame has a ball, or none a guess.

    Args:
        predictions: the frames.
        protocol: what counts; what it excludes is counted too, or any threshold would do there.
        most_false_alarms: of the frames labelled as without a ball (visibility 0, whatever the protocol takes an
            occluded one for), the largest share on which one may be reported; as `false_alarms` counts them.

    Raises:
        UserError: there is no frame without a ball to hold that share to, or no threshold that keeps it.
    """
    thresholds, counts = counts_by_threshold(predictions, protocol.with_all_frames())
    if not len(thresholds) or not counts[0, [Outcome.TP, Outcome.FP1, Outcome.FN]].any():
        return NOTHING_TO_CHOOSE_FROM
    f1 = ratios(counts, protocol.recall_of)["f1"]
    if most_false_alarms is not None:
        f1 = f1[: _within(thresholds, predictions, most_false_alarms)]
    return float(thresholds[np.argmax(f1)])


def _within(thresholds: FloatArray, predictions: Predictions, most_false_alarms: float) -> int:
    """How many thresholds, from the highest down, alarm on at most such a share of the frames without a ball."""
    empty = int((~predictions.present).sum())
    scores = np.sort(predictions.score[~predictions.present & predictions.guessed])
    alarms = len(scores) - np.searchsorted(scores, thresholds)
    if not empty:
        raise UserError(
            "no threshold can be held to a share of false alarms: there is no frame without a ball",
            remedy="name frames that have some, or leave out the share",
        )
    # As a quotient, so that a share such as 0.07 of 100 frames is 7 of them.
    kept = int((alarms / empty <= most_false_alarms).sum())
    if not kept:
        raise UserError(
            f"no threshold has at most {most_false_alarms:g} of the {empty} frames without a ball reported: of the "
            f"surest guesses {alarms[0]} {'is' if alarms[0] == 1 else 'are'} on such a frame",
            remedy=f"allow {alarms[0] / empty:.3g} or more",
        )
    return kept


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
    shown = set(evenly_spaced(range(len(thresholds)), points))
    operating = int((thresholds >= threshold).sum()) - 1
    places = sorted(shown | {operating} if operating >= 0 else shown)
    return {
        "recall": figures["recall"][places].tolist(),
        "precision": figures["precision"][places].tolist(),
        "score": thresholds[places].tolist(),
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
    rows = np.flatnonzero(np.isin(codes, (Outcome.TP, Outcome.FP1, Outcome.FP2)))
    rows = rows[np.argsort(-predictions.score[rows], kind="stable")]
    score = predictions.score[rows]
    total = count(codes)
    balls, empty = total[[Outcome.TP, Outcome.FP1, Outcome.FN]].sum(), total[[Outcome.FP2, Outcome.TN]].sum()
    counts = np.empty((len(rows), 5), np.int64)
    for code in (Outcome.TP, Outcome.FP1, Outcome.FP2):
        counts[:, code] = np.cumsum(codes[rows] == code)
    counts[:, Outcome.FN] = balls - counts[:, Outcome.TP] - counts[:, Outcome.FP1]
    counts[:, Outcome.TN] = empty - counts[:, Outcome.FP2]
    # A threshold takes in every frame of equal score.
    is_last_of_equals = np.append(score[1:] < score[:-1], True) if len(rows) else np.zeros(0, bool)
    return score[is_last_of_equals], counts[is_last_of_equals]
