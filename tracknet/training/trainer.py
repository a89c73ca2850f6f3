"""The loop: one linear optimizer step, validation, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from tracknet.datasets.batch import Batch
from tracknet.datasets.index import ShardSet
from tracknet.datasets.stream import StreamLoader
from tracknet.models.model import TrackNet
from tracknet.training.checkpoint import TrainingState, save_checkpoint
from tracknet.training.evaluation import points_in_frame, predict_split
from tracknet.training.losses import build_loss
from tracknet.training.metrics import best_threshold, monitored, summarise
from tracknet.training.optim import build_optimizer, build_scheduler
from tracknet.training.pictures import OverlayCollector
from tracknet.training.precision import Precision
from tracknet.training.run_folder import RunFolder
from tracknet.training.stop import StopRequest
from tracknet.training.watch import EmptyMapWatch, stop_if_not_finite
from tracknet.utils.errors import Interrupted
from tracknet.utils.heatmap import peak_score
from tracknet.utils.progress import format_duration
from tracknet.utils.settings import Config


@dataclass
class StepReport:
    """What one optimizer step did."""

    loss: float
    grad_norm: float
    windows: int
    found: float
    data_s: float
    step_s: float


class Trainer:
    """Trains a model on a stream and keeps its run folder."""

    def __init__(
        self,
        config: Config,
        model: TrackNet,
        shards: ShardSet,
        train: StreamLoader,
        val: StreamLoader | None,
        precision: Precision,
        run: RunFolder | None,
        *,
        say: Callable[[str], None] = print,
    ) -> None:
        """Prepares optimizer and schedule; touches no file.

        Args:
            config: the whole configuration.
            model: on the device already.
            shards: what `train` streams, for names.
            train: the training stream.
            val: the validation stream, if there is one.
            precision: device and arithmetic.
            run: where to write; `None` for a trial without traces.
            say: takes a line for the person watching.
        """
        self.config = config
        self.model = model
        self.shards = shards
        self.train = train
        self.val = val
        self.precision = precision
        self.run = run
        self.say = say
        training = config.training
        self.loss = build_loss(training.loss)
        self.optimizer = build_optimizer(
            model, training.optimizer, pretrained=config.model.backbone.pretrained
        )
        self.steps_per_epoch = max(1, train.num_steps // training.accumulate)
        self.total_steps = min(training.epochs * self.steps_per_epoch, training.max_steps or 2**62)
        self.scheduler = build_scheduler(
            self.optimizer,
            training.scheduler,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        self.scaler = precision.scaler()
        self.state = TrainingState(build_id=shards.manifest.build_id, plan=train.stream.describe_plan())
        self.last_figures: dict[str, float] = {}
        self._stop = StopRequest(say)
        self._writer: SummaryWriter | None = None

    # ------------------------------------------------------------ the whole training

    def fit(self) -> dict[str, float]:
        """Trains to the end and returns the last validation's figures.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came; a checkpoint was written first.
            RunError: the loss is no number, or data is damaged.
        """
        assert self.run is not None, "a training without a run folder has nowhere to save"
        self._writer = SummaryWriter(str(self.run.path / "tensorboard"), purge_step=self.state.step)
        self._watch = EmptyMapWatch(
            self.state,
            after_steps=self.config.training.empty_map_steps,
            distance_px=self.config.training.metrics.distance_px,
        )
        self._started, self._first_step = time.monotonic(), self.state.step
        try:
            with self._stop:
                while self.state.step < self.total_steps:
                    self._train_epoch()
                    self._end_epoch()
        finally:
            self._writer.close()
        return self.last_figures

    def _train_epoch(self) -> None:
        training, state = self.config.training, self.state
        self.model.train()
        batches = self.train.epoch(state.epoch, state.batch)
        while state.step < self.total_steps and state.batch + training.accumulate <= self.train.num_steps:
            report = self.optimizer_step(batches)
            state.step += 1
            state.batch += training.accumulate
            if state.step % training.log_every_steps == 0 or state.step == self.total_steps:
                self._log_step(report)
            self._stop_if_asked()
            if training.ckpt_every_steps and state.step % training.ckpt_every_steps == 0:
                self._save()

    def _end_epoch(self) -> None:
        training, state = self.config.training, self.state
        done = state.step >= self.total_steps
        is_best = False
        if self.val is not None and (done or (state.epoch + 1) % training.val_every_epochs == 0):
            is_best = self._validate()
        state.epoch, state.batch = state.epoch + 1, 0
        self._save(is_best=is_best)
        self._stop_if_asked(saved=True)

    # ------------------------------------------------------------ one step

    def optimizer_step(self, batches: Iterator[Batch]) -> StepReport:
        """Takes `accumulate` batches, one update of the weights, one step of the schedule.

        Raises:
            RunError: loss or gradients are not finite; the weights are as before.
        """
        training = self.config.training
        total_loss, data_s, windows, found = 0.0, 0.0, 0, [0, 0]
        keys: list[str] = []
        started = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        for _ in range(training.accumulate):
            waited = time.perf_counter()
            batch = next(batches)
            data_s += time.perf_counter() - waited
            batch = batch.to(self.precision.device)
            keys += [self.shards.table.keys[row] for row in batch.rows[:, 0].tolist()]
            with self.precision.autocast():
                logits = self.model(batch.frames)
            loss = self.loss(logits, batch.heatmaps, batch.weights) / training.accumulate
            total_loss += float(loss.detach())
            stop_if_not_finite(total_loss, "loss", step=self.state.step + 1, lr=self._lr, keys=keys)
            self.scaler.scale(loss).backward()
            windows += len(batch)
            self._count_found(batch, logits.detach(), found)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(
            [p for p in self.model.parameters() if p.requires_grad], training.grad_clip or float("inf")
        )
        if not self.scaler.is_enabled():
            # With fp16 an overflow is expected now and then: the scaler skips the step and lowers its scale.
            stop_if_not_finite(float(norm), "gradient norm", step=self.state.step + 1, lr=self._lr, keys=keys)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        return StepReport(
            loss=total_loss,
            grad_norm=float(norm),
            windows=windows,
            found=found[0] / found[1] if found[1] else float("nan"),
            data_s=data_s,
            step_s=time.perf_counter() - started,
        )

    def _count_found(self, batch: Batch, logits: torch.Tensor, found: list[int]) -> None:
        """Adds the balls found and seen in a training batch, and watches for maps that stay empty."""
        xy_px = points_in_frame(self.model, batch, logits, "argmax")
        error_px = torch.linalg.vector_norm(xy_px - batch.xy_px, dim=-1)
        # What is masked (absent, moved out of the picture) is not asked for.
        error_px = torch.where(batch.weights > 0, error_px, torch.nan).cpu().numpy()
        found[0] += int((error_px <= self.config.training.metrics.distance_px).sum())
        found[1] += int((error_px == error_px).sum())
        if self.run is not None:
            advice = self._watch.update(error_px, float(peak_score(logits).mean()))
            if advice:
                self.say(f"warning: {advice}")
                self.run.log({"kind": "warning", "step": self.state.step, "message": advice})

    @property
    def _lr(self) -> float:
        return float(max(group["lr"] for group in self.optimizer.param_groups))

    # ------------------------------------------------------------ validation

    def _validate(self) -> bool:
        """Evaluates, sets the model's threshold, reports; true if this is the best model so far."""
        assert self.val is not None
        assert self.run is not None
        assert self._writer is not None
        metrics, decode, state = self.config.training.metrics, self.config.model.heatmap.decode, self.state
        pictures = OverlayCollector(self.model, self.val, self.config.training.overlay_images)

        def on_batch(step: int, batch: Batch, logits: torch.Tensor) -> None:
            pictures.take(step, batch, logits)
            self._stop_if_asked()

        started = time.perf_counter()
        predictions = predict_split(
            self.model, self.val, self.precision, decoders=[decode], on_batch=on_batch
        )[decode]
        threshold = best_threshold(predictions, distance_px=metrics.distance_px)
        figures = summarise(predictions, metrics, threshold=threshold)
        self.model.score_threshold = threshold
        self.last_figures = figures
        value = monitored(figures, metrics)
        is_best = state.best is None or value > state.best
        if is_best:
            state.best, state.best_step = value, state.step
        state.validated_epoch = state.epoch
        self.run.log({"kind": "val", "step": state.step, "epoch": state.epoch, **figures})
        for name, figure in figures.items():
            self._writer.add_scalar(f"val/{name}", figure, state.step)
        for number, picture in enumerate(pictures.images()):
            self._writer.add_image(f"val/overlay_{number}", picture, state.step, dataformats="HWC")
        self.say(
            f"  validation, epoch {state.epoch + 1}: "
            f"PCK@{metrics.distance_px:g}px {figures[f'pck@{metrics.distance_px:g}px']:.3f}  "
            f"L2 mean {figures['l2_mean_px']:.1f} median {figures['l2_median_px']:.2f} px  "
            f"F1 {figures['f1']:.3f} at score {threshold:.2f}  "
            f"({len(predictions)} frames, {format_duration(time.perf_counter() - started)})"
            f"{'  best so far' if is_best else ''}"
        )
        return is_best

    # ------------------------------------------------------------ reports

    def _log_step(self, report: StepReport) -> None:
        assert self.run is not None
        assert self._writer is not None
        state = self.state
        scalars = {
            "loss": report.loss,
            "lr": self._lr,
            "grad_norm": report.grad_norm,
            "found": report.found,
            "windows_per_s": report.windows / report.step_s,
            "step_s": report.step_s,
            "data_s": report.data_s,
        }
        self.run.log({"kind": "train", "step": state.step, "epoch": state.epoch, **scalars})
        for name, value in scalars.items():
            self._writer.add_scalar(f"train/{name}", value, state.step)
        done = state.step - self._first_step
        eta_s = (time.monotonic() - self._started) / done * (self.total_steps - state.step)
        self.say(
            f"step {state.step}/{self.total_steps}  epoch {state.epoch + 1}  loss {report.loss:.4f}  "
            f"lr {self._lr:.1e}  grad {report.grad_norm:.2f}  found {report.found:4.0%}  |  "
            f"{scalars['windows_per_s']:.1f} windows/s  step {report.step_s * 1e3:.0f} ms "
            f"(data {report.data_s * 1e3:.0f} ms)  ETA {format_duration(eta_s)}"
        )

    # ------------------------------------------------------------ checkpoints and stops

    def _save(self, *, is_best: bool = False) -> None:
        assert self.run is not None
        self.model.provenance = {
            "run": self.run.path.name,
            "step": self.state.step,
            "build_id": self.state.build_id,
            "games": self.shards.manifest.games,
            "threshold_chosen_on": [self.state.build_id, "val"] if self.last_figures else None,
            "validation": {
                key: None if value != value else value for key, value in self.last_figures.items()
            },
        }
        tensors: dict[str, Any] = {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        keep = self.config.training.keep_checkpoints
        save_checkpoint(self.run.checkpoints, self.model, self.state, tensors, is_best=is_best, keep=keep)

    def restore(self, state: TrainingState, tensors: dict[str, Any]) -> None:
        """Goes back to a checkpoint's state; the model's weights are loaded by whoever built it."""
        self.state = state
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.scheduler.load_state_dict(tensors["scheduler"])
        self.scaler.load_state_dict(tensors["scaler"])
        torch.set_rng_state(tensors["random"])
        if torch.cuda.is_available() and len(tensors["random_cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(tensors["random_cuda"])

    def _stop_if_asked(self, *, saved: bool = False) -> None:
        if self._stop.signal is None:
            return
        assert self.run is not None
        if not saved:
            self._save()
        raise Interrupted(
            f"{self._stop.signal.name} at step {self.state.step}; a checkpoint is written. Go on with: "
            f"python -m tracknet.scripts.train --resume {self.run.path}"
        )
