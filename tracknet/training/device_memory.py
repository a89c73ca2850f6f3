"""How much of a device's memory some work takes, how much there is, and that there is no more."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

# Of torch's CPU allocator, of C++ where torch passes it on, and of the convolutions of oneDNN.
_CPU_SAYS = ("DefaultCPUAllocator", "std::bad_alloc", "could not create a memory object")


class DeviceMemory(Protocol):
    """The memory of one device."""

    def limit_bytes(self) -> int:
        """What this process may have in all."""
        ...

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """The most that is in use while `work` runs. Raises torch.OutOfMemoryError as `work` does."""
        ...

    def release(self) -> None:
        """Gives back what is no longer used."""
        ...


class CudaMemory:
    """Of a GPU, as torch's allocator counts it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def limit_bytes(self) -> int:
        """What is free and what this process has already."""
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free) + torch.cuda.memory_reserved(self._device)

    def peak_bytes(self, work: Callable[[], object]) -> int:
        """The most that tensors held while `work` ran."""
        torch.cuda.reset_peak_memory_stats(self._device)
        work()
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device)

    def release(self) -> None:
        """Collects garbage and empties the allocator's cache, so that fragments can be joined."""
        gc.collect()
        torch.cuda.empty_cache()


def memory_of(device: torch.device) -> DeviceMemory | None:
    """A GPU's memory; `None` where it is not counted (a CPU's process is killed when the system's runs out)."""
    return CudaMemory(device) if device.type == "cuda" else None


def out_of_cpu_memory(error: BaseException) -> str | None:
    """What a CPU's allocator says of memory, a line; `None` of any other fault."""
    line = next(iter(str(error).splitlines()), "")
    if isinstance(error, MemoryError):
        return line or "there is no memory"
    at = [line.find(words) for words in _CPU_SAYS if words in line]
    return line[min(at) :] if isinstance(error, RuntimeError) and at else None


@contextmanager
def out_of_memory_alike() -> Iterator[None]:
    """Within it a CPU's out-of-memory, which is a plain RuntimeError or a MemoryError, is raised as a GPU's is.

    Raises:
        torch.OutOfMemoryError: with the allocator's own words.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (MemoryError, RuntimeError) as error:
        reason = out_of_cpu_memory(error)
        if reason is None:
            raise
        raise torch.OutOfMemoryError(reason) from None
