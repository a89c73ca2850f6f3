"""What chosen layers of a ViT put out, kept while it runs: its own forward pass gives the last one alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from tracknet.utils.errors import UserError


class LayerTaps:
    """The outputs of some layers, each through the ViT's final layer norm.

    The norm brings layers to one scale. It is what DINOv2's and DINOv3's own code and the Hugging Face backbones
    (`apply_layernorm`) do with every layer that they hand out.

    Args:
        vit: a Hugging Face ViT.
        layers: numbers from 1, ascending, the deepest layer last.

    Raises:
        UserError: where its layers or its final norm are is not known.

    """

    def __init__(self, vit: PreTrainedModel, layers: tuple[int, ...]) -> None:
        blocks = _blocks(vit)
        _final_norm(vit)  # refused before anything runs
        # The last one's output comes normalised from the ViT itself.
        self._taps = [_Tap() for _ in layers[:-1]]
        for tap, number in zip(self._taps, layers[:-1], strict=True):
            blocks[number - 1].register_forward_hook(tap)

    def run(self, vit: PreTrainedModel, **inputs: Any) -> torch.Tensor:
        """The ViT's forward pass: tokens of the layers `[N, tokens, L * C]`, special tokens included."""
        for tap in self._taps:
            tap.begin()
        last = vit(**inputs).last_hidden_state
        norm = _final_norm(vit)
        return torch.cat([*(norm(tap.take()) for tap in self._taps), last], dim=-1)


class _Tap:
    """A forward hook that keeps one output; an object, and no closure, so that a copied model has its own."""

    def __init__(self) -> None:
        self._open = False
        self._kept: torch.Tensor | None = None

    def begin(self) -> None:
        self._open, self._kept = True, None

    def take(self) -> torch.Tensor:
        kept, self._kept = self._kept, None
        assert kept is not None, "the layer did not run"
        return kept

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # Gradient checkpointing may run the layer again, when its output is no longer asked for.
        if self._open:
            self._kept, self._open = (output[0] if isinstance(output, tuple) else output), False


def _blocks(vit: PreTrainedModel) -> nn.ModuleList:
    depth = vit.config.num_hidden_layers
    for module in vit.modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            return module
    raise _unknown(vit, f"its {depth} layers")


def _final_norm(vit: PreTrainedModel) -> nn.Module:
    for name in ("layernorm", "norm"):
        if isinstance(norm := getattr(vit, name, None), nn.Module):
            return norm
    raise _unknown(vit, "its final layer norm")


def _unknown(vit: PreTrainedModel, what: str) -> UserError:
    return UserError(
        f"model.backbone.layers: model type {vit.config.model_type!r} does not show {what}",
        remedy="use vit, dinov2 or dinov3_vit, or set model.backbone.layers=null",
    )
