"""A shallow convolutional look at the pixels: what a patch of 16 pixels has averaged away.

A ball is 2-12 pixels wide and moves; a ViT's token sees 40x40 pixels of the source.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from tracknet.models.decoders.blocks import conv_block
from tracknet.utils.settings import DecoderConfig


class DetailStem(nn.Module):
    """Stacked frames and their differences to maps of stride 2, 4, 8 ...

    The signed differences of neighbouring frames are channels of their own: the ball moves and the court does
    not. `detail_input: frames` leaves them out.

    Args:
        config: what it sees (`detail_input`), the width at stride 2 (`detail_channels`, doubles with every
            halving) and the kernel.
        num_frames: T.
        levels: how many strides are wanted.

    """

    def __init__(self, config: DecoderConfig, *, num_frames: int, levels: int) -> None:
        super().__init__()
        self.widths = tuple(config.detail_channels * 2**level for level in range(levels))
        self.with_differences = config.detail_input == "frames_and_differences" and num_frames > 1
        incoming = 3 * num_frames + (3 * (num_frames - 1) if self.with_differences else 0)
        self.levels = nn.ModuleList()
        for width in self.widths:
            self.levels.append(conv_block(incoming, width, stride=2, kernel=config.detail_kernel))
            incoming = width

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Normalised pixels `[B, T, 3, H, W]` to `[B, widths[i], ~H/2^(i+1), ~W/2^(i+1)]`, finest first."""
        stacked = pixels.flatten(1, 2)
        if self.with_differences:
            stacked = torch.cat([stacked, (pixels[:, 1:] - pixels[:, :-1]).flatten(1, 2)], dim=1)
        maps = []
        for level in self.levels:
            stacked = cast(torch.Tensor, level(stacked))
            maps.append(stacked)
        return maps


def nearest_level(stride: float, levels: int) -> int:
    """The stem's level (0 is stride 2) nearest to a stride in input pixels per cell; ties go to the finer."""
    return min(range(levels), key=lambda level: abs(2.0 ** (level + 1) - stride))
