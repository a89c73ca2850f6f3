"""Several layers of a backbone become one map per frame. With one layer, or without features, nothing is to do."""

from __future__ import annotations

import torch
from torch import nn

from tracknet.utils.settings import FusionConfig


class ConcatLayers(nn.Module):
    """The layers side by side through one 1x1 convolution: `[B, T, L * C, Hp, Wp]` to `[B, T, C, Hp, Wp]`.

    Source: Ranftl et al., "Vision Transformers for Dense Prediction" (ICCV 2021), section 3.1, reads four depths too,
    but into maps of four resolutions; here detail comes from the pixels, and one resolution is enough.
    """

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(num_layers * channels, channels, kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Mixes the layers at every location of every frame."""
        mixed: torch.Tensor = self.mix(features.flatten(0, 1))
        return mixed.reshape(*features.shape[:2], *mixed.shape[1:])


class WeightedLayers(nn.Module):
    """A mean of the layers with learned weights, the same everywhere: shapes as `ConcatLayers`.

    It begins as the plain mean. Source: Peters et al., "Deep contextualized word representations" (NAACL 2018),
    equation 1, without its overall scale, which the next layer has.
    """

    def __init__(self, channels: int, num_layers: int) -> None:
        super().__init__()
        self.channels = channels
        self.weight = nn.Parameter(torch.zeros(num_layers))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Weighs the layers."""
        layers = features.reshape(*features.shape[:2], -1, self.channels, *features.shape[3:])
        mixed: torch.Tensor = (layers * self.weight.softmax(0)[:, None, None, None]).sum(dim=2)
        return mixed


DEPTH_FUSIONS: dict[str, type[ConcatLayers] | type[WeightedLayers]] = {
    "concat": ConcatLayers,
    "sum": WeightedLayers,
}


def build_depth_fusion(config: FusionConfig, channels: int, num_layers: int) -> nn.Module:
    """The fusion of layers that a config asks for: `[B, T, L * C, Hp, Wp]` to `[B, T, C, Hp, Wp]`.

    Args:
        config: names it.
        channels: C, the width of one layer.
        num_layers: L; of one, nothing is to be fused.
    """
    return nn.Identity() if num_layers == 1 else DEPTH_FUSIONS[config.layers](channels, num_layers)
