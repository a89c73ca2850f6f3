"""Tiny models of every kind, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tracknet.models.model import TrackNet
from tracknet.utils.geometry import Size
from tracknet.utils.settings import (
    BackboneConfig,
    DecoderConfig,
    FusionConfig,
    HeadConfig,
    HeatmapConfig,
    ModelConfig,
)

torch.set_num_threads(1)

TINY: dict[str, dict[str, Any]] = {
    "vit": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "dinov2": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "dinov3_vit": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_register_tokens": 4,
        "pos_embed_rescale": 2.0,
    },
}


def build_tiny_model(
    kind: str = "vit",
    patch: int = 16,
    *,
    frames: int = 3,
    fusion: Any = "concat",
    maps: Any = "one",
    skip: Any = "detail",
    up: Any = "deconv",
    freeze: bool = False,
    anchor: Any = "middle",
    depth: int = 1,
    layers: tuple[int, ...] | None = None,
    layer_fusion: Any = "concat",
    subpixel: int = 1,
) -> TrackNet:
    size = Size(56, 28) if patch == 14 else Size(64, 32)
    cells = 4 * subpixel
    config = ModelConfig(
        backbone=BackboneConfig(
            name=kind,
            pretrained=False,
            freeze=freeze,
            config={**TINY[kind], "patch_size": patch, "num_hidden_layers": depth},
            layers=layers,
        ),
        fusion=FusionConfig(kind=fusion, layers=layer_fusion),
        decoder=DecoderConfig(channels=("C", 16, 8), upsample=(2, 2), kind=up, skip=skip, detail_channels=4),
        head=HeadConfig(maps=maps, subpixel=subpixel),
        heatmap=HeatmapConfig(
            size=Size(size.width // patch * cells, size.height // patch * cells), sigma=1.0
        ),
    )
    torch.manual_seed(0)
    return TrackNet(config, input_size=size, num_frames=frames, anchor=anchor)


def draw_frames(model: TrackNet, batch: int = 2) -> torch.Tensor:
    shape = (batch, model.num_frames, 3, model.input_size.height, model.input_size.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., TrackNet]:
    """`tiny_model(kind, patch, frames=3, ...) -> TrackNet` with seeded random weights."""
    return build_tiny_model


@pytest.fixture(scope="session")
def some_frames() -> Callable[..., torch.Tensor]:
    """`some_frames(model, batch=2) -> uint8 [B, T, 3, H, W]`, always the same noise."""
    return draw_frames
