"""The weights that a training goes on with, where those that it saves are others.

What is saved is a plain model of averaged weights, with adapters merged. Beside it a checkpoint keeps the tensors in
which the training's own weights differ, and no more: a frozen backbone is there once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from tracknet.models.backbones.lora import plain_weights

Weights = dict[str, torch.Tensor]


def copied(model: nn.Module) -> Weights:
    """A copy of all the weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def beside_saved(weights: Mapping[str, torch.Tensor], model: nn.Module) -> Weights:
    """Those of `weights` that cannot be had from what saving `model` as it is now writes."""
    saved = plain_weights(model)
    return {
        name: value
        for name, value in weights.items()
        if name not in saved or not torch.equal(value, saved[name].detach().cpu())
    }
