"""What makes the same step faster: kernels, memory layouts, and torch's compiler."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from tracknet.models.model import TrackNet
from tracknet.utils.errors import UserError, first_line
from tracknet.utils.settings import SpeedConfig, TrainingConfig

# Of torch.compile; CUDA graphs are left out of `max-autotune`: they keep a copy of every output's memory for each
# size of batch and save launches, which a ViT's kernels are long enough to hide.
_MODES = {"default": None, "max-autotune": "max-autotune-no-cudagraphs"}
BACKEND = "inductor"


def accelerate(model: TrackNet, training: TrainingConfig, device: torch.device) -> None:
    """Sets a model and torch up as `training` says; the weights stay what they are.

    Raises:
        UserError: the backbone has no such attention, or there is no compiler.
    """
    speed = training.speed
    if training.compile != "off":
        check_compiler(device)
    model.backbone.set_attention(speed.attention)
    model.gradient_checkpointing(training.gradient_checkpointing)
    layout = torch.channels_last if speed.channels_last else torch.contiguous_format
    # mypy knows of no `to` with a layout alone.
    model.to(memory_format=layout)  # type: ignore[call-overload]
    set_backends(speed, device)


def set_backends(speed: SpeedConfig, device: torch.device) -> None:
    """What torch holds for the whole process; on a CPU nothing is touched."""
    if device.type != "cuda":
        return
    torch.set_float32_matmul_precision("high" if speed.tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = speed.tf32
    torch.backends.cudnn.benchmark = speed.cudnn_benchmark


def compiled(
    module: nn.Module,
    mode: Literal["off", "default", "max-autotune"],
    *,
    dynamic: bool | None = None,
    variants: int = 1,
) -> Callable[..., torch.Tensor]:
    """The module's forward pass, compiled at its first call; the module itself, and its names, stay as they are.

    Args:
        module: to be compiled.
        mode: `training.compile`.
        dynamic: of torch.compile: `False` for kernels of each size, `None` for its own choice.
        variants: the shapes of input there may be, each of which gets kernels where `dynamic` is `False`.

    What belongs to the backward pass may be compiled only then: `compile_faults_told` has to be around that too.

    Raises:
        UserError: at the first call, where it cannot be compiled.
    """
    if mode == "off":
        return module
    _allow_more(variants)
    fast = torch.compile(module, mode=_MODES[mode], backend=BACKEND, dynamic=dynamic)

    @wraps(module.forward)
    def forward(*inputs: torch.Tensor) -> torch.Tensor:
        with compile_faults_told(mode):
            made: torch.Tensor = fast(*inputs)
        return made

    return forward


def _allow_more(variants: int) -> None:
    """Lets torch keep so many variants of a function's code more, for this process.

    It keeps 8, and runs others uncompiled without an error. What was compiled before counts among them: the same
    model before its backbone thawed, and another model of the same class.
    """
    # Newer versions say recompile_limit, and know this name too.
    config = torch._dynamo.config
    config.cache_size_limit += variants
    config.accumulated_cache_size_limit += variants


@contextmanager
def compile_faults_told(mode: str) -> Iterator[None]:
    """Says in a person's words that what runs within cannot be compiled.

    Args:
        mode: `training.compile`.

    Raises:
        UserError: in place of what torch's compiler raises; whatever else is raised within is left as it is.
    """
    try:
        yield
    except Exception as error:
        # Their classes moved between torch's versions.
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise UserError(
            f"training.compile={mode}: this model cannot be compiled here: {first_line(error)}",
            remedy="train with training.compile=off",
        ) from None


def check_compiler(device: torch.device) -> None:
    """Refuses to begin what would fail minutes later, at the first step.

    Raises:
        UserError: naming all that is missing.
    """
    name, usual = (
        ("CC", ("gcc", "clang", "cc")) if device.type == "cuda" else ("CXX", ("g++", "clang++", "c++"))
    )
    asked = os.environ.get(name)
    missing = []
    if not any(shutil.which(compiler) for compiler in ((asked,) if asked else usual)):
        missing.append(f"there is no compiler: {asked or ', '.join(usual)}")
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        missing.append("Python's headers are missing (Python.h; the package python3-dev or the like)")
    if device.type == "cuda" and find_spec("triton") is None:
        missing.append("triton is not installed, which writes the kernels for a GPU")
    if missing:
        raise UserError(
            "training.compile cannot be had on this machine",
            problems=missing,
            remedy="install what is missing, or train with training.compile=off",
        )


def describe(training: TrainingConfig, device: torch.device) -> str:
    """The settings that matter on a device, for a person."""
    speed = training.speed
    parts = [f"{speed.attention} attention"]
    parts += ["channels-last"] if speed.channels_last else []
    parts += ["fused AdamW"] if speed.fused_optimizer else []
    parts += [f"torch.compile ({training.compile})"] if training.compile != "off" else []
    parts += ["gradient checkpointing"] if training.gradient_checkpointing else []
    if device.type == "cuda":
        parts += [name for name, on in (("prefetch", speed.prefetch), ("TF32", speed.tf32)) if on]
    return ", ".join(parts)
