"""The loop: epochs of steps, validation, checkpoints, and a stop that loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from shlex import quote
from signal import Signals
from typing import Any

import torch

from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.shard_set import ShardSet
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision
from tracknet.training.checkpoint import TrainingState
from tracknet.training.checkpoint_writer import CheckpointWriter
from tracknet.training.device_memory import memory_of, out_of_memory_alike
from tracknet.training.distributed import Ranks
from tracknet.training.learner import Learner
from tracknet.training.look_ahead import batches_on
from tracknet.training.metrics import monitored, monitored_figure
from tracknet.training.provenance import Provenance
from tracknet.training.run_folder import RunFolder
from tracknet.training.run_log import RunLog
from tracknet.training.served import ServedWindows
from tracknet.training.stop import StopRequest
from tracknet.training.stream_counts import count_stream
from tracknet.training.validation import Validation
from tracknet.training.watch import EmptyMapWatch
from tracknet.training.weight_update import HalfChanged
from tracknet.utils.errors import Interrupted, RunError, UserError, first_line
from tracknet.utils.settings import Config

# torchrun passes a signal on at once, and ends its processes 30 s later.
_ECHO_S = 30.0
# After a stop was asked for.
_WAIT_FOR_DATA_S = 1.0


class Trainer:
    """Trains a model on a stream and keeps its run folder.

    One at a time in a process: initial weights and dropout are drawn from torch's global random numbers, so that two
    trainings in two threads come to other weights than one after the other.
    """

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
        ranks: Ranks | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Prepares the training; touches no file.

        Args:
            config: the whole configuration.
            model: on the device already.
            shards: what `train` streams, for names.
            train: the training stream.
            val: the validation stream, if there is one.
            precision: device and arithmetic.
            run: where to write, which of several ranks only the first does; `None` for a trial without traces.
            ranks: this process among those that train together; alone where not given.
            say: takes a line for the person watching.
        """
        self.ranks = ranks or Ranks()
        self.config = config
        self.model = model
        self.shards = shards
        self.train = train
        self.val = val
        self.precision = precision
        self.run = run
        self.say = self.ranks.say(say)
        training = config.training
        self.steps_per_epoch = max(1, train.num_steps // training.accumulate)
        self.total_steps = training.max_steps or training.epochs * self.steps_per_epoch
        if training.unfreeze_at is not None and training.unfreeze_at >= self.total_steps:
            self.say(
                f"note: the backbone stays frozen: training.unfreeze_at={training.unfreeze_at} is not before the end "
                f"of {self.total_steps} steps"
            )
        self.learner = Learner(
            config,
            model,
            precision,
            self.ranks,
            keys=shards.table.keys,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        self.state = TrainingState(
            build_id=shards.manifest.build_id,
            plan={**train.stream.describe_plan(), **shards.describe()},
            best_of=monitored_figure(training.metrics),
        )
        self.last_validation: dict[str, Any] = {}
        self._memory = memory_of(precision.device)
        self._watch = EmptyMapWatch(
            min(training.empty_map_steps, self.total_steps), training.loss, config.model.decoder.skip
        )
        self._served = ServedWindows(train.stream)
        self._checkpoints = CheckpointWriter(
            run,
            model,
            self.learner,
            self._served,
            Provenance(config, shards, model.num_maps),
            self.ranks,
            keep=training.keep_checkpoints,
        )
        self._validation: Validation | None = None
        if val is not None:
            self._validation = Validation(
                config,
                model,
                val,
                precision,
                self.learner,
                self.ranks,
                set_windows=self._fewer_windows,
                check_stop=self._stop_if_asked,
            )
        self._begun: Callable[[], None] | None = None
        self._stop = StopRequest(self.say, echo_s=0.0 if self.ranks.alone else _ECHO_S)
        for loader in (train, val):
            if loader is not None:
                loader.check_wait = self._stop_waiting

    # ------------------------------------------------------------ the whole training

    @property
    def complete(self) -> bool:
        """All steps are taken, and what they led to is validated."""
        state = self.state
        return state.step >= self.total_steps and (self.val is None or state.validated_step == state.step)

    def fit(self, begun: Callable[[], None] | None = None) -> None:
        """Trains to the end.

        Args:
            begun: called once, when the first step is taken, or the validation is done where that alone is left.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came; a checkpoint was written first.
            RunError: the loss is no number, data is damaged, memory ran out, or another process was lost; a checkpoint
                is there then.
        """
        assert self.run is not None, "a training without a run folder has nowhere to save"
        self._begun = begun
        written = self.run if self.ranks.is_main else None
        with self._stop:
            try:
                with RunLog(written, self.state, self.total_steps, self.say) as log:
                    self._take_epochs(log)
            except HalfChanged:
                # The weights are of no step.
                raise
            except (UserError, Interrupted, OSError):
                # Damaged data, a loss that is no number, a lost rank, a full disk, a cache that holds no shard of the
                # validation, a stop while data was waited for: the weights are those of the last good step.
                self._checkpoints.save_what_is_new(self.state, self.last_validation, self.say)
                raise
            finally:
                for loader in (self.train, self.val):
                    if loader is not None:
                        loader.close()

    def _take_epochs(self, log: RunLog) -> None:
        try:
            with out_of_memory_alike():
                while not self.complete:
                    self._train_epoch(log)
                    self._end_epoch(log)
            return
        except torch.OutOfMemoryError as error:
            reason = first_line(error)
        # Here and not above: an exception that is being handled holds the tensors of what raised it.
        if self._memory is not None:
            self._memory.release()
        size = self.config.training.micro_batch
        now = size if isinstance(size, int) else self.train.stream.batch_size
        raise RunError(
            f"memory ran out at step {self.state.step}: {reason}",
            remedy=f"set {self._fewer_windows(max(1, now // 2))}",
        )

    def _fewer_windows(self, windows: int) -> str:
        """How a person asks for so many of a rank's windows at once, and goes on."""
        assert self.run is not None
        setting = f"training.micro_batch={windows} or auto"
        if self.config.training.loss.hard_fraction < 1.0:
            setting = f"training.batch_size={windows * self.ranks.topology.world_size}"
        then = "its checkpoint is of this step" if self.state.step else "it begins at step 0"
        return f"{setting}, and go on with --resume {quote(str(self.run.path))}: {then}"

    def _train_epoch(self, log: RunLog) -> None:
        """Goes on in the epoch to its end, or to the training's."""
        training, state = self.config.training, self.state
        self.model.train()
        self._served.begin(state.epoch, state.batch, state.step)
        ahead = batches_on(
            self.precision.device,
            self.train.epoch(state.epoch, state.batch),
            prefetch=training.speed.prefetch,
        )
        batches = map(self._served.take, ahead)
        self.learner.gradients.meanwhile = ahead.advance
        while state.step < self.total_steps and not self._epoch_is_over:
            report = self.learner.step(batches, state.step + 1)
            while self.learner.gradients.notes:
                log.warning(self.learner.gradients.notes.pop(0))
            state.step += 1
            state.batch += training.accumulate
            self._served.step_taken()
            if report.skipped:
                state.skipped_steps += 1
            self._tell_begun()
            log.took(report)
            if self.learner.thawed_now:
                log.note(f"step {state.step}: from here on the backbone is trained (training.unfreeze_at)")
            if state.step % training.log_every_steps == 0 or state.step == self.total_steps:
                log.step(report, count_stream(self.train, self.ranks))
            if advice := self._watch.after_step(
                state, report.found, report.balls, report.peak, by_chance=report.found_by_chance
            ):
                log.warning(advice)
            self._stop_if_asked()
            # An epoch's last step is saved at its end, validated.
            due = training.ckpt_every_steps and state.step % training.ckpt_every_steps == 0
            if due and not self._epoch_is_over and state.step < self.total_steps:
                self._checkpoints.save(state, self.last_validation)

    def _end_epoch(self, log: RunLog) -> None:
        training, state = self.config.training, self.state
        is_best = False
        coverage = self._served.coverage(state.batch, self.ranks, whole=self._epoch_is_over)
        if coverage is not None:
            log.epoch(coverage, count_stream(self.train, self.ranks))
        wanted = state.step >= self.total_steps or (state.epoch + 1) % training.val_every_epochs == 0
        if self._validation is not None and wanted and state.validated_step != state.step:
            is_best = self._validate(self._validation, log)
        # A training that ends within an epoch stays in it: a longer one goes on from there.
        if self._epoch_is_over:
            state.epoch, state.batch = state.epoch + 1, 0
        self._tell_begun()
        self._checkpoints.save(state, self.last_validation, is_best=is_best)
        self._stop_if_asked()

    def _tell_begun(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun()

    @property
    def _epoch_is_over(self) -> bool:
        return self.state.batch + self.config.training.accumulate > self.train.num_steps

    def _validate(self, validation: Validation, log: RunLog) -> bool:
        """Evaluates and reports; true if this is the best model so far."""
        metrics, state = self.config.training.metrics, self.state
        started = time.perf_counter()
        figures, pictures = validation.run(log.warning)
        self._tell_begun()
        self.last_validation = {"step": state.step, **figures}
        state.validated_step = state.step
        value = monitored(figures, metrics)
        # No number (a split without balls) is never the best; of equals the later one has learned more.
        is_best = value == value and (state.best is None or value >= state.best)
        if is_best:
            state.best = value
        log.validation(
            figures, pictures.images(self.ranks), is_best=is_best, took_s=time.perf_counter() - started
        )
        return is_best

    # ------------------------------------------------------------ going on, and stopping

    def restore(self, state: TrainingState, tensors: dict[str, Any]) -> None:
        """Goes back to a checkpoint's state; the model's weights are loaded by the code that built it.

        Raises:
            UserError: other weights are trained than in the checkpoint.
        """
        self.learner.restore(tensors, steps_taken=state.step - state.skipped_steps)
        best_of = self.state.best_of
        self.state = state
        if state.best_of != best_of:
            # Another figure decides from here on: the old record says nothing of it.
            state.best, state.best_of = None, best_of
        self._checkpoints.saved_step = state.step
        self._served.restore(tensors.get("served"), state.epoch, state.batch, is_main=self.ranks.is_main)
        self.last_validation = dict(self.model.provenance.get("validation") or {})

    def _stop_if_asked(self) -> None:
        """Stops all ranks at the same step, whichever of them was asked."""
        asked = int(self.ranks.numbers(self._stop.signal or 0).max())
        if not asked:
            return
        if self.state.step > self._checkpoints.saved_step:
            self._checkpoints.save(self.state, self.last_validation)
        with self.ranks.on_all():
            raise self._interrupted(Signals(asked))

    def _stop_waiting(self) -> None:
        """A stop waits for a batch that is nearly there, not for a silent server; `fit` saves what is reached."""
        asked = self._stop.signal
        if asked is not None and self._stop.asked_for_s > _WAIT_FOR_DATA_S:
            raise self._interrupted(asked)

    def _interrupted(self, asked: Signals) -> Interrupted:
        assert self.run is not None
        command = f"python -m tracknet.scripts.train --resume {quote(str(self.run.path))}"
        if self.state.step == 0:
            return Interrupted(
                f"{asked.name} before the first step: nothing was trained and no checkpoint is written. Begin it with: "
                f"{command}"
            )
        return Interrupted(
            f"{asked.name} at step {self.state.step}; a checkpoint is written. Go on with: {command}"
        )
