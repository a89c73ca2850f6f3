"""Heatmap losses; adding one is one file and one line here (and its name in `settings.LossConfig`)."""

from __future__ import annotations

from tracknet.training.losses.heatmap_loss import FocalLoss, HeatmapLoss, MSELoss
from tracknet.training.losses.quality_focal import QualityFocalLoss
from tracknet.training.losses.weighted_cross_entropy import WeightedCrossEntropyLoss
from tracknet.utils.settings import LossConfig

LOSSES: dict[str, type[HeatmapLoss]] = {
    "mse": MSELoss,
    "focal": FocalLoss,
    "quality_focal": QualityFocalLoss,
    "wbce": WeightedCrossEntropyLoss,
}


def build_loss(config: LossConfig) -> HeatmapLoss:
    """The loss a config names."""
    return LOSSES[config.name](config)


__all__ = ["LOSSES", "HeatmapLoss", "build_loss"]
