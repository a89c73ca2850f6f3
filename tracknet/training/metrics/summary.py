"""The figures of a validation, as one flat dictionary."""

from __future__ import annotations

import numpy as np

from tracknet.training.metrics.counts import count, outcomes, ratios
from tracknet.training.metrics.localisation import error_figures, pck
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import Protocol, design, threshold_protocol
from tracknet.utils.outcome import OUTCOMES
from tracknet.utils.settings import MetricsConfig


def summarise(predictions: Predictions, config: MetricsConfig, *, threshold: float) -> dict[str, float]:
    """L2, PCK and detection figures under the `design` protocol; distances in frame pixels, shares in 0..1.

    The outcomes are those of all frames, `fp2` and `tn` of frames without a ball among them; so are
    `f1_all_frames` and `false_alarm_rate`, while precision, recall and F1 leave such frames out. Where another
    protocol chooses the threshold, its F1 is told too, as `f1_wasb` and the like.

    Args:
        predictions: of a whole split.
        config: radii, distance and the protocol of the threshold.
        threshold: score from which a guess is a detection.
    """
    protocol, chooses = design(config.distance_px), threshold_protocol(config)
    with_ball = count(outcomes(predictions, protocol, threshold))
    all_frames = count(outcomes(predictions, protocol.with_all_frames(), threshold))
    figures, all_figures = (ratios(counts, protocol.recall_of) for counts in (with_ball, all_frames))
    radii = sorted({*config.pck_px, config.distance_px})
    error = error_figures(predictions)
    return {
        "frames": float(len(predictions)),
        "frames_with_ball": float(predictions.present.sum()),
        **{f"l2_{name}_px": error[name] for name in ("mean", "median", "p90")},
        **{f"pck@{r:g}px": float(share) for r, share in zip(radii, pck(predictions, radii), strict=True)},
        "distance_px": config.distance_px,
        "threshold": threshold,
        "precision": float(figures["precision"]),
        "recall": float(figures["recall"]),
        "f1": float(figures["f1"]),
        "f1_all_frames": float(all_figures["f1"]),
        **({} if chooses == protocol else {_f1_name(config): _f1(predictions, chooses, threshold)}),
        "false_alarm_rate": float(all_figures["false_alarm_rate"]),
        **{name: float(number) for name, number in zip(OUTCOMES, np.asarray(all_frames), strict=True)},
    }


def monitored_figure(config: MetricsConfig) -> str:
    """The name of the figure that decides which checkpoint is best."""
    names = {"pck": f"pck@{config.distance_px:g}px", "f1": _f1_name(config), "l2": "l2_mean_px"}
    return names[config.monitor]


def monitored(figures: dict[str, float], config: MetricsConfig) -> float:
    """The value of that figure, turned so that higher is better (L2 is negated)."""
    value = figures[monitored_figure(config)]
    return -value if config.monitor == "l2" else value


def _f1_name(config: MetricsConfig) -> str:
    """Of F1 over all frames under the protocol of the threshold."""
    return "f1_all_frames" if config.threshold_protocol == "design" else f"f1_{config.threshold_protocol}"


def _f1(predictions: Predictions, protocol: Protocol, threshold: float) -> float:
    counts = count(outcomes(predictions, protocol.with_all_frames(), threshold))
    return float(ratios(counts, protocol.recall_of)["f1"])
