"""Heatmap losses: logits against drawn gaussians, masked and weighted per map.

All of them sum over the cells of a map, bring that sum to the scale of *one ball*, and take the weighted mean
over the maps that are not masked. A plain mean over cells is useless here: a ball of sigma 2 is worth 12.6 of
36,864 cells, so missing it altogether costs 3e-4 and an empty map is a comfortable place to stay.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from tracknet.training.losses.hard_windows import Gather, hard_windows
from tracknet.utils.settings import LossConfig


class HeatmapLoss(nn.Module, ABC):
    """`loss(logits, targets, weights) -> scalar`; a new loss says what one map costs.

    Args:
        config: the settings of the loss.

    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def per_map(self, logits: torch.Tensor, targets: torch.Tensor, ball_mass: torch.Tensor) -> torch.Tensor:
        """What each map costs: logits and targets `[B, M, h, w]`, of one dtype, to `[B, M]`.

        `ball_mass` (a scalar) is the mean over the unmasked balls of a target's sum of squares, about
        `pi * sigma^2`; 1 without any ball.
        """

    def forward(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
        *,
        total: Callable[[torch.Tensor], torch.Tensor] | None = None,
        every: Gather | None = None,
    ) -> torch.Tensor:
        """The weighted mean over the maps that are not masked, of the hard windows where only those are asked for.

        Args:
            logits: `[B, M, h, w]`, any float dtype; computed in float32 (float64 stays) also under autocast.
            targets: `[B, M, h, w]` gaussians in 0..1, any float dtype.
            weights: `[B, M]`, at least 0; 0 masks a map.
            total: where these are one part of a batch, the `batch_sums` of the whole from those of the part. The
                mean is then the whole batch's, and what is returned is this part's share of it: the shares of all
                parts (of ranks, of micro-batches) add up to the loss.
            every: gathers a tensor `[B]` of every rank; asked for by `hard_fraction` alone.

        Returns:
            a scalar; 0 with a gradient of 0 when everything is masked.

        """
        if logits.shape != targets.shape or weights.shape != logits.shape[:2]:
            raise ValueError(
                f"logits {tuple(logits.shape)}, targets {tuple(targets.shape)} and weights "
                f"{tuple(weights.shape)} do not belong together"
            )
        dtype = torch.promote_types(logits.dtype, torch.float32)
        logits, targets, weights = logits.to(dtype), targets.to(dtype), weights.to(dtype)
        sums = batch_sums(targets, weights)
        weight, mass, balls = total(sums) if total is not None else sums
        ball_mass = torch.where(balls > 0, mass / balls.clamp(min=1), torch.ones_like(mass))
        costs = self.per_map(logits, targets, ball_mass)
        if self.config.hard_fraction < 1.0:
            counted = weights.amax(dim=1) > 0
            of_windows = (costs.detach() * weights).sum(dim=1)
            hard = hard_windows(of_windows, counted, self.config.hard_fraction, every=every)
            # No number stays none: 0 times it would be one too.
            weights = weights * hard[:, None]
            weight = weights.sum()[None] if total is None else total(weights.sum()[None])
        loss: torch.Tensor = (costs * weights).sum() / weight.clamp(min=torch.finfo(dtype).tiny)
        return loss

    def weighted_cells(self, costs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Costs of cells `[B, M, h, w]`, those of the ball times `positive_weight`, in between by their target.

        The whole cost of a cell is weighed, not its positive term alone as by the `pos_weight` of PyTorch's binary
        cross entropy: every cell keeps its minimum where it was, and the blob its shape.
        """
        weight = self.config.positive_weight
        return costs if weight == 1.0 else costs * (1.0 + (weight - 1.0) * targets)


class MSELoss(HeatmapLoss):
    """Squared error of the probabilities, in units of one ball: missing it entirely costs 1."""

    def per_map(self, logits: torch.Tensor, targets: torch.Tensor, ball_mass: torch.Tensor) -> torch.Tensor:
        """Sum of squared errors over the mean squared mass of the targets."""
        cost = (logits.sigmoid() - targets).square()
        return self.weighted_cells(cost, targets).sum(dim=(-2, -1)) / ball_mass


class FocalLoss(HeatmapLoss):
    """Penalty-reduced focal loss: the peak is a positive, cells near it are forgiven, the rest negatives.

    Source: Law & Deng, "CornerNet" (ECCV 2018), equation 1; Zhou et al., "Objects as Points" (2019),
    equation 1. Their centres are whole cells whose target is exactly 1; here the centre is a float, so the
    positive is the highest cell of the target (both, where two are equal). They divide by the number of
    positives; so do we, with one positive per map, except that empty maps count too: a batch
    without a ball is then no heavier than another.
    """

    def per_map(self, logits: torch.Tensor, targets: torch.Tensor, ball_mass: torch.Tensor) -> torch.Tensor:
        """Equation 1, summed over the cells."""
        del ball_mass
        alpha, beta = self.config.focal_alpha, self.config.focal_beta
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        peak = targets.amax(dim=(-2, -1), keepdim=True)
        positive = (targets == peak) & (peak > 0)
        # Powers of probabilities by way of logarithms: exact and finite at any logit.
        hit = torch.exp(alpha * log_not_p) * log_p
        empty = (1 - targets).pow(beta) * torch.exp(alpha * log_p) * log_not_p
        return -torch.where(positive, self.config.positive_weight * hit, empty).sum(dim=(-2, -1))


def batch_sums(targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What a batch's loss is normalised by: `[3]`, float32 (float64 stays).

    The sum of the weights, the unmasked balls' sum of squares, and how many balls these are.
    """
    dtype = torch.promote_types(targets.dtype, torch.float32)
    targets, weights = targets.to(dtype), weights.to(dtype)
    mass = targets.square().sum(dim=(-2, -1))
    counted = ((mass > 0) & (weights > 0)).to(mass.dtype)
    return torch.stack([weights.sum(), (mass * counted).sum(), counted.sum()])
