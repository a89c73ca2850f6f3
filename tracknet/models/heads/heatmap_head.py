"""The last layer: one logit per cell and map."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F


class HeatmapHead(nn.Module):
    """A 1x1 convolution to M maps of logits, float32 whatever the autocast.

    Its bias starts at the logit of `prior` and its weights near zero, so that an untrained model calls every
    cell background and the first steps are not spent on unlearning 36,864 balls. Source: Lin et al., "Focal
    Loss for Dense Object Detection" (ICCV 2017), section 3.3.

    With `subpixel` r, every cell of the decoder's map becomes r x r of the heatmap, each with weights of its own: a
    finer map without a further stage of convolutions at its size. Source: Shi et al., "Real-Time Single Image and
    Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network" (CVPR 2016), equation 4.

    Args:
        in_channels: width of the decoder's map.
        num_maps: M.
        prior: the probability an untrained head gives to every cell.
        subpixel: r, heatmap cells per cell of the decoder's map, along each axis.

    """

    def __init__(self, in_channels: int, num_maps: int, prior: float, subpixel: int = 1) -> None:
        super().__init__()
        self.subpixel = subpixel
        self.conv = nn.Conv2d(in_channels, num_maps * subpixel**2, kernel_size=1)
        nn.init.normal_(self.conv.weight, std=0.01)
        nn.init.constant_(cast(torch.Tensor, self.conv.bias), math.log(prior / (1.0 - prior)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, in_channels, h/r, w/r]` to float32 logits `[B, M, h, w]`."""
        logits: torch.Tensor = self.conv(features)
        if self.subpixel > 1:
            logits = F.pixel_shuffle(logits, self.subpixel)
        return logits.float()
