"""TrackNetV2: a U-Net over stacked frames, as wide as VGG-16.

Source: Sun et al., "TrackNetV2: Efficient Shuttlecock Tracking Network" (ICPAI 2020): three frames of
512x288 in, a map for each of them out. 11.33 M weights with its head; the paper says 11.3 M.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# Width and number of convolutions at strides 1, 2, 4, 8 on the way down; back up the same without the last.
_DOWN = ((64, 2), (128, 2), (256, 3), (512, 3))


class TrackNetV2(nn.Module):
    """Pixels `[B, T, 3, H, W]` to a map `[B, 64, H, W]`.

    Args:
        num_frames: T.

    Attributes:
        stride: H and W must be whole multiples of it.
        out_channels: width of the map, for the head.

    """

    stride = 8
    out_channels = 64

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        incoming = 3 * num_frames
        for width, convolutions in _DOWN:
            self.down.append(_level(incoming, width, convolutions))
            incoming = width
        for width, convolutions in reversed(_DOWN[:-1]):
            self.up.append(_level(incoming + width, width, convolutions))
            incoming = width

    def forward(self, features: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels `[B, T, 3, H, W]` to `[B, 64, H, W]`; of features, which it has none, nothing is read."""
        del features
        fine = pixels.flatten(1, 2)
        skips: list[torch.Tensor] = []
        for number, level in enumerate(self.down):
            if number > 0:
                skips.append(fine)
                fine = F.max_pool2d(fine, kernel_size=2)
            fine = level(fine)
        for level in self.up:
            larger = F.interpolate(fine, scale_factor=2.0, mode="nearest")
            fine = level(torch.cat([larger, skips.pop()], dim=1))
        return fine


def _level(incoming: int, width: int, convolutions: int) -> nn.Sequential:
    """3x3 convolution, ReLU, batch normalisation, in that order, so many times."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv2d(incoming, width, kernel_size=3, padding=1), nn.ReLU(), nn.BatchNorm2d(width)]
        incoming = width
    return nn.Sequential(*layers)
