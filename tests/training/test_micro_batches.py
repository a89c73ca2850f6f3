"""A batch in parts is the batch; what does not fit is halved, or said with what would fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import RunRanks, records, take_steps
from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.scripts import evaluate, train
from tracknet.training import weight_update
from tracknet.training.kept_statistics import KeptStatistics
from tracknet.training.micro_batches import MicroBatches, too_many, too_many_to_predict
from tracknet.training.trainer import Trainer
from tracknet.training.weight_update import HalfChanged
from tracknet.utils.errors import EXIT_FAILED, RunError, UserError, cli_main

GIB = 2**30
MakeTrainer = Callable[..., Trainer]


def batch_of(windows: int) -> Batch:
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


@given(st.integers(1, 64), st.integers(1, 80))
def test_parts_are_as_few_and_as_even_as_can_be(windows: int, size: int) -> None:
    parts = MicroBatches(size, windows).parts(batch_of(windows))
    lengths = [len(part) for part in parts]
    assert len(parts) == math.ceil(windows / size)
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert torch.cat([part.rows for part in parts]).flatten().tolist() == list(range(windows))


@given(st.integers(1, 64), st.one_of(st.integers(1, 80), st.just("auto"), st.none()))
def test_the_lengths_that_parts_may_have(windows: int, setting: Any) -> None:
    micro = MicroBatches(setting, windows)
    foretold, seen = micro.lengths(), set()
    while True:
        seen |= {len(part) for part in micro.parts(batch_of(windows))}
        if not micro.may_halve:
            break
        micro.halve()
    assert foretold == seen
    assert MicroBatches("auto", 7).lengths() == {7, 3, 4, 1, 2}


@given(st.integers(1, 100))
def test_halving_ends_at_one(windows: int) -> None:
    micro = MicroBatches("auto", windows)
    halvings = 0
    while micro.may_halve:
        micro.halve()
        halvings += 1
    assert micro.size == 1
    assert halvings == math.ceil(math.log2(windows))
    assert not MicroBatches(None, windows).may_halve
    assert not MicroBatches(windows, windows).may_halve


class Memory:
    """1 GiB of weights and half a GiB a window, of 10."""

    def __init__(self, limit_gib: float = 10.0, fixed_gib: float = 1.0, each_gib: float = 0.5) -> None:
        self.limit, self.fixed, self.each = limit_gib * GIB, fixed_gib * GIB, each_gib * GIB
        self.windows = 0
        self.released = 0

    def run(self, windows: int) -> None:
        self.windows = windows
        if self.fixed + windows * self.each > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def limit_bytes(self) -> int:
        return int(self.limit)

    def peak_bytes(self, work: Callable[[], object]) -> int:
        work()
        return int(self.fixed + self.windows * self.each)

    def release(self) -> None:
        self.released += 1


def test_what_would_fit_is_worked_out_from_two_probes() -> None:
    memory = Memory()
    error = too_many("CUDA out of memory.", 32, batch=32, memory=memory, run=memory.run)
    assert str(error).splitlines() == [
        "32 windows at once do not fit into memory: one takes 1.50 GiB, two 2.00 GiB, so 32 about 17.00 GiB of "
        "10.00 GiB (CUDA out of memory.)",
        # (0.95 * 10 - 1) / 0.5 = 17 windows; 32 in two parts are 16 each.
        "  remedy: set training.micro_batch=16 (the same step of 32 windows in 2 parts), or auto; less memory is taken "
        "with training.gradient_checkpointing=true, training.amp=bf16, model.backbone.freeze=true or a smaller "
        "data.resize",
    ]
    assert memory.released == 2
    # The optimizer's moments are to come: 4 GiB more leave (9.5 - 5) / 0.5 = 9 windows, 4 parts of 8.
    error = too_many("", 32, batch=32, memory=memory, run=memory.run, still_to_come_bytes=4 * GIB)
    assert "training.micro_batch=8 " in str(error.remedy)


@pytest.mark.parametrize(
    ("limit_gib", "says"), [(1.6, "training.micro_batch=1 "), (1.2, "less memory is taken")]
)
def test_what_hardly_fits_or_does_not(limit_gib: float, says: str) -> None:
    memory = Memory(limit_gib)
    error = too_many("CUDA out of memory.", 4, batch=4, memory=memory, run=memory.run)
    assert str(error.remedy).startswith((says, f"set {says}"))


def test_no_parts_are_advised_where_a_batch_cannot_be_cut() -> None:
    memory = Memory()
    error = too_many("CUDA out of memory.", 32, batch=32, memory=memory, run=memory.run, in_parts=False)
    assert "take batches of" in str(error.remedy) and "set training.micro_batch" not in str(error.remedy)


def test_one_window_that_does_not_fit_is_not_halved() -> None:
    memory = Memory(1.2)
    error = too_many("CUDA out of memory.", 1, batch=1, memory=memory, run=memory.run)
    assert error.what == "1 window at once does not fit into memory: CUDA out of memory."
    assert "micro_batch" not in str(error.remedy)


# ---------------------------------------------------------------- in a training


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Models run out of memory above 2 windows; the windows of every pass."""
    seen: list[int] = []
    forward = TrackNet.forward

    def limited(self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(len(frames))
        logits = forward(self, frames, features)
        if len(frames) > 2 and torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return logits

    monkeypatch.setattr(TrackNet, "forward", limited)
    return seen


def test_auto_halves_and_takes_the_same_steps(
    small_trainer: MakeTrainer, request: pytest.FixtureRequest
) -> None:
    whole = small_trainer("training.accumulate=2")
    steps = take_steps(whole, 3)
    seen = request.getfixturevalue("little_memory")
    halved = small_trainer("training.accumulate=2", "training.micro_batch=auto")
    again = take_steps(halved, 3)
    # One attempt with all 4 windows; then three steps of two batches in two parts.
    assert seen == [4] + [2] * 12
    for figure in ("loss", "grad_norm", "peak"):
        assert [getattr(s, figure) for s in again] == pytest.approx(
            [getattr(s, figure) for s in steps], rel=1e-5
        )
    assert [(s.windows, s.found, s.balls, s.masked) for s in again] == [
        (s.windows, s.found, s.balls, s.masked) for s in steps
    ]
    (note,) = halved.learner.gradients.notes
    assert note == (
        "4 windows at once do not fit into memory: going on with 2 at a time "
        "(training.micro_batch=2 spares the attempt)"
    )


def test_without_auto_it_is_an_error_and_the_weights_are_as_before(
    small_trainer: MakeTrainer, little_memory: list[int]
) -> None:
    trainer = small_trainer()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(
        RunError, match="4 windows at once do not fit into memory: CUDA out of memory"
    ) as raised:
        take_steps(trainer, 1)
    assert "more" not in raised.value.what
    assert raised.value.remedy == "set training.micro_batch=2 or auto"
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_an_attempt_that_failed_does_not_count_in_batch_statistics(
    small_trainer: MakeTrainer, little_memory: list[int]
) -> None:
    counted = []
    for setting in ("2", "auto"):
        trainer = small_trainer(f"training.micro_batch={setting}")
        norm = torch.nn.BatchNorm2d(8)
        trainer.model.head = torch.nn.Sequential(norm, trainer.model.head)  # type: ignore[assignment]
        trainer.learner.gradients._statistics = KeptStatistics(trainer.model)
        take_steps(trainer, 1)
        counted.append((norm.running_mean, norm.running_var, norm.num_batches_tracked))
    # `auto` passed four windows through the model before it halved them.
    assert little_memory == [2, 2, 4, 2, 2]
    assert all(torch.equal(a, b) for a, b in zip(*counted, strict=True))  # type: ignore[arg-type]
    assert counted[0][2] == 2


def test_a_run_says_that_it_halves_and_another_ends_cleanly(
    small_train_args: list[str], little_memory: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["training.max_steps=2", "training.log_every_steps=1"]
    assert (
        cli_main(train.run, [*small_train_args, *settings, "--name", "a", "training.micro_batch=auto"]) == 0
    )
    assert "warning: 4 windows at once do not fit into memory: going on with 2" in capsys.readouterr().out
    assert cli_main(train.run, [*small_train_args, *settings, "--name", "b"]) == EXIT_FAILED
    assert "remedy: set training.micro_batch=2 or auto" in capsys.readouterr().err


def test_ranks_agree_on_what_fits_the_smallest(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    """Each of two ranks has two windows of a batch; one has room for one."""
    settings = ["training.max_steps=2", "training.log_every_steps=1", "training.micro_batch=auto"]
    settings += ["model.backbone.config.hidden_dropout_prob=0"]
    args = [*small_train_args, *settings]
    assert train.run([*args, "--name", "one"]) == 0

    def little(rank: int) -> int:
        forward, sizes = TrackNet.forward, []

        def limited(
            self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None
        ) -> torch.Tensor:
            if torch.is_grad_enabled():
                sizes.append(len(frames))
                if rank == 1 and len(frames) > 1:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(self, frames, features)

        TrackNet.forward = limited  # type: ignore[method-assign]
        code = train.run([*args, "--name", "two"])
        # The trial of all, on one rank a second one, and two steps of two parts.
        return code or (0 if sizes == ([2] if rank == 0 else [2, 1]) + [1] * 4 else 70)

    assert run_ranks(little) == [0, 0], (tmp_path / "rank_0.out").read_text()
    one, two = (
        [line["loss"] for line in records(tmp_path / "runs" / name, "train")] for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=1e-4)
    assert np.isfinite(one).all()


def test_an_impossible_size_is_refused(small_train_args: list[str]) -> None:
    for value, says in (
        ("0", "must be at least 1, got 0"),
        ("some", "needs a whole number or auto, got 'some'"),
    ):
        with pytest.raises(UserError, match="1 problem") as refused:
            train.run([*small_train_args, f"training.micro_batch={value}"])
        assert refused.value.problems == (f"training.micro_batch (command line): {says}",)


# ---------------------------------------------------------------- where nothing is learned: validation, AdamW, evaluate


@pytest.fixture
def little_to_evaluate(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Models in evaluation run out of memory above 2 windows; the windows of every pass of one."""
    seen: list[int] = []
    forward = TrackNet.forward

    def limited(self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        if not self.training:
            seen.append(len(frames))
            if len(frames) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
        return forward(self, frames, features)

    monkeypatch.setattr(TrackNet, "forward", limited)
    return seen


def test_validation_goes_in_parts_as_training_does(
    small_train_args: list[str], tmp_path: Path, request: pytest.FixtureRequest, capsys
) -> None:
    args = [*small_train_args, "training.max_steps=2", "model.backbone.config.hidden_dropout_prob=0"]
    assert cli_main(train.run, [*args, "--name", "whole"]) == 0
    seen = request.getfixturevalue("little_to_evaluate")
    for setting, passes in (("2", []), ("auto", [4])):
        seen.clear()
        capsys.readouterr()
        assert cli_main(train.run, [*args, "--name", setting, f"training.micro_batch={setting}"]) == 0
        # `auto` finds out at the first batch, once.
        assert seen[: len(passes)] == passes and max(seen[len(passes) :]) == 2
        told = "warning: 4 windows at once do not fit into memory: evaluating 2 at a time from here on"
        assert (told in capsys.readouterr().out) == (setting == "auto")
        (whole,), (parts,) = (records(tmp_path / "runs" / name, "val") for name in ("whole", setting))
        assert parts["pck@10px"] == pytest.approx(whole["pck@10px"], abs=1e-6)
        assert parts["l2_mean_px"] == pytest.approx(whole["l2_mean_px"], rel=1e-4)


def test_a_validation_that_does_not_fit_loses_no_step(
    small_train_args: list[str], tmp_path: Path, little_to_evaluate: list[int], capsys
) -> None:
    run = tmp_path / "runs" / "big"
    assert cli_main(train.run, [*small_train_args, "training.epochs=1", "--name", "big"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert said.startswith("error: 4 windows at once do not fit into memory: CUDA out of memory")
    assert f"remedy: set training.micro_batch=2 or auto, and go on with --resume {run}" in said
    (saved,) = (run / "checkpoints").glob("step_*")
    steps = int(saved.name.removeprefix("step_"))
    assert steps > 1 and not records(run, "val")
    assert cli_main(train.run, ["--resume", str(run), "training.micro_batch=2"]) == 0
    assert [line["step"] for line in records(run, "val")] == [steps]


def test_no_room_for_the_moments_changes_no_weight(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(weights: list[torch.Tensor]) -> None:
        if weights:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    trainer = small_trainer()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with monkeypatch.context() as patch:
        patch.setattr(weight_update, "reserve_moments", full)
        with pytest.raises(
            RunError, match=r"optimizer's 2 moments of .* weights .* CUDA out of memory"
        ) as told:
            take_steps(trainer, 1)
    assert not isinstance(told.value, HalfChanged) and "model.backbone.freeze=true" in str(told.value.remedy)
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    # Moments that are there need no room.
    take_steps(trainer, 1)
    monkeypatch.setattr(weight_update, "reserve_moments", full)
    take_steps(trainer, 1)


@pytest.mark.parametrize("half", [False, True])
def test_memory_that_runs_out_after_some_steps(
    small_train_args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool, capsys
) -> None:
    """Weights that are half changed are not kept; anything else is."""
    place, name = (torch.optim.AdamW, "step") if half else (torch.nn.utils, "clip_grad_norm_")
    real, calls = getattr(place, name), []

    def limited(*args: object, **how: object) -> object:
        calls.append(name)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, **how)

    monkeypatch.setattr(place, name, limited)
    settings = [
        "training.max_steps=4",
        "training.ckpt_every_steps=1" if half else "training.micro_batch=auto",
    ]
    assert cli_main(train.run, [*small_train_args, *settings, "--name", "a"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert ("some of the weights changed" in said) == half
    assert half or "error: memory ran out at step 2: CUDA out of memory." in said
    assert max(path.name for path in (tmp_path / "runs" / "a" / "checkpoints").glob("step_*")).endswith("2")


def test_evaluate_says_the_batch_that_fits(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, request: pytest.FixtureRequest, capsys
) -> None:
    assert cli_main(train.run, [*small_train_args, "training.max_steps=1", "--name", "a"]) == 0
    request.getfixturevalue("little_to_evaluate")
    args = [str(tmp_path / "runs" / "a"), "--shards", str(small_shards), "--batch-size"]
    assert cli_main(evaluate.run, [*args, "4"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "4 windows at once do not fit into memory: CUDA" in said and "remedy: set --batch-size 2" in said
    assert cli_main(evaluate.run, [*args, "2"]) == 0


def test_what_can_be_evaluated_is_measured_where_memory_is_counted() -> None:
    memory = Memory()
    error = too_many_to_predict(
        "full", 32, memory=memory, run=memory.run, set_windows="--batch-size {}".format
    )
    # (0.95 * 10 - 1) / 0.5 = 17 windows.
    assert error.remedy == "set --batch-size 17"
    assert "so 32 about 17.00 GiB of 10.00 GiB (full)" in error.what


@pytest.mark.parametrize("setting", ["auto", "null"])
def test_a_rank_that_cannot_validate_ends_all_with_a_checkpoint_or_halves(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, setting: str
) -> None:
    args = [*small_train_args, "training.max_steps=2", f"training.micro_batch={setting}", "--name", "two"]

    def little(rank: int) -> int:
        forward = TrackNet.forward

        def limited(
            self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None
        ) -> torch.Tensor:
            if rank == 1 and not self.training and len(frames) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(self, frames, features)

        TrackNet.forward = limited  # type: ignore[method-assign]
        return cli_main(train.run, args)

    code = 0 if setting == "auto" else EXIT_FAILED
    said = run_ranks(little), (tmp_path / "rank_0.out").read_text()
    assert said[0] == [code, code], said[1]
    assert ("remedy: set training.micro_batch=1 or auto, and go on with --resume" in said[1]) == (code != 0)
    (saved,) = (tmp_path / "runs" / "two" / "checkpoints").glob("step_*")
    assert saved.name.endswith("2")
