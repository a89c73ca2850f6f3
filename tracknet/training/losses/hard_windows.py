"""Which windows of a batch are hard: those of the largest loss, so far."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Gather = Callable[[torch.Tensor], torch.Tensor]


def hard_windows(
    costs: torch.Tensor, counted: torch.Tensor, fraction: float, *, every: Gather | None = None
) -> torch.Tensor:
    """The share of a batch's windows that cost most; at least one, and all that cost as much as the last of them.

    Source: Shrivastava et al., "Training Region-based Object Detectors with Online Hard Example Mining" (CVPR 2016),
    section 4: a forward pass of all, a backward pass of the hardest. Windows take the place of regions.

    Args:
        costs: `[B]`, of each window.
        counted: bool `[B]`, false for windows that teach nothing and so are no part of the share.
        fraction: above 0 and at most 1.
        every: where these are one rank's part of a batch, gathers a tensor `[B]` of every rank: the hardest are then
            those of the whole batch.

    Returns:
        bool `[B]`.

    """
    mine = torch.where(counted, costs.detach().double(), -math.inf)
    whole = mine if every is None else every(mine).to(mine)
    # A cost that is no number measures nothing. The sizes stay tensors: reading one makes the CPU wait for a GPU.
    whole = torch.where(whole > -math.inf, whole, -math.inf)
    candidates = (whole > -math.inf).sum()
    # 0.07 * 100 is a little above 7.
    kept = (fraction * candidates.double() - 1e-9).ceil().long().clamp(min=1)
    least = whole.sort(descending=True).values.gather(0, kept.reshape(1) - 1)
    return counted & (mine >= least)
