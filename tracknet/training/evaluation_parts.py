"""Evaluation batches go through a model in parts that memory holds; where they do not fit, what would is said.

Without gradients and batch statistics a window's logits do not depend on those beside it: parts give the numbers of
the whole batch, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from tracknet.datasets.batch import Batch
from tracknet.training.device_memory import DeviceMemory, out_of_memory_alike
from tracknet.training.micro_batches import MicroBatches, too_many_to_predict
from tracknet.utils.errors import first_line


class EvaluationParts:
    """Cuts evaluation batches as `micro` says, and halves the parts where it may."""

    def __init__(
        self,
        micro: MicroBatches,
        memory: DeviceMemory | None,
        *,
        set_windows: Callable[[int], str],
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Runs nothing yet.

        Args:
            micro: the size of a part, and whether it may be halved.
            memory: of the device, where it is counted.
            set_windows: so many windows at once -> how a person asks for them, after "set".
            note: takes a line when parts are halved.
        """
        self._micro, self._memory = micro, memory
        self._set_windows, self._note = set_windows, note

    def logits(self, batch: Batch, forward: Callable[[Batch], torch.Tensor]) -> torch.Tensor:
        """What `forward` gives of all windows of a batch: `[B, M, h, w]`.

        Args:
            batch: on the CPU; parts of it are moved by `forward`.
            forward: a part to its logits, on the device and without a graph.

        Raises:
            RunError: a part does not fit into memory, with what would.
        """
        while True:
            try:
                with out_of_memory_alike():
                    logits = [forward(part) for part in self._micro.parts(batch)]
                    return logits[0] if len(logits) == 1 else torch.cat(logits)
            except torch.OutOfMemoryError as error:
                reason = first_line(error)
            # Here and not above: an exception that is being handled holds the tensors of what raised it.
            logits = []
            if self._memory is not None:
                self._memory.release()
            asked = min(self._micro.size, len(batch))
            if not self._micro.may_halve:
                raise too_many_to_predict(
                    reason,
                    asked,
                    memory=self._memory,
                    run=lambda windows: forward(batch.part(0, windows)),
                    set_windows=self._set_windows,
                )
            self._micro.halve()
            if self._micro.size < asked:
                self._note(
                    f"{asked} windows at once do not fit into memory: evaluating {self._micro.size} at a time "
                    "from here on"
                )
