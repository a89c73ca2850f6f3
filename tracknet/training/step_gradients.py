"""The gradients of one optimizer step: of all its batches, in parts that memory holds, together with other ranks."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import suppress

import torch
from torch import nn
from torch.amp import GradScaler

from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision
from tracknet.training.acceleration import compile_faults_told, compiled
from tracknet.training.device_memory import memory_of, out_of_memory_alike
from tracknet.training.distributed import Ranks, step_seed
from tracknet.training.kept_statistics import KeptStatistics
from tracknet.training.losses import build_loss
from tracknet.training.losses.hard_windows import Gather
from tracknet.training.losses.heatmap_loss import batch_sums
from tracknet.training.micro_batches import MicroBatches, too_many
from tracknet.training.step_batches import StepBatches
from tracknet.training.step_figures import StepFigures
from tracknet.training.step_sizes import StepSizes
from tracknet.utils.errors import RunError, first_line
from tracknet.utils.settings import TrainingConfig


class StepGradients:
    """Leaves the gradients of a step in a model's weights.

    Attributes:
        loss: of the heatmaps.
        notes: what a person should be told; whoever tells it takes it out.
        meanwhile: called while a GPU is at work on a batch; returns the seconds of it that the GPU was idle.
    """

    def __init__(
        self,
        training: TrainingConfig,
        model: TrackNet,
        precision: Precision,
        ranks: Ranks,
        optimizer: torch.optim.Optimizer,
        scaler: GradScaler,
        sizes: StepSizes,
    ) -> None:
        """Prepares; computes nothing.

        Args:
            training: loss, sizes and accumulation.
            model: on the device already.
            precision: device and arithmetic.
            ranks: who else trains these weights.
            optimizer: of the weights whose gradients are wanted.
            scaler: of the losses.
            sizes: that the steps are trained at.
        """
        self._training = training
        self._model = model
        self._precision = precision
        self._ranks = ranks
        self._optimizer = optimizer
        self._scaler = scaler
        self._sizes = sizes
        self.loss = build_loss(training.loss)
        # Made by the first step: others are needed when the backbone thaws.
        self._replica: tuple[nn.Module, Callable[..., torch.Tensor]] | None = None
        self._statistics = KeptStatistics(model)
        windows_each = -(-training.batch_size // ranks.topology.world_size)
        self._micro = MicroBatches(training.micro_batch, windows_each)
        self._agreed_on_size = False
        self._memory = memory_of(precision.device)
        self.notes: list[str] = []
        self.meanwhile: Callable[[], float] = lambda: 0.0

    def begin_anew(self) -> None:
        """Other weights are trained from here on."""
        self._replica = None
        # They take more memory than what was tried.
        self._agreed_on_size = False

    def make_ready(self) -> tuple[nn.Module, Callable[..., torch.Tensor]]:
        """The model as it is trained by all ranks, who make it together, and its forward pass."""
        if self._replica is None:
            # A former one has hooks on the gradients until it is gone, and lies in cycles of references.
            gc.collect()
            replica = self._ranks.replica(self._model, self._precision.device)
            # Apart from the replica: checkpoints and validation see the model and its names as they are.
            self._replica = replica, self._compiled(replica)
        return self._replica

    def _compiled(self, replica: nn.Module) -> Callable[..., torch.Tensor]:
        """Its forward pass, as `training.compile` says."""
        # Of several sizes each has its own kernels; torch would otherwise make one set for any size of the second on.
        dynamic = False if self._sizes.sizes else None
        variants = len({self._sizes.stored, *self._sizes.sizes}) * len(self._micro.lengths())
        return compiled(replica, self._training.compile, dynamic=dynamic, variants=variants)

    def of_step(self, batches: Iterator[Batch], number: int) -> tuple[StepBatches, StepFigures]:
        """The gradients of a step, scaled, in parts that memory holds; all ranks together.

        Args:
            batches: where they come from: this rank's parts.
            number: the step about to be taken.

        Returns:
            The batches that were taken, and what is known of them.

        Raises:
            RunError: damaged data on any rank, or memory does not hold the parts that are asked for, with what would
                fit.
        """
        self._statistics.keep()
        again = self._ranks.alone and self._micro.may_halve
        taken = StepBatches(
            batches,
            self._ranks,
            self._precision.device,
            keep=again,
            at_size=lambda batch: self._sizes.at(batch, self._sizes.of_step(number)),
        )
        return taken, self._that_fit(taken, number)

    def restore_statistics(self) -> None:
        """Puts the batch statistics back to what they were before the step."""
        self._statistics.restore()

    def _that_fit(self, taken: StepBatches, number: int) -> StepFigures:
        """Tries, with smaller parts where that is allowed."""
        together = not self._ranks.alone
        if together and self._micro.may_halve and not self._agreed_on_size:
            self._agree_on_size(taken.as_it_came(0))
        while True:
            try:
                with out_of_memory_alike():
                    return self._in_parts(taken, number)
            except torch.OutOfMemoryError as error:
                reason = first_line(error)
            # Here and not above: an exception that is being handled holds the tensors of what raised it.
            self._forget()
            # Other ranks have gone on to where they wait for these gradients: too late for another attempt.
            if together or not self._micro.may_halve:
                raise self._too_many(taken, reason)
            asked = self._micro.size
            self._micro.halve()
            self._note_smaller(asked)

    def _in_parts(self, taken: StepBatches, number: int) -> StepFigures:
        training, ranks = self._training, self._ranks
        replica, forward = self.make_ready()
        self._optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(step_seed(training.seed, number, ranks.topology.rank))
        figures = StepFigures(self._model)
        every = None if ranks.alone else self._of_every_rank
        for index in range(training.accumulate):
            batch = taken.take(index)
            parts = self._micro.parts(batch)
            total = self._total_of(batch, len(parts))
            figures.begin_batch()
            for place, part in enumerate(parts, 1):
                last = index + 1 == training.accumulate and place == len(parts)
                with ranks.exchange(), ranks.gathering(replica, last=last):
                    logits, loss = self._forward_backward(forward, part, total, every)
                figures.add(part, logits, loss)
            taken.waited_s += self.meanwhile()
        return figures

    def _total_of(self, batch: Batch, parts: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """What the losses of a batch's parts are normalised by."""
        if parts == 1:
            return self._ranks.total
        with self._ranks.exchange():
            whole = self._ranks.total(batch_sums(batch.heatmaps, batch.weights))
        return lambda own: whole

    def _of_every_rank(self, values: torch.Tensor) -> torch.Tensor:
        """Everyone's tensor `[B]`, as one."""
        return torch.as_tensor(self._ranks.numbers(*values.tolist())).flatten()

    def _forward_backward(
        self,
        model: Callable[..., torch.Tensor],
        part: Batch,
        total: Callable[[torch.Tensor], torch.Tensor] | None,
        every: Gather | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds a part's gradients; its logits and its share of the loss, without their graph."""
        with self._precision.autocast():
            logits = model(part.frames, part.features)
        loss = self.loss(logits, part.heatmaps, part.weights, total=total, every=every)
        loss = loss / self._training.accumulate
        # Gradients are averaged over the ranks, and the shares of the loss are to be summed.
        with compile_faults_told(self._training.compile):
            self._scaler.scale(loss * self._ranks.topology.world_size).backward()
        return logits.detach(), loss.detach()

    def _agree_on_size(self, batch: Batch) -> None:
        """Tries the first batch, as it came, on every rank by itself; all then take the size of the one that fits
        least.
        """
        asked = self._micro.size
        while not self._fits(batch) and self._micro.may_halve:
            self._micro.halve()
        self._micro.size = int(self._ranks.numbers(self._micro.size).min())
        self._agreed_on_size = True
        self._note_smaller(asked)

    def _fits(self, batch: Batch) -> bool:
        with suppress(torch.OutOfMemoryError), out_of_memory_alike():
            self._try_out(batch, self._micro.size)
            return True
        self._forget()
        return False

    def _try_out(self, batch: Batch, windows: int) -> None:
        """So many windows of a batch as it came, at the largest size, forward and backward, without the other ranks;
        leaves nothing behind.
        """
        # Resampled here and not by who calls: it takes memory as well, and all of the batch's, as a step does.
        sized = self._sizes.at(batch, self._sizes.largest)
        self._forward_backward(self._model, sized.part(0, windows), None, None)
        self._forget()

    def _forget(self) -> None:
        """As before the step, for another attempt or for none."""
        self._optimizer.zero_grad(set_to_none=True)
        self._statistics.restore()
        if self._memory is not None:
            self._memory.release()

    def _note_smaller(self, asked: int) -> None:
        size = self._micro.size
        if size < asked:
            self.notes.append(
                f"{asked} windows at once do not fit into memory: going on with {size} at a time "
                f"(training.micro_batch={size} spares the attempt)"
            )

    def _too_many(self, taken: StepBatches, reason: str) -> RunError:
        batch = taken.latest
        # Two moments of each weight, which a backbone that has just thawed lacks as all do before the first step.
        trained = [p for p in self._model.parameters() if p.requires_grad]
        moments = 2 * sum(p.nbytes for p in trained if p not in self._optimizer.state)
        return too_many(
            reason,
            self._micro.size,
            batch=len(batch),
            memory=self._memory,
            run=lambda windows: self._try_out(batch, windows),
            still_to_come_bytes=moments,
            in_parts=self._training.loss.hard_fraction == 1.0,
        )
