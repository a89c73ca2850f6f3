"""Validation and `evaluate` go in parts that memory holds; where they do not fit, what would is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.conftest import OutOfMemoryAbove, RunRanks, records
from tracknet.scripts import evaluate, train
from tracknet.utils.errors import EXIT_FAILED, cli_main


def test_validation_goes_in_parts_as_training_does(
    small_train_args: list[str], tmp_path: Path, out_of_memory_above: OutOfMemoryAbove, capsys
) -> None:
    args = [*small_train_args, "training.max_steps=2", "model.backbone.config.hidden_dropout_prob=0"]
    assert cli_main(train.run, [*args, "--name", "whole"]) == 0
    seen = out_of_memory_above(2, "evaluating")
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
    small_train_args: list[str], tmp_path: Path, out_of_memory_above: OutOfMemoryAbove, capsys
) -> None:
    out_of_memory_above(2, "evaluating")
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


def test_evaluate_says_the_batch_that_fits(
    small_train_args: list[str],
    small_shards: Path,
    tmp_path: Path,
    out_of_memory_above: OutOfMemoryAbove,
    capsys,
) -> None:
    assert cli_main(train.run, [*small_train_args, "training.max_steps=1", "--name", "a"]) == 0
    out_of_memory_above(2, "evaluating")
    args = [str(tmp_path / "runs" / "a"), "--shards", str(small_shards), "--batch-size"]
    assert cli_main(evaluate.run, [*args, "4"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "4 windows at once do not fit into memory: CUDA" in said and "remedy: set --batch-size 2" in said
    assert cli_main(evaluate.run, [*args, "2"]) == 0


@pytest.mark.parametrize("setting", ["auto", "null"])
def test_a_rank_that_cannot_validate_ends_all_with_a_checkpoint_or_halves(
    small_train_args: list[str],
    tmp_path: Path,
    run_ranks: RunRanks,
    out_of_memory_above: OutOfMemoryAbove,
    setting: str,
) -> None:
    args = [*small_train_args, "training.max_steps=2", f"training.micro_batch={setting}", "--name", "two"]

    def little(rank: int) -> int:
        if rank == 1:
            out_of_memory_above(1, "evaluating")
        return cli_main(train.run, args)

    code = 0 if setting == "auto" else EXIT_FAILED
    said = run_ranks(little), (tmp_path / "rank_0.out").read_text()
    assert said[0] == [code, code], said[1]
    assert ("remedy: set training.micro_batch=1 or auto, and go on with --resume" in said[1]) == (code != 0)
    (saved,) = (tmp_path / "runs" / "two" / "checkpoints").glob("step_*")
    assert saved.name.endswith("2")
