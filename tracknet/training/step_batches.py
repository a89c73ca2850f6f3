"""The batches of one optimizer step: taken when they are needed, kept where a second attempt may be made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from tracknet.datasets.batch import Batch
from tracknet.training.device_memory import out_of_cpu_memory
from tracknet.training.distributed import Ranks
from tracknet.utils.errors import RunError


class StepBatches:
    """This rank's batches of a step, on the device.

    Attributes:
        rows: of the stream's table, of the first map of every window, for each batch taken.
        waited_s: time spent waiting for the loader.
        latest: the batch taken last, as it came.
    """

    latest: Batch

    def __init__(
        self,
        batches: Iterator[Batch],
        ranks: Ranks,
        device: torch.device,
        *,
        keep: bool,
        at_size: Callable[[Batch], Batch] = lambda batch: batch,
    ) -> None:
        """Takes none yet.

        Args:
            batches: where they come from.
            ranks: all of them take one, or none does.
            device: where to.
            keep: hold on to all of them; otherwise to the latest.
            at_size: a batch on the device at the size of this step.
        """
        self._batches, self._ranks, self._device, self._keep = batches, ranks, device, keep
        self._at_size = at_size
        self._kept: dict[int, Batch] = {}
        self.rows: list[list[int]] = []
        self.waited_s = 0.0

    def take(self, index: int) -> Batch:
        """The step's batch of this index, at the step's size."""
        return self._at_size(self.as_it_came(index))

    def as_it_came(self, index: int) -> Batch:
        """The step's batch of this index, as it is stored: the next one, or one that is kept.

        Raises:
            RunError: the CPU has no memory to make it; what goes through the model at a time is of no account there.
        """
        if index in self._kept:
            return self._kept[index]
        if not self._keep:
            self._kept.clear()
        waited = time.perf_counter()
        batch = self._ranks.agreed(self._next)
        # All ranks wait for the slowest.
        self.waited_s += time.perf_counter() - waited
        self.rows.append(batch.rows[:, 0].tolist())
        self.latest = self._kept[index] = batch.to(self._device)
        return self.latest

    def _next(self) -> Batch:
        try:
            return next(self._batches)
        except torch.OutOfMemoryError:
            raise
        except (MemoryError, RuntimeError) as error:
            reason = out_of_cpu_memory(error)
            if reason is None:
                raise
        raise RunError(
            f"memory ran out while the loader made a batch: {reason}",
            remedy="take smaller batches (training.batch_size, with training.accumulate for the same step), "
            "data.loader.workers=0 or a smaller data.loader.memory_gb; a training with a checkpoint goes on with "
            "--resume",
        )
