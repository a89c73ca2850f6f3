"""Small untrained models, in memory and in folders, for the tests of prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.exportable import build_exportable
from tracknet.models.model import TrackNet
from tracknet.utils.geometry import Size
from tracknet.utils.settings import (
    BackboneConfig,
    DecoderConfig,
    HeadConfig,
    HeatmapConfig,
    ModelConfig,
)

MakeModel = Callable[..., TrackNet]


def untrained(
    *, frames: int = 3, maps: Any = "all", stride: int = 1, anchor: Any = "middle", size: Size = Size(96, 48)
) -> TrackNet:
    """A tiny model with seeded random weights, whose maps differ enough from frame to frame to tell them apart."""
    config = ModelConfig(
        backbone=BackboneConfig(
            name="vit",
            pretrained=False,
            config={
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "patch_size": 16,
            },
        ),
        decoder=DecoderConfig(channels=("C", 16, 8), upsample=(2, 4), skip="detail", detail_channels=4),
        head=HeadConfig(maps=maps),
        heatmap=HeatmapConfig(size=Size(size.width // 2, size.height // 2), sigma=1.0),
    )
    torch.manual_seed(0)
    model = TrackNet(config, input_size=size, num_frames=frames, anchor=anchor, frame_stride=stride).eval()
    # A fresh head hardly tells frames apart: logits of mean -3 and deviation 1 do.
    shape = (8, frames, 3, size.height, size.width)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.head.conv.weight.abs_()
        logits = model(noise // 4 + 80)
        model.head.conv.weight.div_(logits.std())
        model.head.conv.bias.copy_((model.head.conv.bias - logits.mean()) / logits.std() - 3)
    return model


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """`make_model(frames=3, maps="all", stride=1, anchor="middle")`."""
    return untrained


@pytest.fixture(scope="session")
def exportable() -> MakeModel:
    """`exportable(kind, patch, ...) -> TrackNet`, as `tiny_model`."""
    return build_exportable


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model that reports a ball in every frame."""
    model = untrained()
    model.score_threshold = 0.0
    return model.save_pretrained(tmp_path_factory.mktemp("saved") / "model")
