"""The optimizer's parameter groups and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tracknet.utils.errors import UserError
from tracknet.utils.settings import OptimizerConfig, SchedulerConfig

# What fine-tuning a pretrained ViT usually takes, relative to the fresh decoder's rate.
_PRETRAINED_LR_RATIO = 0.1
_BACKBONE = "backbone."
# The devices that have had AdamW's fused kernel since torch 2.6. Elsewhere the first step would fail.
_FUSED_ON = ("cpu", "cuda", "mps", "xpu")


def build_optimizer(
    model: nn.Module,
    config: OptimizerConfig,
    *,
    pretrained: bool,
    depths: Mapping[str, int] | None = None,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """AdamW over the trainable weights; no decay for biases, norms and other one-dimensional weights.

    With `layer_decay` d the ViT's layer i of L learns at `backbone_lr * d^(L - i)`, its embeddings at
    `backbone_lr * d^L` and the norm above the last layer as that layer does. Source: Clark et al., "ELECTRA" (ICLR
    2020), appendix A; Bao et al., "BEiT" (ICLR 2022), which counts the decoder as layer L + 1 of the same rate: here
    that has a rate of its own.

    Args:
        model: frozen weights are left out.
        config: rates and decay.
        pretrained: whether the backbone's weights are; decides its default rate.
        depths: by the weight's name within the backbone, 0 for embeddings, 1..L for layers, L + 1 above; needed for
            `layer_decay`.
        fused: one kernel for all weights, where the device has it.
    """
    backbone_lr = config.backbone_lr or config.lr * (_PRETRAINED_LR_RATIO if pretrained else 1.0)
    by_layer = depths or {} if config.layer_decay < 1.0 else {}
    top = max(by_layer.values(), default=0)
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    rates: dict[str, float] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part, rate = "decoder", config.lr
        if name.startswith(_BACKBONE):
            part, rate = "backbone", backbone_lr
            if by_layer:
                depth = by_layer[name.removeprefix(_BACKBONE)]
                part = f"backbone_{_level(depth, top)}"
                rate *= config.layer_decay ** max(0, top - 1 - depth)
        rates[part] = rate
        groups.setdefault((part, parameter.ndim > 1), []).append(parameter)
    parameter_groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "name": f"{part}{'' if decays else '_no_decay'}",
            "lr": rates[part],
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = fused and all(p.device.type in _FUSED_ON for group in parameter_groups for p in group["params"])
    return torch.optim.AdamW(parameter_groups, betas=config.betas, fused=fused)


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Gives an optimizer the moments of another one, of an earlier part of the run.

    Learning rates, decay and betas are the configuration's, which may have been changed on purpose.

    Args:
        optimizer: of `build_optimizer`, with its schedule.
        saved: the other one's `state_dict`.

    Raises:
        UserError: that one trained other weights.
    """
    groups = optimizer.param_groups
    settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
    trained = [(group["name"], len(group["params"])) for group in saved["param_groups"]]
    asked = [(group["name"], len(group["params"])) for group in groups]
    if trained != asked:
        raise UserError(
            f"this run trained {_weights(trained)}, and is now asked to train {_weights(asked)}",
            remedy="resume without changing what is frozen, or start a new run from its weights: "
            "training.init_from=RUN",
        )
    optimizer.load_state_dict(saved)
    for group, setting in zip(optimizer.param_groups, settings, strict=True):
        group.update(setting, lr=setting["initial_lr"])
    fit_state(optimizer)


def _weights(groups: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count} tensors of {name}" for name, count in groups)


def fit_state(optimizer: torch.optim.Optimizer) -> None:
    """Lays a loaded optimizer's moments out in memory as its weights are, as fused kernels require.

    A run may go on with another layout, or with a fused optimizer where it began without: the numbers are the same.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if not isinstance(value, torch.Tensor):
                    continue
                if name == "step":
                    state[name] = value.to(parameter.device if group.get("fused") else "cpu", torch.float32)
                elif value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter).copy_(value)


def is_of_backbone(group: Mapping[str, Any]) -> bool:
    """Whether a group of `build_optimizer` is the backbone's."""
    return str(group["name"]).startswith("backbone")


def _level(depth: int, top: int) -> str:
    """The name of a depth: embeddings, layer_01 ... layer_12, top."""
    if depth == 0:
        return "embeddings"
    return "top" if depth == top else f"layer_{depth:02d}"


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    config: SchedulerConfig,
    *,
    steps_per_epoch: int,
    total_steps: int,
    steps_taken: int = 0,
    unfreeze_at: int | None = None,
) -> LambdaLR:
    """Linear warm-up over `warmup_epochs`, then a cosine down to `min_lr_ratio` at the last step.

    A backbone that is trained only after `unfreeze_at` steps has a warm-up of its own from there, of as many steps
    (at most half of those that are left), for AdamW knows nothing of its gradients yet; before, its rate is 0.

    A warm-up longer than half the training (an early `max_steps`) is cut to half of it. The course is a
    function of the step alone, so that a resumed training needs to know no more than `steps_taken`.
    """
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total_steps // 2)

    def ratio(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if config.name == "constant":
            return 1.0
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return config.min_lr_ratio + (1.0 - config.min_lr_ratio) * 0.5 * (1.0 + math.cos(math.pi * progress))

    def ratio_of_thawed(step: int) -> float:
        assert unfreeze_at is not None
        since = step - unfreeze_at
        own_warmup = min(warmup, max(0, total_steps - unfreeze_at) // 2)
        return ratio(step) * min(1.0, max(0.0, (since + 1) / (own_warmup + 1)))

    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    ratios: list[Callable[[int], float]] = [
        ratio_of_thawed if unfreeze_at is not None and is_of_backbone(group) else ratio
        for group in optimizer.param_groups
    ]
    return LambdaLR(optimizer, ratios, last_epoch=steps_taken - 1)
