"""The optimizer's parameter groups and the learning rate's course."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tracknet.utils.settings import OptimizerConfig, SchedulerConfig

# What fine-tuning a pretrained ViT usually takes, relative to the fresh decoder's rate.
_PRETRAINED_LR_RATIO = 0.1
# The devices that have had AdamW's fused kernel since torch 2.6. Elsewhere the first step would fail.
_FUSED_ON = ("cpu", "cuda", "mps", "xpu")


def build_optimizer(
    model: nn.Module,
    config: OptimizerConfig,
    *,
    pretrained: bool,
    backbone_prefix: str = "backbone.",
    fused: bool = False,
) -> torch.optim.Optimizer:
    """AdamW over the trainable weights; no decay for biases, norms and other one-dimensional weights.

    Args:
        model: frozen weights are left out.
        config: rates and decay.
        pretrained: whether the backbone's weights are; decides its default rate.
        backbone_prefix: parameters whose name starts so belong to the backbone.
        fused: one kernel for all weights, where the device has it.
    """
    backbone_lr = config.backbone_lr or config.lr * (_PRETRAINED_LR_RATIO if pretrained else 1.0)
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = "backbone" if name.startswith(backbone_prefix) else "decoder"
            groups.setdefault((part, parameter.ndim > 1), []).append(parameter)
    parameter_groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "name": f"{part}{'' if decays else '_no_decay'}",
            "lr": backbone_lr if part == "backbone" else config.lr,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = fused and all(p.device.type in _FUSED_ON for group in parameter_groups for p in group["params"])
    return torch.optim.AdamW(parameter_groups, betas=config.betas, fused=fused)


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


def build_scheduler(
    optimizer: torch.optim.Optimizer,
    config: SchedulerConfig,
    *,
    steps_per_epoch: int,
    total_steps: int,
    steps_taken: int = 0,
) -> LambdaLR:
    """Linear warm-up over `warmup_epochs`, then a cosine down to `min_lr_ratio` at the last step.

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

    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return LambdaLR(optimizer, ratio, last_epoch=steps_taken - 1)
