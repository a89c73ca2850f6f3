"""Writes a run's checkpoints: all ranks together at a step's end, or one alone what can still be saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tracknet.models.model import TrackNet
from tracknet.training.checkpoint import TrainingState, save_checkpoint
from tracknet.training.device_memory import out_of_memory_alike
from tracknet.training.distributed import Ranks
from tracknet.training.learner import Learner
from tracknet.training.provenance import Provenance
from tracknet.training.run_folder import RunFolder
from tracknet.training.served import ServedWindows


class CheckpointWriter:
    """Knows what a checkpoint is made of, and which step is safe.

    Attributes:
        saved_step: of the newest checkpoint; 0 before the first.
    """

    def __init__(
        self,
        run: RunFolder | None,
        model: TrackNet,
        learner: Learner,
        served: ServedWindows,
        provenance: Provenance,
        ranks: Ranks,
        *,
        keep: int,
    ) -> None:
        """Writes nothing yet.

        Args:
            run: where to write, which of several ranks only the first does; `None` for a trial, which never writes.
            model: saved in its publishable form.
            learner: of the model.
            served: what was trained on in the epoch under way.
            provenance: of the models.
            ranks: who else trains them.
            keep: newest checkpoints to keep.
        """
        self._run = run
        self._model = model
        self._learner = learner
        self._served = served
        self._provenance = provenance
        self._ranks = ranks
        self._keep = keep
        self.saved_step = 0

    def save(self, state: TrainingState, validation: dict[str, Any], *, is_best: bool = False) -> None:
        """Writes a checkpoint; all ranks wait for it, and fail with it.

        Args:
            state: where the training stands.
            validation: the figures of the last one; empty before the first.
            is_best: this is the best model so far.
        """
        served = self._served.state(self._ranks) if state.batch else None
        self._ranks.agreed(lambda: self._write(state, validation, served, is_best=is_best))

    def save_what_is_new(
        self, state: TrainingState, validation: dict[str, Any], say: Callable[[str], None]
    ) -> None:
        """After a failure: asks no other rank, which may be gone; what the others served is not known then."""
        if state.step > self.saved_step:
            known = self._ranks.alone and state.batch
            try:
                with out_of_memory_alike():
                    self._write(state, validation, self._served.state(self._ranks) if known else None)
            except torch.OutOfMemoryError:
                say(f"warning: no memory for a checkpoint of step {state.step} either")

    def _write(
        self,
        state: TrainingState,
        validation: dict[str, Any],
        served: dict[str, Any] | None,
        *,
        is_best: bool = False,
    ) -> None:
        assert self._run is not None
        if not self._ranks.is_main:
            self.saved_step = state.step
            return
        self._model.provenance = self._provenance.of(state, self._run.path.name, validation, is_best=is_best)
        tensors = {**self._learner.tensors(), **({"served": served} if served is not None else {})}
        with self._learner.weights_to_keep():
            save_checkpoint(
                self._run.checkpoints, self._model, state, tensors, is_best=is_best, keep=self._keep
            )
        self.saved_step = state.step
        self._run.note_checkpoint(state.step)
