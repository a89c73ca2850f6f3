"""One set of predictions under every protocol, with uncertainty and by part: what metrics.json holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracknet.training.metrics.bootstrap import (
    RESAMPLES,
    Tally,
    Weights,
    caution,
    clip_weights,
    interval,
    intervals,
    whole,
)
from tracknet.training.metrics.breakdowns import breakdowns
from tracknet.training.metrics.false_alarms import false_alarms
from tracknet.training.metrics.localisation import ball_errors, error_figures, error_histogram, pck
from tracknet.training.metrics.predictions import FloatArray, Predictions
from tracknet.training.metrics.protocols import Protocol, main_protocol
from tracknet.training.metrics.threshold import threshold_curve
from tracknet.utils.outcome import OUTCOMES

PCK_RADII_PX = tuple(range(1, 21))
_CURVE_POINTS = 200


def score(
    predictions: Predictions,
    protocols: Sequence[Protocol],
    *,
    threshold: float,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Everything that can be said of predictions without the model: plain values, NaN where undefined.

    Args:
        predictions: of a split.
        protocols: to score under, one or more.
        threshold: score from which a guess is a detection.
        resamples: of the bootstrap over clips.

    Returns:
        `protocols`, `main_protocol`, `frames`, `balls`, `clips`, `bootstrap`, `pck_curve`, `error`,
        `false_alarms`, `breakdowns`, and `pr_curves`, of thresholds below and above the one asked for.
    """
    clips = len(np.unique(predictions.frames.clip_id))
    weights = clip_weights(clips, resamples) if clips else np.ones((1, 0), np.int32)
    tallies = {protocol.name: Tally.of(predictions, protocol, threshold) for protocol in protocols}
    main = main_protocol(protocols)
    balls = ball_errors(predictions)
    return {
        "frames": len(predictions),
        "balls": len(balls),
        "clips": clips,
        "bootstrap": {"over": "clips", "resamples": resamples, "level": 0.95, "caution": caution(clips)},
        "main_protocol": main.name,
        "protocols": {name: _under_protocol(tally, threshold, weights) for name, tally in tallies.items()},
        "pck_curve": {
            "radii_px": list(PCK_RADII_PX),
            "share": pck(predictions, PCK_RADII_PX).tolist(),
            "intervals": _pck_intervals(predictions, weights),
        },
        "error": {
            **error_figures(predictions),
            "without_guess": int((~np.isfinite(balls)).sum()),
            "histogram": error_histogram(predictions),
        },
        "false_alarms": false_alarms(predictions, threshold, weights),
        "breakdowns": breakdowns(predictions, main, tallies[main.name].codes, weights),
        "pr_curves": {
            protocol.name: threshold_curve(predictions, protocol, threshold, _CURVE_POINTS)
            for protocol in protocols
        },
    }


def _under_protocol(tally: Tally, threshold: float, weights: Weights) -> dict[str, Any]:
    protocol = tally.protocol
    counts = tally.counts.sum(axis=0)
    return {
        "title": protocol.title,
        "source": protocol.source,
        "space": protocol.space_text,
        "distance": protocol.distance_text,
        "counts_as_ball": protocol.balls_text,
        "leaves_out_frames": bool(protocol.excluded),
        "ranked_by": protocol.ranked_by,
        "threshold": threshold,
        **{name: int(number) for name, number in zip(OUTCOMES, counts, strict=True)},
        **whole(tally),
        # Detections that all have one score are one operating point: AP is then precision times recall.
        "ap_of_single_point": len(tally.ranking.score) <= 1,
        "intervals": intervals(tally, weights),
    }


def _pck_intervals(predictions: Predictions, weights: Weights) -> list[list[float] | None] | None:
    clips = weights.shape[1]
    if clips < 2:
        return None
    _, clip = np.unique(predictions.frames.clip_id, return_inverse=True)
    clip, errors = clip[predictions.present], ball_errors(predictions)
    per_clip = np.stack(
        [np.bincount(clip, errors <= radius, minlength=clips) for radius in (*PCK_RADII_PX, np.inf)], axis=1
    )
    per_clip[:, -1] = np.bincount(clip, minlength=clips)  # all balls, also those without a guess
    sums = weights.astype(np.float64) @ per_clip
    shares: FloatArray = np.divide(
        sums[:, :-1],
        sums[:, -1:],
        out=np.full((len(sums), len(PCK_RADII_PX)), np.nan),
        where=sums[:, -1:] > 0,
    )
    return [interval(column) for column in shares.T]
