"""Trainers of seconds, and real processes that train together, forked from the test's to spare them the imports."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.scripts import train
from tracknet.training.run_log import StepReport
from tracknet.training.setup import prepare
from tracknet.training.trainer import Trainer
from tracknet.utils.config import load_config

MakeTrainer = Callable[..., Trainer]
RunRanks = Callable[..., "list[int]"]
OutOfMemoryAbove = Callable[[int, Literal["learning", "evaluating"]], "list[int]"]
# For a rank that hangs; generous, for a machine with other work.
_RANKS_LIMIT_S = 240.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def run_ranks(tmp_path: Path) -> RunRanks:
    """`run_ranks(work, count=2) -> exit codes`: `work(rank) -> code` in processes as torchrun sets them up.

    What rank r prints lies in `tmp_path/rank_r.out`. A rank that does not return fails the test, with what all printed.
    """

    def start(work: Callable[[int], int], count: int = 2, limit_s: float = _RANKS_LIMIT_S) -> list[int]:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
        children = []
        for rank in range(count):
            child = os.fork()
            if child == 0:
                code = 99
                try:
                    out = os.open(tmp_path / f"rank_{rank}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                    for stream in (1, 2):
                        os.dup2(out, stream)
                    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
                    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
                    os.environ.update(place, RANK=str(rank), LOCAL_RANK=str(rank))
                    code = work(rank)
                except SystemExit as left:
                    code = int(left.code or 0)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            children.append(child)
        codes = wait_for(children, limit_s)
        if None in codes:
            outputs = [
                f"rank_{rank}.out:\n{(tmp_path / f'rank_{rank}.out').read_text()}" for rank in range(count)
            ]
            pytest.fail("\n".join([f"after {limit_s:.0f} s these ranks have ended: {codes}", *outputs]))
        return [code for code in codes if code is not None]

    return start


def wait_for(children: list[int], limit_s: float) -> list[int | None]:
    """The exit codes of child processes; all that still run after so many seconds are killed, and `None` is theirs."""
    codes: dict[int, int] = {}
    deadline_s = time.monotonic() + limit_s
    try:
        while len(codes) < len(children) and time.monotonic() < deadline_s:
            for child in children:
                if child not in codes and (ended := os.waitpid(child, os.WNOHANG))[0]:
                    codes[child] = os.waitstatus_to_exitcode(ended[1])
            time.sleep(0.02)
    finally:
        for child in children:
            if child not in codes:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
    return [codes.get(child) for child in children]


@pytest.fixture
def small_trainer(small_train_args: list[str]) -> MakeTrainer:
    """`small_trainer("key=value", ..., model="vit_tiny") -> Trainer` without a run folder, nor dropout, nor
    augmentation.
    """

    def make(*settings: str, model: str = "vit_tiny") -> Trainer:
        plain = [arg for arg in small_train_args if "=" in arg]
        plain += ["model.backbone.config.hidden_dropout_prob=0", "data.augment.enabled=false"]
        if model != "vit_tiny":
            plain = [arg for arg in plain if not arg.startswith("model.")]
        config = load_config(model=model, training="cpu", overrides=[*plain, *settings])
        setup = prepare(config, say=lambda line: None)
        return Trainer(config, setup.model, setup.shards, setup.train, None, setup.precision, run=None)

    return make


@pytest.fixture
def out_of_memory_above(monkeypatch: pytest.MonkeyPatch) -> OutOfMemoryAbove:
    """`out_of_memory_above(windows, "learning" or "evaluating") -> passes`: from now on memory runs out in models that
    are given more windows than that at once, after their forward pass; `passes` gets the windows of each such pass.
    """

    def begin(windows: int, when: Literal["learning", "evaluating"]) -> list[int]:
        passes: list[int] = []
        forward = TrackNet.forward

        def limited(
            self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None
        ) -> torch.Tensor:
            logits = forward(self, frames, features)
            if torch.is_grad_enabled() if when == "learning" else not self.training:
                passes.append(len(frames))
                if len(frames) > windows:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
            return logits

        monkeypatch.setattr(TrackNet, "forward", limited)
        return passes

    return begin


def batch_of(windows: int) -> Batch:
    """So many windows, whose tensors hold each window's number."""
    number = torch.arange(windows)
    return Batch(
        frames=number[:, None],
        heatmaps=number[:, None],
        weights=number[:, None],
        xy_px=number[:, None],
        visibility=number[:, None],
        to_frame=number[:, None],
        late_matrix=torch.eye(3, dtype=torch.float64).repeat(windows, 1, 1),
        late_colour=torch.eye(3, 4, dtype=torch.float64).repeat(windows, 1, 1),
        rows=number[:, None],
        valid=number >= 0,
        padded=number < 0,
    )


def take_steps(trainer: Trainer, count: int) -> list[StepReport]:
    """The first steps of the first epoch."""
    batches = trainer.train.epoch()
    trainer.model.train()
    return [trainer.learner.step(batches, number) for number in range(1, count + 1)]


def run_name(args: list[str], name: str, *more: str) -> Path:
    assert train.run([*args, "--name", name, *more]) == 0
    return runs_of(args) / name


def runs_of(args: list[str]) -> Path:
    return next(Path(arg.partition("=")[2]) for arg in args if arg.startswith("training.log_dir="))


def records(run: Path, kind: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]
