"""A step in parts is the step; parts that memory does not hold are halved, or what to set is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import MakeTrainer, OutOfMemoryAbove, RunRanks, records, take_steps
from tracknet.scripts import train
from tracknet.utils.errors import EXIT_FAILED, RunError, UserError, cli_main


def test_auto_halves_and_takes_the_same_steps(
    small_trainer: MakeTrainer, out_of_memory_above: OutOfMemoryAbove
) -> None:
    whole = small_trainer("training.accumulate=2")
    steps = take_steps(whole, 3)
    seen = out_of_memory_above(2, "learning")
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
    small_trainer: MakeTrainer, out_of_memory_above: OutOfMemoryAbove
) -> None:
    out_of_memory_above(2, "learning")
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
    small_trainer: MakeTrainer, out_of_memory_above: OutOfMemoryAbove
) -> None:
    counted, seen = [], out_of_memory_above(2, "learning")
    for setting in ("2", "auto"):
        trainer = small_trainer(
            "model.heatmap.size=[96,48]", f"training.micro_batch={setting}", model="tracknet_v2"
        )
        take_steps(trainer, 1)
        norms = [part for part in trainer.model.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        assert norms and all(norm.num_batches_tracked == 2 for norm in norms)
        counted.append([buffer for norm in norms for buffer in norm.buffers()])
    # `auto` passed four windows through the model before it halved them.
    assert seen == [2, 2, 4, 2, 2]
    assert all(torch.equal(a, b) for a, b in zip(*counted, strict=True))


def test_a_run_says_that_it_halves_and_another_ends_cleanly(
    small_train_args: list[str], out_of_memory_above: OutOfMemoryAbove, capsys: pytest.CaptureFixture[str]
) -> None:
    out_of_memory_above(2, "learning")
    settings = ["training.max_steps=2", "training.log_every_steps=1"]
    assert (
        cli_main(train.run, [*small_train_args, *settings, "--name", "a", "training.micro_batch=auto"]) == 0
    )
    assert "warning: 4 windows at once do not fit into memory: going on with 2" in capsys.readouterr().out
    assert cli_main(train.run, [*small_train_args, *settings, "--name", "b"]) == EXIT_FAILED
    assert "remedy: set training.micro_batch=2 or auto" in capsys.readouterr().err


def test_ranks_agree_on_what_fits_the_smallest(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, out_of_memory_above: OutOfMemoryAbove
) -> None:
    """Each of two ranks has two windows of a batch; one has room for one."""
    settings = ["training.max_steps=2", "training.log_every_steps=1", "training.micro_batch=auto"]
    settings += ["model.backbone.config.hidden_dropout_prob=0"]
    args = [*small_train_args, *settings]
    assert train.run([*args, "--name", "one"]) == 0

    def little(rank: int) -> int:
        sizes = out_of_memory_above(1 if rank == 1 else 2, "learning")
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
