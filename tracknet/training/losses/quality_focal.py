"""Focal modulation of a regression to the whole gaussian."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tracknet.training.losses.heatmap_loss import HeatmapLoss


class QualityFocalLoss(HeatmapLoss):
    """`|y - p|^alpha * BCE(p, y)` in units of one ball.

    Source: Li et al., "Generalized Focal Loss" (NeurIPS 2020), equation 4, with `focal_alpha` as their beta.
    The minimum is at `p = y` in every cell, so that the blob keeps the shape that sub-pixel decoding needs,
    while the thousands of easy background cells weigh as little as in the focal loss. With `focal_alpha` 0 it is the
    plain binary cross entropy.
    """

    def per_map(self, logits: torch.Tensor, targets: torch.Tensor, ball_mass: torch.Tensor) -> torch.Tensor:
        """Equation 4, summed over the cells, over the mean squared mass of the targets."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        # The floor keeps the gradient finite for exponents below 1.
        distance = (targets - logits.sigmoid()).abs().clamp(min=1e-6)
        cost = distance.pow(self.config.focal_alpha) * cross_entropy
        return self.weighted_cells(cost, targets).sum(dim=(-2, -1)) / ball_mass
