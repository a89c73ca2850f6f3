"""How far off the best guess is, whatever its score: over frames that have a ball, in frame pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracknet.training.metrics.predictions import FloatArray, Predictions

_PERCENTILES = {"median": 50, "p90": 90, "p99": 99}
# Fine where it matters; the last bin reaches to the picture's diagonal.
_EDGES_PX = (*range(21), 30, 50, 100, 200)


def ball_errors(predictions: Predictions) -> FloatArray:
    """Errors of the frames that have a ball; NaN where no guess was made."""
    return np.asarray(predictions.error_px[predictions.present])


def error_figures(predictions: Predictions) -> dict[str, float]:
    """`mean`, `median`, `p90` and `p99` of the error, over the balls that a guess was made for; NaN without any."""
    errors = ball_errors(predictions)
    errors = errors[np.isfinite(errors)]
    if not len(errors):
        return dict.fromkeys(("mean", *_PERCENTILES), float("nan"))
    return {
        "mean": float(errors.mean()),
        **{name: float(np.percentile(errors, at)) for name, at in _PERCENTILES.items()},
    }


def pck(predictions: Predictions, radii_px: Sequence[float]) -> FloatArray:
    """Percentage of correct keypoints: the share (0..1) of balls found within each radius, float64 `[len(radii)]`.

    A point exactly at the radius counts. NaN where no frame has a ball. Source: Yang & Ramanan, "Articulated
    Human Detection with Flexible Mixtures of Parts" (TPAMI 2013), with a radius in pixels in place of a share
    of the body's size.
    """
    errors = ball_errors(predictions)
    if not len(errors):
        return np.full(len(radii_px), np.nan)
    return np.asarray((errors[:, None] <= np.array(radii_px)).mean(axis=0))


def error_histogram(predictions: Predictions) -> dict[str, list[Any]]:
    """Balls by error: `edges_px` (one more than bins) and `counts`; a bin holds its lower edge, the last both."""
    errors = ball_errors(predictions)
    errors = errors[np.isfinite(errors)]
    diagonal = max(np.hypot(*predictions.frames.source_size.T), default=0.0)
    farthest = max(float(np.ceil(diagonal)), float(np.ceil(max(errors, default=0.0))), _EDGES_PX[-1] + 1.0)
    edges = np.array([*_EDGES_PX, farthest])
    return {"edges_px": edges.tolist(), "counts": np.histogram(errors, edges)[0].tolist()}
