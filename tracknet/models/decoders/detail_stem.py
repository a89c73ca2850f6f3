"""A shallow convolutional look at the pixels: what a patch of 16 pixels has averaged away.

A ball is 2-12 pixels wide and moves; a ViT's token sees 40x40 pixels of the source.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from tracknet.models.decoders.blocks import conv_block

MAX_LEVELS = 3


class DetailStem(nn.Module):
    """Stacked frames and their differences to maps of stride 2, 4, 8.

    The signed differences of neighbouring frames are channels of their own: the ball moves and the court does
    not.

    Args:
        num_frames: T.
        channels: width at stride 2; doubles with every halving.
        levels: how many strides are wanted, 1 to 3.

    """

    def __init__(self, num_frames: int, channels: int, levels: int) -> None:
        super().__init__()
        self.widths = tuple(channels * 2**level for level in range(levels))
        incoming = 3 * num_frames + 3 * (num_frames - 1)
        self.levels = nn.ModuleList()
        for width in self.widths:
            self.levels.append(conv_block(incoming, width, stride=2))
            incoming = width

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Normalised pixels `[B, T, 3, H, W]` to `[B, widths[i], ~H/2^(i+1), ~W/2^(i+1)]`, finest first."""
        stacked = pixels.flatten(1, 2)
        if pixels.shape[1] > 1:
            stacked = torch.cat([stacked, (pixels[:, 1:] - pixels[:, :-1]).flatten(1, 2)], dim=1)
        maps = []
        for level in self.levels:
            stacked = cast(torch.Tensor, level(stacked))
            maps.append(stacked)
        return maps


def nearest_level(stride: float) -> int:
    """The stem's level (0 is stride 2) nearest to a stride in input pixels per cell; ties go to the finer."""
    return min(range(MAX_LEVELS), key=lambda level: abs(2.0 ** (level + 1) - stride))
