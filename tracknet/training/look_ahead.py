"""The next batch is copied to the GPU while it computes on this one.

A copy from pinned memory on a stream of its own runs beside the kernels. Who trains says when there is time
(`advance`): after a batch's kernels are launched and before their results are waited for, so that waiting for the
loader, too, is behind the GPU's back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import torch

from tracknet.datasets.batch import Batch

T = TypeVar("T")


class BatchesAhead(Protocol):
    """Batches on their device, in order."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __next__(self) -> Batch: ...

    def advance(self) -> float:
        """Gets the next batch on its way; the seconds of it in which the device had nothing to do."""
        ...


def batches_on(device: torch.device, batches: Iterator[Batch], *, prefetch: bool) -> BatchesAhead:
    """The batches, moved to a device; on CUDA one ahead of what is asked for.

    Args:
        device: where to.
        batches: in pinned memory, for a GPU.
        prefetch: `training.speed.prefetch`.
    """
    if prefetch and device.type == "cuda":
        copies = CudaCopies(device)
        return LookAhead(batches, copies.begin, copies.finish, busy=copies.busy)
    return AsAsked(batches, device)


class AsAsked:
    """Moves each batch when it is asked for."""

    def __init__(self, batches: Iterator[Batch], device: torch.device) -> None:
        self._batches, self._device = batches, device

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches).to(self._device)

    def advance(self) -> float:
        """Nothing is done ahead."""
        return 0.0


class LookAhead(Generic[T]):
    """Begins the next batch's move when told to, or when it is asked for at the latest.

    What the loader raises, an epoch's end included, is raised when that batch is asked for: the one before it is
    trained on first, as without a look ahead.
    """

    def __init__(
        self,
        batches: Iterator[Batch],
        begin: Callable[[Batch], T],
        finish: Callable[[T], Batch],
        *,
        busy: Callable[[], Callable[[], bool]],
    ) -> None:
        """Reads nothing yet.

        Args:
            batches: to be moved.
            begin: starts the move of a batch, and returns at once.
            finish: the moved batch, for whoever asked.
            busy: called before the loader is waited for; what it returns says afterwards whether the device still
                has work of before.
        """
        self._batches, self._begin, self._finish, self._busy = batches, begin, finish, busy
        self._ahead: T | None = None
        self._raised: BaseException | None = None

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._ahead is None and self._raised is None:
            self._fetch()
        if self._raised is not None:
            raise self._raised
        assert self._ahead is not None
        moved, self._ahead = self._ahead, None
        return self._finish(moved)

    def advance(self) -> float:
        """Begins the next batch's move, unless that was done; returns the seconds that the device was idle."""
        if self._ahead is not None or self._raised is not None:
            return 0.0
        still_busy = self._busy()
        began = time.perf_counter()
        self._fetch()
        return 0.0 if still_busy() else time.perf_counter() - began

    def _fetch(self) -> None:
        try:
            self._ahead = self._begin(next(self._batches))
        except Exception as error:
            self._raised = error


class CudaCopies:
    """Copies on a stream of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(self, batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        """Starts the copy. Pinned memory is not used again before it is done: torch's allocator sees to that."""
        with torch.cuda.stream(self._stream):
            return batch.to(self._device), self._stream.record_event()

    def finish(self, moved: tuple[Batch, torch.cuda.Event]) -> Batch:
        """The batch; kernels launched from here on wait for its copy, the CPU does not."""
        batch, copied = moved
        compute = torch.cuda.current_stream(self._device)
        compute.wait_event(copied)
        for tensor in (batch.frames, batch.features, batch.heatmaps, batch.weights):
            if tensor is not None:
                # Allocated on the other stream, which must not have the memory back before these kernels are done.
                tensor.record_stream(compute)
        return batch

    def busy(self) -> Callable[[], bool]:
        """Whether what is launched so far is still running, to be asked later."""
        launched = torch.cuda.current_stream(self._device).record_event()
        return lambda: not launched.query()
