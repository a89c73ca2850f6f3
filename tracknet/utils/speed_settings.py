"""The settings under `training.speed`: how the same step is computed faster. They change rounding, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SpeedConfig:
    """What each is worth on which machine: docs/training_speed.md; `python -m benchmarks.train` measures it."""

    attention: Literal["sdpa", "eager"] = "sdpa"
    """Of the ViT: torch's fused kernels, or matrix by matrix, as a reference."""
    channels_last: bool = True
    """Convolutions keep a pixel's channels side by side in memory."""
    fused_optimizer: bool = True
    """AdamW in one kernel, on the devices that have it."""
    prefetch: bool = True
    """Copy the next batch to the GPU while it computes on this one; of no account on a CPU."""
    tf32: bool = True
    """On CUDA float32 products round their factors to 10 bits; what runs in bf16 is not concerned."""
    cudnn_benchmark: bool = True
    """On CUDA the fastest of cuDNN's convolutions are found by trial, so that two runs may differ in rounding."""
