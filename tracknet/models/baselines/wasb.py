"""The network of WASB: a slim HRNet that never leaves the input's resolution.

Source: Tarashima et al., "Widely Applicable Strong Baseline for Sports Ball Detection and Tracking" (BMVC 2023):
an HRNet whose stem does not halve the picture, three frames of 512x288 in, a map for each out, with the
widths of github nttcom/WASB-SBDT, src/configs/model/wasb.yaml; HRNet itself from Wang et al., "Deep
High-Resolution Representation Learning for Visual Recognition" (TPAMI 2020), section 3. Of the last exchange only
the finest map is computed: nothing reads the others. Their position-aware training (a choice of samples) and
their tracker are no part of the network.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

_STEM, _BOTTLENECK = 64, 32
# Widths at strides 1, 2, 4, 8; each stage adds one.
_WIDTHS = (16, 32, 64, 128)
_BLOCKS = 2


class WASBNet(nn.Module):
    """Pixels `[B, T, 3, H, W]` to a map `[B, 16, H, W]`.

    Args:
        num_frames: T.

    Attributes:
        stride: H and W must be whole multiples of it.
        out_channels: width of the map, for the head.

    """

    stride = 8
    out_channels = _WIDTHS[0]

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_conv(3 * num_frames, _STEM), *_conv(_STEM, _STEM), Bottleneck(_STEM, _BOTTLENECK)
        )
        self.first = nn.Sequential(*_conv(4 * _BOTTLENECK, _WIDTHS[0]))
        self.coarser = nn.ModuleList()
        self.stages = nn.ModuleList()
        incoming = 4 * _BOTTLENECK
        for branches in range(2, len(_WIDTHS) + 1):
            self.coarser.append(nn.Sequential(*_conv(incoming, _WIDTHS[branches - 1], stride=2)))
            incoming = _WIDTHS[branches - 1]
            outputs = 1 if branches == len(_WIDTHS) else branches
            self.stages.append(Stage(_WIDTHS[:branches], outputs))

    def forward(self, features: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels `[B, T, 3, H, W]` to `[B, 16, H, W]`; of features, which it has none, nothing is read."""
        del features
        seen = self.stem(pixels.flatten(1, 2))
        maps, coarsest = [self.first(seen)], seen
        for halve, stage in zip(self.coarser, self.stages, strict=True):
            maps = stage([*maps, halve(coarsest)])
            coarsest = maps[-1]
        return cast(torch.Tensor, maps[0])


class Stage(nn.Module):
    """Branches of several resolutions side by side, then an exchange in which every output sums all of them.

    Args:
        widths: of the branches, the finest first; each is half as fine as the one before.
        outputs: how many of the maps, from the finest on, come out.

    """

    def __init__(self, widths: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(_BLOCKS))) for width in widths
        )
        self.exchange = nn.ModuleList(
            nn.ModuleList(_resampled(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """`[B, widths[i], H/2^i, W/2^i]`, the finest first, to `outputs` maps of the same sizes."""
        maps = [branch(one) for branch, one in zip(self.branches, maps, strict=True)]
        mixed = []
        for paths in cast(list[nn.ModuleList], self.exchange):
            total = paths[0](maps[0])
            for path, one in zip(paths[1:], maps[1:], strict=True):
                total = total + path(one)
            mixed.append(total.relu())
        return mixed


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity. Source: He et al., "Deep Residual Learning" (CVPR 2016), figure 5."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv(width, width), *_conv(width, width, relu=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape out as in."""
        out: torch.Tensor = (self.body(x) + x).relu()
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a 1x1: `incoming` channels to `4 * width`. Source: as `BasicBlock`."""

    def __init__(self, incoming: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(incoming, width, kernel=1),
            *_conv(width, width),
            *_conv(width, 4 * width, kernel=1, relu=False),
        )
        self.shortcut = nn.Sequential(*_conv(incoming, 4 * width, kernel=1, relu=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[B, incoming, H, W]` to `[B, 4 * width, H, W]`."""
        out: torch.Tensor = (self.body(x) + self.shortcut(x)).relu()
        return out


def _conv(
    incoming: int, outgoing: int, *, kernel: int = 3, stride: int = 1, relu: bool = True
) -> list[nn.Module]:
    """Convolution, batch normalisation and, where wanted, ReLU."""
    conv = nn.Conv2d(incoming, outgoing, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outgoing), *([nn.ReLU(inplace=True)] if relu else [])]


def _resampled(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
    """From one branch's resolution and width to another's: repeated halving, or a 1x1 convolution and enlarging."""
    if source == target:
        return nn.Identity()
    if source > target:
        narrowed = _conv(widths[source], widths[target], kernel=1, relu=False)
        return nn.Sequential(*narrowed, nn.Upsample(scale_factor=2.0 ** (source - target), mode="nearest"))
    layers: list[nn.Module] = []
    for step in range(source, target):
        last = step == target - 1
        outgoing = widths[target] if last else widths[source]
        layers += _conv(widths[source], outgoing, stride=2, relu=not last)
    return nn.Sequential(*layers)
