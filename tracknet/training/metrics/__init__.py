"""Ball metrics: predictions in, figures out, under the field's protocols."""

from tracknet.training.metrics.origin import ChosenOn, PredictionOrigin, ThresholdOrigin
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import (
    PROTOCOLS,
    Protocol,
    chosen_protocols,
    design,
    threshold_protocol,
)
from tracknet.training.metrics.score import score
from tracknet.training.metrics.summary import monitored, monitored_figure, summarise
from tracknet.training.metrics.threshold import best_threshold

__all__ = [
    "PROTOCOLS",
    "ChosenOn",
    "PredictionOrigin",
    "Predictions",
    "Protocol",
    "ThresholdOrigin",
    "best_threshold",
    "chosen_protocols",
    "design",
    "monitored",
    "monitored_figure",
    "score",
    "summarise",
    "threshold_protocol",
]
