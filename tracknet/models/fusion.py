"""The features of a window's T frames become one map.

With one frame, the anchor's alone (`fusion.kind: anchor`), or without features, nothing is to do.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tracknet.utils.settings import FusionConfig

# Sequences of one call. CUDA's grids end at 65,535 along two of their axes, and torch's fused kernels count sequences,
# or sequences times heads (8 at most), along one: beyond it they fail with "invalid configuration argument".
_MOST_AT_ONCE = 65_535 // 8


class ConcatFusion(nn.Module):
    """All frames side by side through one 1x1 convolution: `[B, T, C, Hp, Wp]` to `[B, C, Hp, Wp]`."""

    def __init__(self, channels: int, num_frames: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(num_frames * channels, channels, kernel_size=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Mixes the frames at every location."""
        mixed: torch.Tensor = self.mix(features.flatten(1, 2))
        return mixed


class AttentionFusion(nn.Module):
    """Every location looks along time, then the frames are concatenated: same shapes as `ConcatFusion`.

    One pre-norm self-attention layer over the T tokens of a location, with learned time embeddings and a
    residual whose branch starts at zero, so that an untrained layer is `ConcatFusion`.
    """

    def __init__(self, channels: int, num_frames: int) -> None:
        super().__init__()
        self.heads = next(heads for heads in (8, 4, 2, 1) if channels % heads == 0)
        self.time = nn.Parameter(torch.randn(num_frames, channels) * 0.02)
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.merge = ConcatFusion(channels, num_frames)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Attends over the frames of every location, then mixes them."""
        batch, _, _, rows, columns = features.shape
        tokens = features.permute(0, 3, 4, 1, 2).flatten(0, 2)  # [B*Hp*Wp, T, C]
        qkv = self.qkv(self.norm(tokens + self.time)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B*Hp*Wp, heads, T, C/heads]
        seen = _attended(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.out(seen)
        fused: torch.Tensor = self.merge(tokens.unflatten(0, (batch, rows, columns)).permute(0, 3, 4, 1, 2))
        return fused


def _attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Scaled dot product attention of so many short sequences that one call would not take them: `[N, heads, T, D]`."""
    if len(query) <= _MOST_AT_ONCE:
        return F.scaled_dot_product_attention(query, key, value)
    parts = zip(*(torch.split(tensor, _MOST_AT_ONCE) for tensor in (query, key, value)), strict=True)
    return torch.cat([F.scaled_dot_product_attention(*part) for part in parts])


class OneFrame(nn.Module):
    """`[B, T, C, Hp, Wp]` to `[B, C, Hp, Wp]`, where T is 1 or C is 0: there is nothing to mix."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Drops the time axis."""
        return features[:, 0]


FUSIONS: dict[str, type[ConcatFusion] | type[AttentionFusion]] = {
    "concat": ConcatFusion,
    "attention": AttentionFusion,
}


def fused_frames(config: FusionConfig, num_frames: int, anchor: int) -> range:
    """The window's frames whose features are looked at: all, or the anchor alone."""
    return range(anchor, anchor + 1) if config.kind == "anchor" else range(num_frames)


def build_fusion(config: FusionConfig, channels: int, num_frames: int) -> nn.Module:
    """The fusion a config asks for, of as many frames as `fused_frames` names; none of one, or without a backbone."""
    return OneFrame() if num_frames == 1 or channels == 0 else FUSIONS[config.kind](channels, num_frames)
