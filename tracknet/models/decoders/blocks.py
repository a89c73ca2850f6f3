"""The convolution that decoder and stem are made of."""

from __future__ import annotations

from torch import nn


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
