"""A model's opinion of a window and of its mirror image, averaged: test-time augmentation by a flip."""

from __future__ import annotations

import torch

from tracknet.models.model import TrackNet
from tracknet.utils.heatmap import logits_of


@torch.no_grad()
def mirrored_average(model: TrackNet, frames: torch.Tensor) -> torch.Tensor:
    """The logits of the average of the two probabilities, the second map mirrored back.

    Cells are centred at integers over the same extent as pixels, so column j of the mirrored picture's map is
    column `w - 1 - j` of the picture's, exactly.

    Args:
        model: in evaluation mode.
        frames: uint8 `[B, T, 3, H, W]` on the model's device.

    Returns:
        float32 `[B, M, h, w]`.
    """
    return average_of_mirrored(model(frames), model(frames.flip(-1)).flip(-1))


def average_of_mirrored(straight: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """The logits, float32, of the average of two probabilities; the second's maps are mirrored back already."""
    return logits_of((straight.float().sigmoid() + mirrored.float().sigmoid()) / 2)
