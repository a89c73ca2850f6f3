"""What a device can do at most, what a model asks of it, and what a step keeps in memory for its backward pass."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from tracknet.models.model import TrackNet

# Dense bf16, from NVIDIA's data sheets (which print the doubled figure of sparse matrices beside it), by the device's
# whole name: an H200 NVL, or a MIG part of an H200, is another thing.
_DATA_SHEET = {"H200": 989e12, "H100 80GB HBM3": 989e12, r"A100-(SXM4|PCIE)-\d+GB": 312e12}


def data_sheet_flops(name: str) -> float | None:
    """Operations per second at most in bf16 of a GPU by its name; `None` where no data sheet is known here."""
    for product, flops in _DATA_SHEET.items():
        if re.fullmatch(f"(NVIDIA )?{product}", name):
            return flops
    return None


def peak_flops(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """Operations per second at most, and where that is from.

    Args:
        device: a GPU's peak is that of bf16, whatever the dtype: what it could do.
        dtype: a CPU's peak is that of this one, which some have units for and others emulate.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if known := data_sheet_flops(name):
            return known, f"{known / 1e12:.0f} TFLOP/s, dense bf16 by NVIDIA's data sheet of the {name}"
        measured = matmul_flops(device, torch.bfloat16, 8192)
        return measured, f"{measured / 1e12:.0f} TFLOP/s, a bf16 product of 8192x8192 matrices, measured here"
    measured = matmul_flops(device, dtype, 2048)
    return measured, (
        f"{measured / 1e9:.0f} GFLOP/s, a {str(dtype).removeprefix('torch.')} product of 2048x2048 matrices, measured "
        f"here on {torch.get_num_threads()} thread(s)"
    )


def matmul_flops(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """The best of a few products of two square matrices."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    # Of a CPU the process's own time: what else the machine does is not in it.
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    def seconds() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = clock()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - began

    seconds()
    return float(2 * size**3 / min(seconds() for _ in range(8)))


def flops_per_window(model: TrackNet) -> int:
    """Forward and backward of one window, by torch's counter: products and convolutions, an addition counted too.

    Args:
        model: with eager attention, whose products the counter knows. It loses its weights: on the meta device nothing
            is computed but shapes.
    """
    model.to("meta")
    shape = (1, model.num_frames, 3, model.input_size.height, model.input_size.width)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(shape, dtype=torch.uint8, device="meta")).sum().backward()
    return int(counter.get_total_flops())


def kept_for_backward(work: Callable[[], object]) -> int:
    """Bytes of the tensors that autograd saves in all while `work` runs, memory they share counted once."""
    storages: dict[int, tuple[torch.UntypedStorage, int]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        # Held until the end, or another tensor might get the same address.
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(nbytes for _, nbytes in storages.values())


def attention_kernels(work: Callable[[], object]) -> list[str]:
    """The attention operators that ran: `_scaled_dot_product_*` names the fused kernel that torch chose."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    names = {event.key.removeprefix("aten::") for event in profile.key_averages()}
    return sorted(name for name in names if name.startswith("_scaled_dot_product") and "backward" not in name)


def profiled(work: Callable[[], object], device: torch.device, lines: int = 20) -> str:
    """Torch's table of what took the time of `work`."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    by = "self_cpu_time_total"
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        by = "self_cuda_time_total"
    with torch.profiler.profile(activities=activities) as profile:
        work()
    table: str = profile.key_averages().table(sort_by=by, row_limit=lines, max_name_column_width=60)
    return table
