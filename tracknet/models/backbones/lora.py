"""Low-rank adapters in a ViT, by peft: trained beside its frozen weights, and merged into them to be saved.

    y = W x + (alpha / rank) * B A x        A: [rank, in], random;  B: [out, rank], zero at the start

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), section 4.1. Only making adapters
needs peft: the merged weights are a plain ViT's.
"""

from __future__ import annotations

import torch
from torch import nn

from tracknet.utils.errors import UserError
from tracknet.utils.extras import install_command
from tracknet.utils.naming import did_you_mean, listed
from tracknet.utils.settings import LoraConfig

# The queries and values of the attention, as transformers has called them over the years.
_QUERIES_AND_VALUES = ("q_proj", "v_proj", "query", "value")
_MARK = "lora_"


def add_adapters(vit: nn.Module, config: LoraConfig) -> None:
    """Gives linear layers of a ViT an adapter each, in place; the ViT computes what it did until they are trained.

    Args:
        vit: in float32.
        config: which layers, and of what rank.

    Raises:
        UserError: peft is not installed, or there is no layer of a name that is asked for.

    """
    try:
        import peft
    except ImportError:
        raise UserError(
            "model.backbone.lora needs peft, which is not installed",
            remedy=f"{install_command('lora')}; predicting with the model that comes out does not need it",
        ) from None
    there = {name.rpartition(".")[2] for name, part in vit.named_modules() if isinstance(part, nn.Linear)}
    wanted = config.targets or [name for name in _QUERIES_AND_VALUES if name in there]
    unknown = [name for name in wanted if name not in there]
    if unknown or not wanted:
        raise UserError(
            f"model.backbone.lora.targets: this ViT has no linear layer {listed(unknown or _QUERIES_AND_VALUES, 8)}"
            f"{did_you_mean(unknown[0], sorted(there)) if unknown else ''}",
            remedy=f"name some of {listed(sorted(there), 20)}",
        )
    settings = peft.LoraConfig(
        r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(wanted)
    )
    peft.inject_adapter_in_model(settings, vit)


def is_adapter(name: str) -> bool:
    """Whether a weight of this name is an adapter's."""
    return _MARK in name


@torch.no_grad()
def plain_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """A model's `state_dict` as it is without adapters, theirs added to the weights: `W + (alpha / rank) B A`.

    The tensors are the model's own, except the sums.
    """
    weights: dict[str, torch.Tensor] = dict(model.state_dict())
    for place, part in model.named_modules():
        if not hasattr(part, "get_delta_weight"):
            continue
        for name in [name for name in weights if name.startswith(f"{place}.")]:
            value, inner = weights.pop(name), name.removeprefix(f"{place}.")
            if is_adapter(inner):
                continue
            inner = inner.removeprefix("base_layer.")
            if inner == "weight":
                for adapter in part.active_adapters:
                    value = value + part.get_delta_weight(adapter)
            weights[f"{place}.{inner}"] = value
    return weights
