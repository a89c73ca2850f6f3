"""What stands where a backbone would, in models that see with convolutions alone."""

from __future__ import annotations

import torch
from torch import nn


class NoBackbone(nn.Module):
    """Has no weights and gives features of no channels, so that the halves of a model can be called apart.

    Args:
        stride: input pixels per cell of what follows; takes the place of a patch.

    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.width = self.out_channels = 0
        self.num_layers = 1
        self.patch_size = stride

    def set_frozen(self, freeze: bool) -> None:
        """There is nothing to freeze."""

    def depths(self) -> dict[str, int]:
        """There are no weights."""
        return {}

    def set_attention(self, name: str) -> None:
        """There is none."""

    def gradient_checkpointing(self, enabled: bool) -> None:
        """There is nothing to compute again."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels `[N, 3, H, W]` to `[N, 0, H/stride, W/stride]`."""
        return pixels[:, :0, :: self.patch_size, :: self.patch_size]
