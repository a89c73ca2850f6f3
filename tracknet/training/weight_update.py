"""The optimizer changes the weights: all of them, or none where memory runs out."""

from __future__ import annotations

import torch

from tracknet.training.device_memory import out_of_memory_alike
from tracknet.utils.errors import RunError, first_line

_MOMENTS = 2
_GIB = 2**30


class HalfChanged(RunError):
    """Memory ran out while the weights were being changed: some are, some are not, so they must not be kept."""


def update_weights(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
    """Takes AdamW's step.

    AdamW makes room for a group's moments when it comes to that group, those before it changed already. Here there is
    room for all of them, or no weight changes.

    Raises:
        RunError: there is none; the weights are as before.
        HalfChanged: memory ran out later.
    """
    new = [
        p
        for group in optimizer.param_groups
        for p in group["params"]
        if p.grad is not None and not optimizer.state.get(p)
    ]
    try:
        with out_of_memory_alike():
            reserve_moments(new)
    except torch.OutOfMemoryError as error:
        raise RunError(
            f"the optimizer's {_MOMENTS} moments of {sum(p.numel() for p in new):,} weights "
            f"({_MOMENTS * sum(p.nbytes for p in new) / _GIB:.2f} GiB) do not fit into memory beside the weights and "
            f"their gradients: {first_line(error)}",
            remedy="train fewer weights: model.backbone.freeze=true, adapters (model.backbone.lora={rank: 8}) or a "
            "smaller backbone; how many windows go through the model at a time is of no account here",
        ) from None
    try:
        with out_of_memory_alike():
            scaler.step(optimizer)
    except torch.OutOfMemoryError as error:
        raise HalfChanged(
            f"memory ran out within the optimizer's step, with some of the weights changed: {first_line(error)}",
            remedy="AdamW in one kernel takes no memory of its own: training.speed.fused_optimizer=true, where the "
            "device has it; or train fewer weights. Go on from the last checkpoint with --resume",
        ) from None


def reserve_moments(weights: list[torch.Tensor]) -> None:
    """Takes the memory of the weights' moments and gives it back to torch's allocator, which keeps it at hand.

    Raises:
        torch.OutOfMemoryError: there is not as much.
    """
    held = [torch.empty_like(weight) for weight in weights for _ in range(_MOMENTS)]
    held.clear()
