"""The rows of the training benchmark: which options each has on, and one training of each, taken in turns."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from benchmarks.device_speed import kept_for_backward
from tracknet.datasets.batch import Batch
from tracknet.training.acceleration import set_backends
from tracknet.training.look_ahead import batches_on
from tracknet.training.setup import prepare
from tracknet.training.trainer import Trainer
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.settings import Config

# Option -> the setting with it, and without.
OPTIONS = {
    "bf16": ("training.amp=bf16", "training.amp=off"),
    "tf32": ("training.speed.tf32=true", "training.speed.tf32=false"),
    "sdpa": ("training.speed.attention=sdpa", "training.speed.attention=eager"),
    "channels_last": ("training.speed.channels_last=true", "training.speed.channels_last=false"),
    "fused": ("training.speed.fused_optimizer=true", "training.speed.fused_optimizer=false"),
    "cudnn": ("training.speed.cudnn_benchmark=true", "training.speed.cudnn_benchmark=false"),
    "prefetch": ("training.speed.prefetch=true", "training.speed.prefetch=false"),
    "compile": ("training.compile=default", "training.compile=off"),
    "autotune": ("training.compile=max-autotune", ""),
    "checkpointing": ("training.gradient_checkpointing=true", "training.gradient_checkpointing=false"),
}
# Nothing changes on a CPU with these.
GPU_ONLY = ("tf32", "cudnn", "prefetch")
_STARTS = {
    "base": [off for _, off in OPTIONS.values() if off],
    # What configs/training/default.yaml says.
    "default": [],
    "all": ["training.compile=default"],
}
_SHARED = ("bf16", "sdpa", "channels_last", "fused", "compile", "checkpointing")
CPU_ROWS = ["base", *(f"base+{name}" for name in _SHARED), "default", "all"]
GPU_ROWS = [
    "base",
    *(f"base+{name}" for name in (*_SHARED, *GPU_ONLY)),
    "default",
    *(f"default-{name}" for name in ("sdpa", "channels_last", "fused", *GPU_ONLY)),
    "default+checkpointing",
    "all",
]


def overrides_of(row: str) -> list[str]:
    """The settings of a row: `base`, `default` or `all`, then `+OPTION` and `-OPTION`.

    Raises:
        UserError: no such row or option.
    """
    found = re.fullmatch(rf"({'|'.join(_STARTS)})((?:[+-][a-z0-9_]+)*)", row)
    changes = re.findall(r"([+-])([a-z0-9_]+)", found[2]) if found else []
    unknown = [name for _, name in changes if name not in OPTIONS]
    if found is None or unknown:
        raise UserError(
            f"there is no row {row}",
            remedy=f"write {', '.join(_STARTS)}, followed by +OPTION or -OPTION of {', '.join(OPTIONS)}",
        )
    return [*_STARTS[found[1]], *(OPTIONS[name][0 if sign == "+" else 1] for sign, name in changes)]


@dataclass
class Turn:
    """What some steps in a row took."""

    windows: int
    seconds: float
    worked_s: float
    data_s: float
    loss: float

    @property
    def windows_per_s(self) -> float:
        return self.windows / self.worked_s


@dataclass
class Row:
    """One training, as the product does it, and its turns."""

    name: str
    config: Config
    turns: list[Turn] = field(default_factory=list)
    memory_bytes: int = 0
    problem: str = ""

    def __post_init__(self) -> None:
        try:
            self.setup = setup = prepare(self.config, say=lambda line: None)
        except UserError as error:
            self.problem = error.what
            return
        self.trainer = Trainer(
            self.config, setup.model, setup.shards, setup.train, None, setup.precision, run=None
        )
        self.device = setup.precision.device
        # Of the model's products; float32 where amp is off.
        self.dtype = setup.precision.dtype or torch.float32
        self._step = self._epoch = 0

    def turn(self, steps: int, warm_up: int) -> None:
        """Takes `warm_up` steps and then `steps` that are timed; the loader starts anew."""
        set_backends(self.config.training.speed, self.device)
        self.setup.model.train()
        learner = self.trainer.learner
        ahead = batches_on(self.device, self._batches(), prefetch=self.config.training.speed.prefetch)
        learner.gradients.meanwhile = ahead.advance
        for _ in range(warm_up):
            learner.step(ahead, self._next())
        self._wait()
        resident = self._resident_bytes()
        others = torch.cuda.memory_allocated(self.device) - resident if self.device.type == "cuda" else 0
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        began, used_s = time.perf_counter(), time.process_time()
        reports = [learner.step(ahead, self._next()) for _ in range(steps)]
        self._wait()
        seconds, used_s = time.perf_counter() - began, time.process_time() - used_s
        if self.device.type == "cuda":
            self.memory_bytes = torch.cuda.max_memory_allocated(self.device) - others
        self.setup.train.close()
        windows = sum(report.windows for report in reports)
        # Of a CPU the process's own time, the loader's threads included: what else the machine does is not in it.
        worked_s = seconds if self.device.type == "cuda" else used_s
        self.turns.append(Turn(windows, seconds, worked_s, sum(r.data_s for r in reports), reports[-1].loss))

    def one_step(self) -> None:
        """A step that is not timed."""
        ahead = batches_on(self.device, self._batches(), prefetch=False)
        self.trainer.learner.gradients.meanwhile = ahead.advance
        self.trainer.learner.step(ahead, self._next())
        self.setup.train.close()

    def note_kept(self) -> None:
        """What a step keeps for its backward pass, in place of a GPU's peak; a row that cannot be had says so."""
        if self.problem:
            return
        try:
            self.memory_bytes = kept_for_backward(self.one_step)
        except UserError as error:
            self.problem = error.what

    def of_turns(self, figure: str) -> float:
        """The median over the turns."""
        values: list[float] = [getattr(turn, figure) for turn in self.turns]
        return statistics.median(values)

    @property
    def data_share(self) -> float:
        """Of all timed steps."""
        return sum(turn.data_s for turn in self.turns) / sum(turn.seconds for turn in self.turns)

    def _batches(self) -> Iterator[Batch]:
        while True:
            yield from self.setup.train.epoch(self._epoch)
            self._epoch += 1

    def _next(self) -> int:
        self._step += 1
        return self._step

    def _resident_bytes(self) -> int:
        """What this row holds between its steps."""
        learner, model = self.trainer.learner, self.setup.model
        held = [*model.parameters(), *model.buffers()]
        held += [p.grad for p in model.parameters() if p.grad is not None]
        held += [
            value
            for state in learner.tensors()["optimizer"]["state"].values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        ]
        return sum(tensor.nbytes for tensor in held)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def config_of(name: str, model: str, shards: str, overrides: Sequence[str]) -> Config:
    """What a row trains.

    Args:
        name: see `overrides_of`.
        model: a name in configs/model.
        shards: a folder of built shards.
        overrides: of all rows, `key=value`.
    """
    common = [f"data.shards={shards}", "training.max_steps=1000000", "training.scheduler.warmup_epochs=0"]
    common += ["training.optimizer.lr=1e-4"]
    return load_config(model=model, overrides=[*common, *overrides_of(name), *overrides])


def in_turns(rows: Sequence[Row], rounds: int, steps: int, warm_up: int, *, until: float) -> int:
    """All rows, one after the other in every round, in turned order in every other.

    A row that cannot be had says so and is left out from there on.

    Args:
        rows: of one benchmark.
        rounds: at most.
        steps: timed, of every turn.
        warm_up: steps before those; ten more before a row's first.
        until: by `time.monotonic`; no round begins after it.

    Returns:
        The rounds that were taken.
    """
    for number in range(rounds):
        if number and time.monotonic() > until:
            return number
        for row in list(rows)[:: 1 if number % 2 == 0 else -1]:
            if row.problem:
                continue
            try:
                row.turn(steps, warm_up)
            except UserError as error:
                row.problem = error.what
    return rounds
