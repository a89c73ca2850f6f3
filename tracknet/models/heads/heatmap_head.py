"""The last layer: one logit per cell and map."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn


class HeatmapHead(nn.Module):
    """A 1x1 convolution to M maps of logits, float32 whatever the autocast.

    Its bias starts at the logit of `prior` and its weights near zero, so that an untrained model calls every
    cell background and the first steps are not spent on unlearning 36,864 balls. Source: Lin et al., "Focal
    Loss for Dense Object Detection" (ICCV 2017), section 3.3.

    Args:
        in_channels: width of the decoder's map.
        num_maps: M.
        prior: the probability an untrained head gives to every cell.

    """

    def __init__(self, in_channels: int, num_maps: int, prior: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, num_maps, kernel_size=1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.constant_(cast(torch.Tensor, self.conv.bias), math.log(prior / (1.0 - prior)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, h, w]` to float32 logits `[B, M, h, w]`."""
        logits: torch.Tensor = self.conv(features)
        return logits.float()
