"""The loss that TrackNetV2 was trained with."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tracknet.training.losses.heatmap_loss import HeatmapLoss


class WeightedCrossEntropyLoss(HeatmapLoss):
    """`-((1 - p)^2 y log p + p^2 (1 - y) log(1 - p))` in units of one ball.

    Source: Sun et al., "TrackNetV2" (ICPAI 2020), its weighted cross entropy: the weight is the probability itself,
    and it has no parameter (`focal_alpha` is of no account). Their targets are discs of ones. A cell of a gaussian's
    slope has its minimum nearer to 1/2 than the target is (0.31 for 0.1, 0.69 for 0.9): blobs come out wider than
    they were drawn.
    """

    def per_map(self, logits: torch.Tensor, targets: torch.Tensor, ball_mass: torch.Tensor) -> torch.Tensor:
        """Its terms, summed over the cells, over the mean squared mass of the targets."""
        p, log_p, log_not_p = logits.sigmoid(), F.logsigmoid(logits), F.logsigmoid(-logits)
        cost = (1 - p).square() * targets * log_p + p.square() * (1 - targets) * log_not_p
        return -self.weighted_cells(cost, targets).sum(dim=(-2, -1)) / ball_mass
