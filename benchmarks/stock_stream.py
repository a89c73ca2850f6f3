"""A stream's batches without our loader: one after the other, or made by torch's own workers.

Tests hold the loader against them, bit for bit, and `benchmarks.stream` measures it beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset, get_worker_info

from tracknet.datasets.batch import Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.lanes import shared_frames
from tracknet.datasets.reader import CachedFrames
from tracknet.datasets.stream import WindowStream


def batches_of(stream: WindowStream, epoch: int = 0, first: int = 0, every: int = 1) -> Iterator[Batch]:
    """The batches of an epoch from step `first` on; of W workers, each makes every W-th."""
    plan = stream.plan_of(epoch)
    kept = _frames_in_reach(stream, every)
    source = CachedFrames(stream.open_source(), kept)
    tokens = None if stream.features is None else CachedFrames(stream.features.open_source(), kept)
    assembler = BatchAssembler(stream.table, stream.windows, stream.spec, features=stream.features)
    for step in range(first, plan.num_steps, every):
        windows = stream.windows_of(plan, step)
        yield assembler.assemble(
            source,
            windows.ids,
            epoch=windows.epochs,
            draws=windows.draws,
            valid=windows.valid,
            step=step,
            tokens=tokens,
        )


def _frames_in_reach(stream: WindowStream, workers: int) -> int:
    """How many decoded frames to keep so that a window finds those of the one before it."""
    sequence = stream.spec.sequence
    if not shared_frames(sequence, stream.filters.every):
        return 1
    # A frame comes back `stride` windows later; until then every slot reads `length` others per window.
    per_slot = sequence.length * sequence.stride
    lanes_of_worker = -(-stream.lanes // workers) if stream.lanes else 1
    return lanes_of_worker * stream.batch_size * per_slot


class StockStream(IterableDataset[Batch]):
    """For torch's own DataLoader, with `batch_size=None`."""

    def __init__(self, stream: WindowStream) -> None:
        self._stream = stream
        # Shared, because workers that live on between epochs must learn which comes next.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def begin(self, epoch: int) -> None:
        """The next iteration is of this epoch."""
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        return batches_of(self._stream, int(self._epoch), number, count)
