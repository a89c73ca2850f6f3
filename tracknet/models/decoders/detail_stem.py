"""A shallow convolutional look at the pixels: what a patch of 16 pixels has averaged away.

A ball is 2-12 pixels wide and moves; a ViT's token sees 40x40 pixels of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from tracknet.models.decoders.blocks import conv_blocks
from tracknet.utils.settings import DecoderConfig


class DetailStem(nn.Module):
    """Stacked frames and their differences to maps of stride 2, 4, 8 ..., or of 1, 2, 4 ... (`detail_finest`).

    The signed differences of neighbouring frames are channels of their own: the ball moves and the court does
    not. `detail_input: frames` leaves them out.

    Args:
        config: what it sees (`detail_input`), the width at stride 2 (`detail_channels`, doubles with every
            halving), the finest stride, the kernel and how many convolutions a level has.
        num_frames: T.
        levels: how many maps are wanted.

    """

    def __init__(self, config: DecoderConfig, *, num_frames: int, levels: int) -> None:
        super().__init__()
        self.strides = stem_strides(config, levels)
        self.widths = tuple(config.detail_channels * max(1, stride // 2) for stride in self.strides)
        self.with_differences = config.detail_input == "frames_and_differences" and num_frames > 1
        incoming = 3 * num_frames + (3 * (num_frames - 1) if self.with_differences else 0)
        self.levels = nn.ModuleList()
        before = 1
        for stride, width in zip(self.strides, self.widths, strict=True):
            # Where nothing is halved, a kernel of 4 would shift what it need not centre.
            kernel = config.detail_kernel if stride > before else 3
            self.levels.append(
                conv_blocks(
                    incoming, width, count=config.convolutions, stride=stride // before, kernel=kernel
                )
            )
            incoming, before = width, stride

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Normalised pixels `[B, T, 3, H, W]` to `[B, widths[i], ~H/strides[i], ~W/strides[i]]`, finest first."""
        stacked = pixels.flatten(1, 2)
        if self.with_differences:
            stacked = torch.cat([stacked, (pixels[:, 1:] - pixels[:, :-1]).flatten(1, 2)], dim=1)
        maps = []
        for level in self.levels:
            stacked = cast(torch.Tensor, level(stacked))
            maps.append(stacked)
        return maps


def stem_strides(config: DecoderConfig, levels: int) -> tuple[int, ...]:
    """Input pixels per cell of the first `levels` maps of a stem: 2, 4, 8 ..., or 1, 2, 4 ..."""
    return tuple(config.detail_finest * 2**level for level in range(levels))


def nearest_level(stride: float, strides: Sequence[int]) -> int:
    """The stem's level nearest to a stride in input pixels per cell, of levels of `strides`; ties go to the finer."""
    return min(range(len(strides)), key=lambda level: abs(strides[level] - stride))
