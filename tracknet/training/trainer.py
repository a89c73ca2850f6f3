"""The loop: one linear optimizer step, validation, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

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
from tracknet.training.run_log import RunLog, StepReport
from tracknet.training.stop import StopRequest
from tracknet.training.watch import EmptyMapWatch, stop_if_not_finite
from tracknet.utils.errors import Interrupted
from tracknet.utils.heatmap import peak_score
from tracknet.utils.settings import Config


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
        self._log: RunLog | None = None
        self._watch = self._new_watch()

    # ------------------------------------------------------------ the whole training

    def fit(self) -> dict[str, float]:
        """Trains to the end and returns the last validation's figures.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came; a checkpoint was written first.
            RunError: the loss is no number, or data is damaged.
        """
        assert self.run is not None, "a training without a run folder has nowhere to save"
        try:
            with RunLog(self.run, self.state, self.total_steps, self.say) as self._log, self._stop:
                while self.state.step < self.total_steps:
                    self._train_epoch(self._log)
                    self._end_epoch(self._log)
        finally:
            for loader in (self.train, self.val):
                if loader is not None:
                    loader.close()
        return self.last_figures

    def _train_epoch(self, log: RunLog) -> None:
        training, state = self.config.training, self.state
        self.model.train()
        batches = self.train.epoch(state.epoch, state.batch)
        while state.step < self.total_steps and state.batch + training.accumulate <= self.train.num_steps:
            report = self.optimizer_step(batches)
            state.step += 1
            state.batch += training.accumulate
            if state.step % training.log_every_steps == 0 or state.step == self.total_steps:
                log.step(report)
            self._stop_if_asked()
            if training.ckpt_every_steps and state.step % training.ckpt_every_steps == 0:
                self._save()

    def _end_epoch(self, log: RunLog) -> None:
        training, state = self.config.training, self.state
        done = state.step >= self.total_steps
        is_best = False
        if self.val is not None and (done or (state.epoch + 1) % training.val_every_epochs == 0):
            is_best = self._validate(self.val, log)
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
        step, lr = self.state.step + 1, max(float(group["lr"]) for group in self.optimizer.param_groups)
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
            stop_if_not_finite(total_loss, "loss", step=step, lr=lr, keys=keys)
            self.scaler.scale(loss).backward()
            windows += len(batch)
            self._count_found(batch, logits.detach(), found)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(
            [p for p in self.model.parameters() if p.requires_grad], training.grad_clip or float("inf")
        )
        if not self.scaler.is_enabled():
            # With fp16 an overflow is expected now and then: the scaler skips the step and lowers its scale.
            stop_if_not_finite(float(norm), "gradient norm", step=step, lr=lr, keys=keys)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        return StepReport(
            loss=total_loss,
            lr=lr,
            grad_norm=float(norm),
            found=found[0] / found[1] if found[1] else float("nan"),
            windows=windows,
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
        advice = self._watch.update(error_px, float(peak_score(logits).mean()))
        if advice and self._log is not None:
            self._log.warning(advice)

    def _new_watch(self) -> EmptyMapWatch:
        training = self.config.training
        return EmptyMapWatch(
            self.state, after_steps=training.empty_map_steps, distance_px=training.metrics.distance_px
        )

    # ------------------------------------------------------------ validation

    def _validate(self, val: StreamLoader, log: RunLog) -> bool:
        """Evaluates, sets the model's threshold, reports; true if this is the best model so far."""
        metrics, decode, state = self.config.training.metrics, self.config.model.heatmap.decode, self.state
        pictures = OverlayCollector(self.model, val, self.config.training.overlay_images)

        def on_batch(step: int, batch: Batch, logits: torch.Tensor) -> None:
            pictures.take(step, batch, logits)
            self._stop_if_asked()

        started = time.perf_counter()
        predictions = predict_split(self.model, val, self.precision, decoders=[decode], on_batch=on_batch)[
            decode
        ]
        threshold = best_threshold(predictions, distance_px=metrics.distance_px)
        figures = summarise(predictions, metrics, threshold=threshold)
        self.model.score_threshold = threshold
        self.last_figures = figures
        value = monitored(figures, metrics)
        # No number (a split without balls) is never the best.
        is_best = value == value and (state.best is None or value > state.best)
        if is_best:
            state.best, state.best_step = value, state.step
        state.validated_epoch = state.epoch
        log.validation(figures, pictures.images(), is_best=is_best, took_s=time.perf_counter() - started)
        return is_best

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
        self._watch = self._new_watch()
        validation = self.model.provenance.get("validation", {})
        self.last_figures = {
            name: float("nan") if value is None else value for name, value in validation.items()
        }
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
