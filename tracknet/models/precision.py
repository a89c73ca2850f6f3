"""Where a model runs and in which arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from tracknet.utils.errors import UserError, first_line


def resolve_device(name: str) -> torch.device:
    """`auto` (CUDA where there is one, else the CPU) or a torch device name.

    Raises:
        UserError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"the device {name} cannot be used: {first_line(error)}",
            remedy="`auto` takes what is there",
        ) from None
    return device


@dataclass(frozen=True)
class Precision:
    """Automatic mixed precision: the type that autocast uses, and whether gradients need scaling.

    Attributes:
        device: where the model runs.
        dtype: bfloat16 or float16; `None` for plain float32.
    """

    device: torch.device
    dtype: torch.dtype | None

    @classmethod
    def resolve(cls, amp: str, device: torch.device) -> Precision:
        """`auto` is bf16 (fp16 where the GPU has none) on CUDA and off elsewhere.

        Raises:
            UserError: fp16 is asked for on a CPU, where it is slower and its gradients underflow.
        """
        if amp == "auto":
            if device.type != "cuda":
                return cls(device, None)
            # Emulated bf16, which older GPUs offer, is slower than float32.
            amp = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        if amp == "fp16" and device.type != "cuda":
            raise UserError("fp16 needs a CUDA device", remedy="use bf16 or off")
        return cls(device, {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[amp])

    @property
    def name(self) -> str:
        """`bf16`, `fp16` or `fp32`."""
        return (
            {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(self.dtype, "fp32") if self.dtype else "fp32"
        )

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run; weights stay float32."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Scales the loss for fp16, whose gradients underflow; does nothing otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)
