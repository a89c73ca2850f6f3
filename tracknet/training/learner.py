"""One optimizer step: loss, gradients, clipping, mixed precision, schedule; and what of it a checkpoint keeps."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision
from tracknet.training.distributed import Ranks, step_seed
from tracknet.training.ema import WeightAverage
from tracknet.training.evaluation import points_in_frame
from tracknet.training.losses import build_loss
from tracknet.training.optim import build_optimizer, build_scheduler, is_of_backbone
from tracknet.training.own_weights import beside_saved, copied
from tracknet.training.run_log import StepReport
from tracknet.training.watch import stop_if_not_finite
from tracknet.utils.config import to_plain
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
        ranks: Ranks,
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
            ranks: who else trains these weights.
            keys: sample keys by row of the training stream's table, for messages.
            steps_per_epoch: optimizer steps, for the warm-up.
            total_steps: optimizer steps, for the schedule.
        """
        self._training = config.training
        self._model = model
        self._precision = precision
        self._ranks = ranks
        # Made by the first step: another is needed when the backbone thaws.
        self._replica: nn.Module | None = None
        self._keys = keys
        self._steps_per_epoch = steps_per_epoch
        self._total_steps = total_steps
        self.loss = build_loss(config.training.loss)
        pretrained = config.model.backbone.pretrained
        self._lora = to_plain(config.model.backbone.lora)
        self._unfreeze_at = config.training.unfreeze_at
        if self._unfreeze_at is not None:
            # The optimizer and the average know all that is ever trained; a weight without a gradient stays as it is.
            model.backbone.set_frozen(False)
        optimizer = config.training.optimizer
        depths = model.backbone.depths() if optimizer.layer_decay < 1.0 else None
        self._optimizer = build_optimizer(model, optimizer, pretrained=pretrained, depths=depths)
        ema = config.training.ema
        self._average = WeightAverage(model, ema) if ema is not None else None
        if self._unfreeze_at is not None:
            model.backbone.set_frozen(True)
        self.thawed_now = False
        self._scheduler = self._new_scheduler(steps_taken=0)
        self._scaler = precision.scaler()
        self._overflows = 0

    def step(self, batches: Iterator[Batch], number: int) -> StepReport:
        """Takes `accumulate` batches, one update of the weights, one step of the schedule; all ranks together.

        Args:
            batches: where they come from: this rank's parts.
            number: the step about to be taken.

        Returns:
            What all ranks together did.

        Raises:
            RunError: damaged data, or loss or gradients that are not finite, on any rank; the weights are as before.
        """
        training, ranks = self._training, self._ranks
        total_loss, data_s, windows, masked, found, balls, by_chance, peak = 0.0, 0.0, 0, 0, 0, 0, 0.0, 0.0
        keys: list[str] = []
        self._thaw_if_due()
        replica = self._ready_replica()
        lr = max(float(group["lr"]) for group in self._optimizer.param_groups)
        backbone_lr = max(
            (float(g["lr"]) for g in self._optimizer.param_groups if is_of_backbone(g)), default=0.0
        )
        started = time.perf_counter()
        self._optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(step_seed(training.seed, number, ranks.topology.rank))
        for part in range(1, training.accumulate + 1):
            waited = time.perf_counter()
            batch = ranks.agreed(lambda: next(batches))
            # All ranks wait for the slowest.
            data_s += time.perf_counter() - waited
            batch = batch.to(self._precision.device)
            keys += [self._keys[row] for row in batch.rows[:, 0].tolist()]
            with ranks.exchange(), ranks.gathering(replica, last=part == training.accumulate):
                with self._precision.autocast():
                    logits = replica(batch.frames)
                loss = self.loss(
                    logits, batch.heatmaps, batch.weights, total=ranks.total, every=self._of_every_rank
                )
                loss = loss / training.accumulate
                total_loss += self._sum_of_shares(float(loss.detach()), keys, step=number, lr=lr)
                # Gradients are averaged over the ranks, and the shares of the loss are to be summed.
                self._scaler.scale(loss * ranks.topology.world_size).backward()
            windows += len(batch)
            masked += int((~batch.valid).sum())
            near = self._training_errors(batch, logits.detach()) <= training.metrics.distance_px
            own = near.diagonal().sum()
            found += int(own)
            by_chance += float(near.sum() - own) / max(1, len(batch) - 1)
            balls += int(self._drawn_balls(batch).isfinite().all(dim=-1).sum())
            peak += float(peak_score(logits.detach()).mean()) / training.accumulate
        self._scaler.unscale_(self._optimizer)
        norm = torch.nn.utils.clip_grad_norm_(
            [p for p in self._model.parameters() if p.requires_grad], training.grad_clip or float("inf")
        )
        if not self._scaler.is_enabled():
            self._stop_if_not_finite(float(norm), "gradient norm", keys, step=number, lr=lr)
        scale_before = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
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
        counts = ranks.numbers(windows, masked, found, balls, by_chance, peak).sum(axis=0).tolist()
        windows, masked, found, balls = map(int, counts[:4])
        return StepReport(
            loss=total_loss,
            lr=lr,
            backbone_lr=backbone_lr,
            grad_norm=float(norm),
            found=found,
            found_by_chance=counts[4],
            balls=balls,
            peak=counts[5] / ranks.topology.world_size,
            skipped=skipped,
            windows=windows,
            masked=masked,
            data_s=data_s,
            step_s=time.perf_counter() - started,
        )

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
            self._replica = None

    def _ready_replica(self) -> nn.Module:
        """The model as it is trained by all ranks; they make it together."""
        if self._replica is None:
            # A former one has hooks on the gradients until it is gone, and lies in cycles of references.
            gc.collect()
            self._replica = self._ranks.replica(self._model, self._precision.device)
        return self._replica

    def _of_every_rank(self, values: torch.Tensor) -> torch.Tensor:
        """Everyone's tensor `[B]`, as one."""
        return torch.as_tensor(self._ranks.numbers(*values.tolist())).flatten()

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

    def _sum_of_shares(self, share: float, keys: Sequence[str], *, step: int, lr: float) -> float:
        """The loss of all ranks' parts of a batch; names the samples of those where it is no number."""
        loss = float(self._ranks.numbers(share).sum())
        self._stop_if_not_finite(loss, "loss", [] if math.isfinite(share) else keys, step=step, lr=lr)
        return loss

    def _stop_if_not_finite(
        self, value: float, what: str, keys: Sequence[str], *, step: int, lr: float
    ) -> None:
        """Raises on all ranks, for the value is the same on all; `keys` are this rank's."""
        if math.isfinite(value):
            return
        every = [key for part in self._ranks.objects(keys) for key in part]
        with self._ranks.on_all():
            stop_if_not_finite(value, what, step=step, lr=lr, keys=every)

    def _training_errors(self, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
        """How far each window's highest cell is from each window's ball: `[B, B, M]` frame pixels, NaN without one."""
        xy_px = points_in_frame(self._model, batch, logits, "argmax")
        errors_px: torch.Tensor = torch.linalg.vector_norm(xy_px[:, None] - self._drawn_balls(batch), dim=-1)
        return errors_px

    @staticmethod
    def _drawn_balls(batch: Batch) -> torch.Tensor:
        """The balls of a batch that its targets show: float `[B, M, 2]`, frame pixels, NaN where there is none."""
        # An augmentation can move a ball out of the picture: its target is empty then.
        drawn = batch.heatmaps.amax(dim=(-2, -1)).cpu() > 0
        return torch.where(drawn[..., None], batch.xy_px, torch.nan)

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

        Learning rates, decay and betas are the configuration's, which may have been changed on purpose.

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
        if self._average is not None and "ema" in tensors:
            self._average.restore(**tensors["ema"])
        self._model.load_state_dict(tensors.get("weights", {}), strict=False)
        self._optimizer.load_state_dict(tensors["optimizer"])
        for group, setting in zip(self._optimizer.param_groups, settings, strict=True):
            group.update(setting, lr=setting["initial_lr"])
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


def _weights(groups: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{count} tensors of {name}" for name, count in groups)
