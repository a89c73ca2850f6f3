"""The default figures of an evaluation, as one flat dictionary."""

from __future__ import annotations

from dataclasses import asdict

from tracknet.training.metrics.detection import count_detections
from tracknet.training.metrics.localisation import l2, pck
from tracknet.training.metrics.predictions import Predictions
from tracknet.utils.settings import MetricsConfig


def summarise(predictions: Predictions, config: MetricsConfig, *, threshold: float) -> dict[str, float]:
    """L2, PCK and detection figures; distances in frame pixels, shares in 0..1.

    Args:
        predictions: of a whole split.
        config: radii and distance.
        threshold: score from which a prediction is a detection.
    """
    counts = count_detections(predictions, distance_px=config.distance_px, threshold=threshold)
    radii = sorted({*config.pck_px, config.distance_px})
    return {
        "frames": float(len(predictions)),
        "frames_with_ball": float(predictions.present.sum()),
        **l2(predictions),
        **pck(predictions, radii),
        "distance_px": config.distance_px,
        "threshold": threshold,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "f1_all_frames": counts.f1_all_frames,
        "false_alarm_rate": counts.false_alarm_rate,
        **{name: float(count) for name, count in asdict(counts).items()},
    }


def monitored_figure(config: MetricsConfig) -> str:
    """The name of the figure that decides which checkpoint is best."""
    names = {"pck": f"pck@{config.distance_px:g}px", "f1": "f1_all_frames", "l2": "l2_mean_px"}
    return names[config.monitor]


def monitored(figures: dict[str, float], config: MetricsConfig) -> float:
    """The value of that figure, turned so that higher is better (L2 is negated)."""
    value = figures[monitored_figure(config)]
    return -value if config.monitor == "l2" else value
