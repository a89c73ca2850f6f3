"""The convolutions that decoder and stem are made of."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn


def conv_blocks(
    incoming: int, outgoing: int, *, count: int, stride: int = 1, kernel: int = 3
) -> nn.Sequential:
    """A `conv_block` and `count` - 1 residual ones behind it: `[B, incoming, H, W]` to `[B, outgoing, ~H/stride, ..]`.

    A single one stays what it was before there could be more, so that saved weights keep their names.
    """
    first = conv_block(incoming, outgoing, stride=stride, kernel=kernel)
    return nn.Sequential(first, *(_Residual(outgoing) for _ in range(count - 1))) if count > 1 else first


class _Residual(nn.Module):
    """A convolution that adds to what it reads, `[B, C, H, W]` to the same (He et al. 2016, of one layer)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = conv_block(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` and what the block makes of it."""
        return x + cast(torch.Tensor, self.block(x))


def conv_block(incoming: int, outgoing: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, normalisation, ReLU: `[B, incoming, H, W]` to `[B, outgoing, ~H/stride, ~W/stride]`.

    The norm is GroupNorm: batch statistics are poor at a batch of 4 windows and differ between devices.
    """
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, kernel_size=kernel, stride=stride, padding=1, bias=False),
        nn.GroupNorm(_groups(outgoing), outgoing),
        nn.ReLU(inplace=True),
    )


def _groups(channels: int) -> int:
    """Groups of at least 4 channels, at most 8 of them."""
    return next((groups for groups in (8, 4, 2) if channels % groups == 0 and channels >= 4 * groups), 1)
