"""Batch norm's running statistics as they were before a step: a forward pass changes them, step or no step."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class KeptStatistics:
    """The statistics of a model's batch norms; of a model without any, nothing."""

    def __init__(self, model: nn.Module) -> None:
        norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
        self._live = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._kept: list[torch.Tensor] = []

    @property
    def any(self) -> bool:
        """The model has batch norms."""
        return bool(self._live)

    def keep(self) -> None:
        """Remembers them."""
        self._kept = [buffer.clone() for buffer in self._live]

    def restore(self) -> None:
        """Puts back what was remembered."""
        for live, kept in zip(self._live, self._kept, strict=True):
            live.copy_(kept)
