"""Ball metrics in frame pixels."""

from tracknet.training.metrics.detection import DetectionCounts, best_threshold, count_detections
from tracknet.training.metrics.localisation import l2, pck
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.summary import monitored, monitored_figure, summarise

__all__ = [
    "DetectionCounts",
    "Predictions",
    "best_threshold",
    "count_detections",
    "l2",
    "monitored",
    "monitored_figure",
    "pck",
    "summarise",
]
