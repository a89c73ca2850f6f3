"""One optimizer step: loss, gradients, clipping, mixed precision, schedule; and what of it a checkpoint keeps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.training.evaluation import points_in_frame
from tracknet.training.losses import build_loss
from tracknet.training.optim import build_optimizer, build_scheduler
from tracknet.training.precision import Precision
from tracknet.training.run_log import StepReport
from tracknet.training.watch import stop_if_not_finite
from tracknet.utils.errors import UserError
from tracknet.utils.heatmap import peak_score
from tracknet.utils.settings import Config

# Of fp16 gradients, in a row: the scaler halves its scale at each, so 2^20 are more than it starts with.
_MOST_OVERFLOWS = 20


class Learner:
    """The model's weights and everything that changes them."""

    def __init__(
        self,
        config: Config,
        model: TrackNet,
        precision: Precision,
        *,
        keys: Sequence[str],
        steps_per_epoch: int,
        total_steps: int,
    ) -> None:
        """Prepares loss, optimizer and schedule.

        Args:
            config: the whole configuration.
            model: on the device already.
            precision: device and arithmetic.
            keys: sample keys by row of the training stream's table, for messages.
            steps_per_epoch: optimizer steps, for the warm-up.
            total_steps: optimizer steps, for the schedule.
        """
        self._training = config.training
        self._model = model
        self._precision = precision
        self._keys = keys
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = total_steps
        self.loss = build_loss(config.training.loss)
        pretrained = config.model.backbone.pretrained
        self._optimizer = build_optimizer(model, config.training.optimizer, pretrained=pretrained)
        self._scheduler = self._new_scheduler(steps_taken=0)
        self._scaler = precision.scaler()
        self._overflows = 0

    def step(self, batches: Iterator[Batch], number: int) -> StepReport:
        """Takes `accumulate` batches, one update of the weights, one step of the schedule.

        Args:
            batches: where they come from.
            number: the step about to be taken, for messages.

        Raises:
            RunError: loss or gradients are not finite; the weights are as before.
        """
        training = self._training
        total_loss, data_s, windows, found, balls, peak = 0.0, 0.0, 0, 0, 0, 0.0
        keys: list[str] = []
        lr = max(float(group["lr"]) for group in self._optimizer.param_groups)
        started = time.perf_counter()
        self._optimizer.zero_grad(set_to_none=True)
        for _ in range(training.accumulate):
            waited = time.perf_counter()
            batch = next(batches)
            data_s += time.perf_counter() - waited
            batch = batch.to(self._precision.device)
            keys += [self._keys[row] for row in batch.rows[:, 0].tolist()]
            with self._precision.autocast():
                logits = self._model(batch.frames)
            loss = self.loss(logits, batch.heatmaps, batch.weights) / training.accumulate
            total_loss += float(loss.detach())
            stop_if_not_finite(total_loss, "loss", step=number, lr=lr, keys=keys)
            self._scaler.scale(loss).backward()
            windows += len(batch)
            error_px = self._training_errors(batch, logits.detach())
            found += int((error_px <= training.metrics.distance_px).sum())
            balls += int(error_px.isfinite().sum())
            peak += float(peak_score(logits.detach()).mean()) / training.accumulate
        self._scaler.unscale_(self._optimizer)
        norm = torch.nn.utils.clip_grad_norm_(
            [p for p in self._model.parameters() if p.requires_grad], training.grad_clip or float("inf")
        )
        if not self._scaler.is_enabled():
            stop_if_not_finite(float(norm), "gradient norm", step=number, lr=lr, keys=keys)
        scale_before = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        # With fp16 an overflow is expected now and then: the scaler leaves the step out and lowers its scale.
        skipped = self._scaler.get_scale() < scale_before
        self._overflows = self._overflows + 1 if skipped else 0
        if self._overflows > _MOST_OVERFLOWS:
            stop_if_not_finite(float("nan"), "fp16 gradient", step=number, lr=lr, keys=keys)
        if not skipped:
            self._scheduler.step()
        return StepReport(
            loss=total_loss,
            lr=lr,
            grad_norm=float(norm),
            found=found,
            balls=balls,
            peak=peak,
            skipped=skipped,
            windows=windows,
            data_s=data_s,
            step_s=time.perf_counter() - started,
        )

    def _training_errors(self, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """Distances of a training batch's highest cells from its balls: `[B, M]` frame pixels, NaN without a ball."""
        xy_px = points_in_frame(self._model, batch, logits, "argmax")
        error_px = torch.linalg.vector_norm(xy_px - batch.xy_px, dim=-1)
        # An augmentation can move a ball out of the picture: its target is empty then.
        drawn = batch.heatmaps.amax(dim=(-2, -1)).cpu() > 0
        return torch.where(drawn, error_px, torch.nan)

    def tensors(self) -> dict[str, Any]:
        """What a checkpoint keeps besides the weights: optimizer, scaler and random states."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, tensors: dict[str, Any], *, steps_taken: int) -> None:
        """Goes back to what `tensors` gave.

        Learning rates, decay and betas are the configuration's, which may have been changed on purpose.

        Args:
            tensors: of a checkpoint.
            steps_taken: of the schedule.

        Raises:
            UserError: other weights are trained than in the checkpoint.
        """
        groups = self._optimizer.param_groups
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        saved = [(group["name"], len(group["params"])) for group in tensors["optimizer"]["param_groups"]]
        asked = [(group["name"], len(group["params"])) for group in groups]
        if saved != asked:
            raise UserError(
                f"this run trained {_weights(saved)}, and is now asked to train {_weights(asked)}",
                remedy="resume without changing what is frozen, or start a new run from its weights: "
                "training.init_from=RUN",
            )
        self._optimizer.load_state_dict(tensors["optimizer"])
        for group, setting in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(setting, lr=setting["initial_lr"])
        self._scheduler = self._new_scheduler(steps_taken=steps_taken)
        if self._scaler.is_enabled() and tensors["scaler"]:
            self._scaler.load_state_dict(tensors["scaler"])
        torch.set_rng_state(tensors["random"])
        if torch.cuda.is_available() and len(tensors["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(tensors["random_cuda"])

    def _new_scheduler(self, *, steps_taken: int) -> LambdaLR:
        return build_scheduler(
            self._optimizer,
            self._training.scheduler,
            steps_per_epoch=self._steps_per_epoch,
            total_steps=self._total_steps,
            steps_taken=steps_taken,
        )


def _weights(groups: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count} tensors of {name}" for name, count in groups)
