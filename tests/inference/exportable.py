"""A small model whose exports can be judged, and frames to judge them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from tests.models.conftest import build_tiny_model
from tracknet.inference.check_frames import CheckFrames, drawn_windows
from tracknet.models.model import TrackNet

MakeModel = Callable[..., TrackNet]


def build_exportable(kind: str = "vit", patch: int = 16, **options: Any) -> TrackNet:
    """A random model that reports a ball in every map, at the highest cell: the one decoder whose points do not
    depend on how flat an untrained map is.
    """
    model = build_tiny_model(kind, patch, **options).eval()
    model.config = replace(model.config, heatmap=replace(model.config.heatmap, decode="argmax"))
    with torch.no_grad():
        # Peaks that stand out by more than float16's rounding of the weights.
        model.head.conv.weight.mul_(100.0)
    model.score_threshold = 1e-6
    model.provenance = {"run": "first", "build_id": "b" * 64}
    return model


def some_windows(model: TrackNet, count: int = 6) -> CheckFrames:
    """Drawn frames for a model."""
    return CheckFrames(drawn_windows(model, count), "drawn frames")
