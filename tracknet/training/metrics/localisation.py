"""How far off the best guess is, whatever its score: L2 and PCK over frames that have a ball."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tracknet.training.metrics.predictions import Predictions


def l2(predictions: Predictions) -> dict[str, float]:
    """Mean, median and 90th percentile of the error in frame pixels; NaN where no frame has a ball."""
    errors = predictions.error_px[predictions.present]
    if not len(errors):
        return {"l2_mean_px": float("nan"), "l2_median_px": float("nan"), "l2_p90_px": float("nan")}
    return {
        "l2_mean_px": float(errors.mean()),
        "l2_median_px": float(np.median(errors)),
        "l2_p90_px": float(np.percentile(errors, 90)),
    }


def pck(predictions: Predictions, radii_px: Sequence[float]) -> dict[str, float]:
    """Percentage of correct keypoints: the share (0..1) of balls found within each radius, in frame pixels.

    A point exactly at the radius counts. Source: Yang & Ramanan, "Articulated Human Detection with Flexible
    Mixtures of Parts" (TPAMI 2013), with a radius in pixels in place of a share of the body's size.
    """
    errors = predictions.error_px[predictions.present]
    return {
        f"pck@{radius:g}px": float((errors <= radius).mean()) if len(errors) else float("nan")
        for radius in radii_px
    }
