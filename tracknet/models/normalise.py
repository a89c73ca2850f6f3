"""Pixels as a network takes them."""

from __future__ import annotations

import torch


def normalised(frames: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Uint8 RGB `[.., 3, H, W]` to float32 of the same shape: `(frames / 255 - mean) / std`.

    Args:
        frames: any memory layout.
        mean: float32 `[3]`, of pixels in 0..1, on the same device.
        std: float32 `[3]`, of pixels in 0..1, on the same device.
    """
    scale = (1.0 / (255.0 * std))[:, None, None]
    shift = (mean / std)[:, None, None]
    return frames.to(torch.float32) * scale - shift
