"""One optimizer step: gradients, clipping, mixed precision, schedule; and what of it a checkpoint keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision
from tracknet.training.distributed import Ranks
from tracknet.training.ema import WeightAverage
from tracknet.training.optim import build_optimizer, build_scheduler, is_of_backbone, restore_optimizer
from tracknet.training.own_weights import beside_saved, copied
from tracknet.training.run_log import StepReport
from tracknet.training.step_gradients import StepGradients
from tracknet.training.step_sizes import StepSizes
from tracknet.training.watch import stop_if_not_finite
from tracknet.training.weight_update import update_weights
from tracknet.utils.config import to_plain
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.settings import Config

# Of fp16 gradients, in a row: the scaler halves its scale at each, so 2^20 are more than it starts with.
_MOST_OVERFLOWS = 20


class Learner:
    """The model's weights and everything that changes them.

    Attributes:
        gradients: how those of a step are had.
        sizes: that the steps are trained at.
        thawed_now: the step just taken was the first that trained the backbone too.
    """

    def __init__(
        self,
        config: Config,
        model: TrackNet,
        precision: Precision,
        ranks: Ranks,
        *,
        keys: Sequence[str],
        steps_per_epoch: int,
        total_steps: int,
    ) -> None:
        """Prepares gradients, optimizer and schedule.

        Args:
            config: the whole configuration.
            model: on the device already.
            precision: device and arithmetic.
            ranks: who else trains these weights.
            keys: sample keys by row of the training stream's table, for messages.
            steps_per_epoch: optimizer steps, for the warm-up.
            total_steps: optimizer steps, for the schedule.
        """
        self._training = training = config.training
        self._model = model
        self._ranks = ranks
        self._keys = keys
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = total_steps
        pretrained = config.model.backbone.pretrained
        self._lora = to_plain(config.model.backbone.lora)
        self._unfreeze_at = config.training.unfreeze_at
        if self._unfreeze_at is not None:
            # The optimizer and the average know all that is ever trained; a weight without a gradient stays as it is.
            model.backbone.set_frozen(False)
        self._optimizer = build_optimizer(
            model,
            training.optimizer,
            pretrained=pretrained,
            depths=model.backbone.depths() if training.optimizer.layer_decay < 1.0 else None,
            fused=training.speed.fused_optimizer,
        )
        ema = config.training.ema
        self._average = WeightAverage(model, ema) if ema is not None else None
        if self._unfreeze_at is not None:
            model.backbone.set_frozen(True)
        self.thawed_now = False
        self._scheduler = self._new_scheduler(steps_taken=0)
        self._scaler = precision.scaler()
        self._overflows = 0
        self.sizes = StepSizes(training, model, total_steps)
        self.gradients = StepGradients(
            training, model, precision, ranks, self._optimizer, self._scaler, self.sizes
        )

    def step(self, batches: Iterator[Batch], number: int) -> StepReport:
        """Takes `accumulate` batches, one update of the weights, one step of the schedule; all ranks together.

        The device is waited for once, when all is computed that the update needs (several ranks, which choose hard
        windows together, wait for their losses too).

        Args:
            batches: where they come from: this rank's parts.
            number: the step about to be taken.

        Returns:
            What all ranks together did.

        Raises:
            RunError: damaged data, loss or gradients that are not finite, on any rank, or too little memory; the
                weights are as before.
            HalfChanged: memory ran out while the weights were being changed.
        """
        training, ranks = self._training, self._ranks
        self._thaw_if_due()
        self.gradients.make_ready()
        lr = max(float(group["lr"]) for group in self._optimizer.param_groups)
        backbone_lr = max(
            (float(g["lr"]) for g in self._optimizer.param_groups if is_of_backbone(g)), default=0.0
        )
        started = time.perf_counter()
        taken, figures = self.gradients.of_step(batches, number)
        self._scaler.unscale_(self._optimizer)
        grad_norm = torch.nn.utils.clip_grad_norm_(
            [p for p in self._model.parameters() if p.requires_grad], training.grad_clip or float("inf")
        )
        mine = figures.fetch(grad_norm, distance_px=training.metrics.distance_px)
        counts = (
            mine.windows,
            mine.masked,
            mine.found,
            mine.found_by_chance,
            mine.balls,
            mine.peak,
            mine.maps,
        )
        told = ranks.numbers(*mine.losses, *counts)
        parts = len(mine.losses)
        losses, (windows, masked, found, by_chance, balls, peak, maps) = (
            told[:, :parts].sum(axis=0).tolist(),
            told[:, parts:].sum(axis=0).tolist(),
        )
        for own, loss, rows in zip(mine.losses, losses, taken.rows, strict=True):
            keys = [] if math.isfinite(own) else [self._keys[row] for row in rows]
            self._stop_if_not_finite(loss, "loss", keys, step=number, lr=lr)
        norm = mine.grad_norm
        keys = [self._keys[row] for rows in taken.rows for row in rows]
        if not self._scaler.is_enabled():
            self._stop_if_not_finite(norm, "gradient norm", keys, step=number, lr=lr)
        scale_before = self._scaler.get_scale()
        try:
            update_weights(self._optimizer, self._scaler)
        except RunError:
            self.gradients.restore_statistics()
            raise
        self._scaler.update()
        # With fp16 an overflow is expected now and then: the scaler leaves the step out and lowers its scale.
        skipped = self._scaler.get_scale() < scale_before
        self._overflows = self._overflows + 1 if skipped else 0
        if self._overflows > _MOST_OVERFLOWS:
            self._stop_if_not_finite(float("nan"), "fp16 gradient", keys, step=number, lr=lr)
        if not skipped:
            self._scheduler.step()
            if self._average is not None:
                self._average.update()
        return StepReport(
            loss=sum(losses),
            lr=lr,
            backbone_lr=backbone_lr,
            grad_norm=norm,
            found=int(found),
            found_by_chance=by_chance,
            balls=int(balls),
            peak=peak / maps,
            skipped=skipped,
            windows=int(windows),
            masked=int(masked),
            data_s=taken.waited_s,
            step_s=time.perf_counter() - started,
            size=self.sizes.of_step(number) if self.sizes.sizes else None,
        )

    # ------------------------------------------------------------ what is trained

    @property
    def _steps_taken(self) -> int:
        """Of the schedule."""
        return int(self._scheduler.last_epoch)

    def _thaw_if_due(self) -> None:
        """Trains the backbone too from the step on that was asked for."""
        backbone, at = self._model.backbone, self._unfreeze_at
        due = at is not None and self._steps_taken >= at and bool(backbone.freeze)
        # A run that is resumed later was told so before.
        self.thawed_now = due and self._steps_taken == at
        if due:
            backbone.set_frozen(False)
            backbone.train(self._model.training)
            self._model.gradient_checkpointing(self._training.gradient_checkpointing)
            self.gradients.begin_anew()

    # ------------------------------------------------------------ what must not go on

    def _stop_if_not_finite(
        self, value: float, what: str, keys: Sequence[str], *, step: int, lr: float
    ) -> None:
        """Raises on all ranks, for the value is the same on all; `keys` are this rank's."""
        if math.isfinite(value):
            return
        self.gradients.restore_statistics()
        every = [key for part in self._ranks.objects(keys) for key in part]
        with self._ranks.on_all():
            stop_if_not_finite(value, what, step=step, lr=lr, keys=every)

    # ------------------------------------------------------------ what a checkpoint keeps

    @contextmanager
    def weights_to_keep(self, *, agreed: bool = False) -> Iterator[None]:
        """Within it the model has the weights that are worth keeping: the averaged ones, where there is an average.

        Args:
            agreed: all ranks enter it together, and are to have the same.
        """
        if self._average is None:
            yield
            return
        if agreed:
            self._average.agree(self._ranks)
        with self._average.applied():
            yield

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint keeps besides the model: optimizer, scaler, and the weights that the model's are not."""
        tensors: dict[str, Any] = {
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        if self._average is None and self._lora is None:
            return tensors
        own = copied(self._model)
        if self._average is not None:
            # A validation may be interrupted, which tests the average.
            own |= self._average.put_aside()
        with self.weights_to_keep():
            tensors |= {"weights": beside_saved(own, self._model), "lora": self._lora}
            if self._average is not None:
                average = beside_saved(self._average.weights(), self._model)
                tensors["ema"] = {"updates": self._average.updates, "weights": average}
        return tensors

    def restore(self, tensors: dict[str, Any], *, steps_taken: int) -> None:
        """Goes back to what `tensors` gave; the model has the weights that were saved beside them.

        Args:
            tensors: of a checkpoint.
            steps_taken: of the schedule.

        Raises:
            UserError: other weights are trained than in the checkpoint.
        """
        if tensors.get("lora") != self._lora:
            raise UserError(
                f"this run began with model.backbone.lora={_shown(tensors.get('lora'))}, "
                f"and is now asked for {_shown(self._lora)}",
                remedy="resume without changing it, or start a new run from its weights: training.init_from=RUN",
            )
        restore_optimizer(self._optimizer, tensors["optimizer"])
        if self._average is not None and "ema" in tensors:
            self._average.restore(**tensors["ema"])
        self._model.load_state_dict(tensors.get("weights", {}), strict=False)
        self._scheduler = self._new_scheduler(steps_taken=steps_taken)
        if self._scaler.is_enabled() and tensors["scaler"]:
            self._scaler.load_state_dict(tensors["scaler"])

    def _new_scheduler(self, *, steps_taken: int) -> LambdaLR:
        return build_scheduler(
            self._optimizer,
            self._training.scheduler,
            steps_per_epoch=self._steps_per_epoch,
            total_steps=self._total_steps,
            steps_taken=steps_taken,
            unfreeze_at=self._unfreeze_at,
        )


def _shown(lora: dict[str, Any] | None) -> str:
    """As it is written on a command line."""
    return "null" if lora is None else str({key: value for key, value in lora.items() if value is not None})
