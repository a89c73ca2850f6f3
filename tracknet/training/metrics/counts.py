"""Every frame's outcome under a protocol, how often each occurs, and the ratios of these counts.

Counts are arrays whose last axis is `Outcome`, so that the counts of parts add up to those of the whole, and one line
of arithmetic serves a split, each clip, each threshold and each bootstrap resample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.training.metrics.predictions import FloatArray, Predictions
from tracknet.training.metrics.protocols import Protocol, RecallOf
from tracknet.utils.outcome import Outcome

EXCLUDED = -1

Codes = npt.NDArray[np.int8]


def is_ball(predictions: Predictions, protocol: Protocol) -> npt.NDArray[np.bool_]:
    """`[N]`: frames that have a ball in the protocol's eyes."""
    return np.isin(predictions.frames.visibility, list(protocol.visible))


def is_near(predictions: Predictions, protocol: Protocol) -> npt.NDArray[np.bool_]:
    """`[N]`: guesses within the protocol's distance of the truth, whatever their score."""
    error = predictions.error_in(protocol.space)
    # NaN (no ball, no guess) compares false.
    return error < protocol.distance_px if protocol.strict else error <= protocol.distance_px


def outcomes(predictions: Predictions, protocol: Protocol, threshold: float) -> Codes:
    """Each frame's outcome: int8 `[N]`, an `Outcome`, or `EXCLUDED`.

    Args:
        predictions: the frames.
        protocol: what counts.
        threshold: a guess with a score of at least this is a detection.
    """
    ball = is_ball(predictions, protocol)
    detected = predictions.guessed & (predictions.score >= threshold)
    codes = np.where(
        ball,
        np.where(detected, np.where(is_near(predictions, protocol), Outcome.TP, Outcome.FP1), Outcome.FN),
        np.where(detected, Outcome.FP2, Outcome.TN),
    ).astype(np.int8)
    codes[np.isin(predictions.frames.visibility, list(protocol.excluded))] = EXCLUDED
    return codes


def count(codes: Codes) -> npt.NDArray[np.int64]:
    """How often each outcome occurs: int64 `[5]`."""
    return np.bincount(codes[codes != EXCLUDED], minlength=5)


def count_by(codes: Codes, group: npt.NDArray[Any], groups: int) -> npt.NDArray[np.int64]:
    """The counts of each group: int64 `[groups, 5]`.

    Args:
        codes: `[N]`.
        group: integers `[N]`, 0 to `groups` - 1; frames below 0 are in none.
        groups: how many.
    """
    kept = (codes != EXCLUDED) & (group >= 0)
    flat = group[kept].astype(np.int64) * 5 + codes[kept]
    return np.bincount(flat, minlength=groups * 5).reshape(groups, 5)


def balls_for_recall(counts: npt.NDArray[Any], recall_of: RecallOf) -> npt.NDArray[Any]:
    """What recall is a share of: counts `[.., 5]` to `[..]`."""
    columns = [Outcome.TP, Outcome.FN, Outcome.FP1] if recall_of == "all_balls" else [Outcome.TP, Outcome.FN]
    return np.asarray(counts[..., columns].sum(axis=-1))


def ratios(counts: npt.NDArray[Any], recall_of: RecallOf) -> dict[str, FloatArray]:
    """Precision, recall, F1, accuracy and the false alarms' share: counts `[.., 5]` to `[..]` each.

    NaN where there is nothing to take a share of (no detections: precision; no balls: recall), where the
    published programs print 0. F1 is 2 TP / (detections + balls for recall): 0 when balls or detections are
    there and none is right.
    """
    tp, tn, fp1, fp2 = (counts[..., code] for code in (Outcome.TP, Outcome.TN, Outcome.FP1, Outcome.FP2))
    detections = tp + fp1 + fp2
    balls = balls_for_recall(counts, recall_of)
    return {
        "precision": _share(tp, detections),
        "recall": _share(tp, balls),
        "f1": _share(2 * tp, detections + balls),
        "accuracy": _share(tp + tn, counts.sum(axis=-1)),
        "false_alarm_rate": _share(fp2, fp2 + tn),
    }


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> FloatArray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0))
