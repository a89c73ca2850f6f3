"""Two processes train as one does: the same curve, one run folder, one end."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import SMALL
from tests.training.conftest import RunRanks, records
from tracknet.datasets.batch import Batch
from tracknet.datasets.index import open_split
from tracknet.scripts import evaluate, train
from tracknet.training.checkpoint import load_checkpoint
from tracknet.training.distributed import Ranks, step_seed
from tracknet.training.learner import Learner
from tracknet.training.metrics.prediction_file import read_predictions
from tracknet.training.run_log import StepReport
from tracknet.training.setup import prepare
from tracknet.utils.config import load_config
from tracknet.utils.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_WRONG_REQUEST,
    RunError,
    UserError,
    cli_main,
)

# Dropout draws other numbers on every rank; all else is the same however many there are.
PLAIN = ("model.backbone.config.hidden_dropout_prob=0", "training.log_every_steps=1")


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "last" / "model" / "model.safetensors")


def said(tmp_path: Path, rank: int) -> str:
    return (tmp_path / f"rank_{rank}.out").read_text()


def assert_same_training(one: Path, other: Path) -> None:
    """The same samples at every step, and losses, norms, metrics and weights within float tolerance."""
    for kind, exact, close in (
        ("train", ("step", "epoch", "lr", "found", "balls", "windows"), ("loss", "grad_norm", "peak")),
        ("val", ("step", "frames", "frames_with_ball", "f1"), ("l2_mean_px", "threshold")),
        ("epoch", ("step", "epoch", "windows_served", "seen_once"), ()),
    ):
        tables = [records(run, kind) for run in (one, other)]
        assert len(tables[0]) == len(tables[1]) > 0
        for a, b in zip(*tables, strict=True):
            assert [a[name] for name in exact] == [b[name] for name in exact]
            assert [a[name] for name in close] == pytest.approx(
                [b[name] for name in close], rel=1e-3, abs=1e-4
            )
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[name], b[name], rtol=1e-3, atol=1e-4) for name in a)


def on_rank(rank: int) -> bool:
    return os.environ.get("RANK") == str(rank)


@pytest.mark.parametrize("loss", ["quality_focal", "mse"])
def test_two_ranks_train_as_one_process(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, loss: str
) -> None:
    """With masked maps (frames without a ball), so that the ranks' parts of a batch weigh differently."""
    args = [*small_train_args, *PLAIN, f"training.loss.name={loss}", "training.max_steps=9"]
    if loss == "mse":
        args += ["training.accumulate=2", "model.backbone.freeze=true", "training.max_steps=5"]
    assert train.run([*args, "--name", "one"]) == 0
    assert run_ranks(lambda rank: cli_main(train.run, [*args, "--name", "two"])) == [0, 0], said(tmp_path, 0)
    runs = tmp_path / "runs"
    assert_same_training(runs / "one", runs / "two")
    # Everything is told and written once.
    assert sorted(path.name for path in runs.iterdir()) == ["one", "two"]
    assert len(list((runs / "two" / "tensorboard").iterdir())) == 1
    assert "over 2 processes" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""
    assert json.loads((runs / "two" / "run.json").read_text())["processes"] == 2


def test_gradients_travel_once_a_step(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

    def counted(rank: int) -> int:
        buckets = []

        # torch refuses a hook that is annotated otherwise than by its own classes.
        def hook(state, bucket):  # type: ignore[no-untyped-def]
            buckets.append(bucket.index())
            return allreduce_hook(None, bucket)

        make = Ranks.replica

        def replica(self: Ranks, model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
            made = make(self, model, device)
            made.register_comm_hook(None, hook)  # type: ignore[operator]
            return made

        Ranks.replica = replica  # type: ignore[method-assign]
        code = train.run(
            [*small_train_args, "--name", "few", "training.accumulate=4", "training.max_steps=2"]
        )
        # One bucket holds a model so small.
        return code or (0 if buckets.count(0) == 2 else 50 + buckets.count(0))

    assert run_ranks(counted) == [0, 0], said(tmp_path, 0)


def test_a_run_goes_on_with_another_number_of_ranks(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    """One process, then two with workers from the middle of an epoch, then one again: the same samples and curve."""
    args = [*small_train_args, *PLAIN, "training.scheduler.name=constant"]
    assert train.run([*args, "--name", "whole", "training.max_steps=14"]) == 0
    assert train.run([*args, "--name", "parts", "training.max_steps=5"]) == 0
    parts = str(tmp_path / "runs" / "parts")
    go_on = ["--resume", parts, "data.loader.workers=2", "training.max_steps=11"]
    assert run_ranks(lambda rank: cli_main(train.run, go_on)) == [0, 0], said(tmp_path, 0)
    assert train.run(["--resume", parts, "training.max_steps=14"]) == 0
    whole = records(tmp_path / "runs" / "whole", "train")
    again = records(Path(parts), "train")
    assert [(r["step"], r["epoch"], r["balls"]) for r in again] == [
        (r["step"], r["epoch"], r["balls"]) for r in whole
    ]
    assert [r["loss"] for r in again] == pytest.approx([r["loss"] for r in whole], rel=1e-3)
    ends = [
        (r["step"], r["since_step"], r["windows_seen"], r["seen_once"]) for r in records(Path(parts), "epoch")
    ]
    # What was served before a stop, by however many, is known after it.
    assert ends == [(5, 0, 20, True), (8, 0, 32, True), (11, 0, 12, True), (14, 0, 24, True)]
    assert "epoch 1: every window seen once: yes (32 of 32)" in said(tmp_path, 0)


def test_a_signal_to_one_rank_stops_all_at_the_same_step(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    def interrupted(rank: int) -> int:
        take = Learner.step

        def step_then_signal(self: Learner, batches: object, number: int) -> StepReport:
            report = take(self, batches, number)  # type: ignore[arg-type]
            if rank == 1 and number == 3:
                # torchrun and a batch system may both send one.
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
            return report

        Learner.step = step_then_signal  # type: ignore[method-assign,assignment]
        return cli_main(train.run, [*small_train_args, "--name", "stopped"])

    assert run_ranks(interrupted) == [EXIT_INTERRUPTED] * 2
    run = tmp_path / "runs" / "stopped"
    assert load_checkpoint(run / "checkpoints")[1].step == 3
    assert (
        f"SIGTERM at step 3; a checkpoint is written. Go on with: python -m tracknet.scripts.train --resume {run}"
        in (said(tmp_path, 0))
    )
    assert said(tmp_path, 1) == ""


def test_a_loss_that_is_no_number_on_one_rank_stops_all(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    """The samples named are those of that rank; the weights of the last good step are saved."""

    def poisoned(rank: int) -> int:
        take = Learner.step

        def step(self: Learner, batches: object, number: int) -> StepReport:
            if rank == 1 and number == 3:
                loss = self.gradients.loss
                per_map = loss.per_map
                loss.per_map = lambda *given: per_map(*given) * float("nan")  # type: ignore[method-assign]
            return take(self, batches, number)  # type: ignore[arg-type]

        Learner.step = step  # type: ignore[method-assign,assignment]
        return cli_main(train.run, [*small_train_args, "--name", "nan"])

    assert run_ranks(poisoned) == [EXIT_FAILED] * 2
    assert said(tmp_path, 1) == ""
    (line,) = [line for line in said(tmp_path, 0).splitlines() if line.startswith("error: ")]
    assert "the loss is nan at step 3, with samples game1_" in line
    # Two windows of a step are that rank's.
    assert line.count("game1_") == 2
    assert load_checkpoint(tmp_path / "runs" / "nan" / "checkpoints")[1].step == 2


def test_damaged_data_on_one_rank_stops_all(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    def damaged(rank: int) -> int:
        if rank == 1:
            make = Batch.over.__func__  # type: ignore[attr-defined]

            def over(cls: type[Batch], *args: object, step: int, **kwargs: object) -> Batch:
                if step == 2:
                    raise RunError("train-000.tar: game1_Clip1_0003 is damaged")
                return make(cls, *args, step=step, **kwargs)  # type: ignore[no-any-return]

            Batch.over = classmethod(over)  # type: ignore[method-assign,assignment]
        return cli_main(train.run, [*small_train_args, "--name", "bad"])

    assert run_ranks(damaged) == [EXIT_FAILED] * 2
    assert "error: train-000.tar: game1_Clip1_0003 is damaged" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""
    assert load_checkpoint(tmp_path / "runs" / "bad" / "checkpoints")[1].step == 2


@pytest.mark.parametrize("count", [2, 3])
def test_an_evaluation_by_ranks_is_that_of_one_process_to_the_last_digit(
    small_shards: Path, tmp_path: Path, run_ranks: RunRanks, count: int
) -> None:
    """Of a model whose frames are scored from all windows that see them, those of other ranks too."""
    torch.set_num_threads(1)
    overrides = [*SMALL, f"data.shards={small_shards}", "model.head.maps=all", "data.sequence.length=5"]
    config = load_config(data="tracknet", model="vit_tiny", training="cpu", overrides=overrides)
    prepare(config, say=lambda line: None).model.save_pretrained(tmp_path / "model")
    plain = ["--split", "val", "--no-report", "--batch-size", "4", "--workers", "0", "--resamples", "100"]
    args = [str(tmp_path / "model"), "--shards", str(small_shards), *plain]
    assert evaluate.run([*args, "--out", str(tmp_path / "one")]) == 0
    codes = run_ranks(lambda rank: cli_main(evaluate.run, [*args, "--out", str(tmp_path / "many")]), count)
    assert codes == [0] * count, said(tmp_path, 0)
    reports, predicted = [], []
    for name in ("one", "many"):
        report = json.loads((tmp_path / name / "metrics.json").read_text())
        reports.append(report)
        predicted.append(read_predictions(tmp_path / name / "predictions.parquet")[0])
    assert reports[1].pop("environment")["processes"] == count
    del reports[0]["environment"]
    assert reports[0] == reports[1]
    assert predicted[0].frames.keys == predicted[1].frames.keys
    for figures in ("xy_px", "score", "blob_score"):
        assert np.array_equal(*(getattr(one, figures) for one in predicted)), figures
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(
        path.name for path in (tmp_path / "many").iterdir()
    )
    assert "written: " in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""
    # A wrong request is refused once, and nobody waits.
    wrong = run_ranks(lambda rank: cli_main(evaluate.run, [*args, "--batch-size", "0"]), count)
    assert wrong == [EXIT_WRONG_REQUEST] * count
    assert "--batch-size must be at least 1" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""


def test_bad_frames_are_skipped_and_counted_over_all_ranks(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, run_ranks: RunRanks
) -> None:
    """Each once, though windows of two ranks need it; the same windows teach nothing as in one process."""
    shards = tmp_path / "damaged"
    shutil.copytree(small_shards, shards)
    whole = open_split(shards, "train")
    for row in (3, 17, 18):
        with (shards / whole.shard_names[whole.shard_id[row]]).open("r+b") as file:
            file.seek(int(whole.offset[row]) + 40)
            file.write(b"damaged")
    args = [*small_train_args, *PLAIN, "training.max_steps=8", "data.loader.on_bad_frame=skip"]
    args.append(f"data.shards={shards}")
    assert train.run([*args, "--name", "one"]) == 0
    assert run_ranks(lambda rank: cli_main(train.run, [*args, "--name", "two"])) == [0, 0], said(tmp_path, 0)
    ends = [records(tmp_path / "runs" / name, "epoch") for name in ("one", "two")]
    assert ends[0][0].pop("decodes_per_window") <= ends[1][0].pop("decodes_per_window")
    assert ends[0] == ends[1]
    assert (ends[0][0]["bad_frames"], ends[0][0]["windows_served"]) == (3, 32)
    assert ends[0][0]["windows_seen"] < 32 - 3
    steps = [[r["masked"] for r in records(tmp_path / "runs" / name, "train")] for name in ("one", "two")]
    assert steps[0] == steps[1]
    # One too many on either rank ends both, and so does one too many over both.
    some = [*args, "--name", "some", "data.loader.max_bad_frames=2"]
    assert run_ranks(lambda rank: cli_main(train.run, some)) == [EXIT_FAILED] * 2
    over = "3 bad frames(, over all 2 processes,)? are more than data.loader.max_bad_frames=2"
    assert re.search(over, said(tmp_path, 0)), said(tmp_path, 0)
    few = [*args, "--name", "few", "data.loader.max_bad_frames=1"]
    assert run_ranks(lambda rank: cli_main(train.run, few)) == [EXIT_FAILED] * 2
    assert "2 bad frames are more than data.loader.max_bad_frames=1" in said(tmp_path, 0)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_job_with_a_message(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, victim: int
) -> None:
    """And the one that is left saves what was reached."""

    def killed(rank: int) -> int:
        take = Learner.step

        def step_or_die(self: Learner, batches: object, number: int) -> StepReport:
            if rank == victim and number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return take(self, batches, number)  # type: ignore[arg-type]

        Learner.step = step_or_die  # type: ignore[method-assign,assignment]
        return cli_main(train.run, [*small_train_args, "--name", "killed"])

    started = time.monotonic()
    codes = run_ranks(killed)
    # Far below any timeout of a collective's; not a measurement.
    assert time.monotonic() - started < 60
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] == EXIT_FAILED
    (line,) = [line for line in said(tmp_path, 1 - victim).splitlines() if line.startswith("error: ")]
    lost = rf"error: rank {1 - victim} lost another process of this training: rank {victim} \(process \d+ on "
    assert re.match(lost + re.escape(platform.node()) + r"\)$", line)
    assert "third_party" not in said(tmp_path, 1 - victim)
    assert "go on with --resume (torch: " in said(tmp_path, 1 - victim)
    if victim == 1:
        assert load_checkpoint(tmp_path / "runs" / "killed" / "checkpoints")[1].step == 2


def test_wrong_requests_are_refused_once(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    odd = [*small_train_args, "--name", "odd", "training.batch_size=5"]
    assert run_ranks(lambda rank: cli_main(train.run, odd)) == [EXIT_WRONG_REQUEST] * 2
    assert "training.batch_size=5 windows cannot be split evenly over 2 processes" in said(tmp_path, 0)
    assert "set training.batch_size to 4 or 6" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""
    assert not (tmp_path / "runs").exists()


def test_ranks_that_read_other_data_are_refused(
    small_train_args: list[str], small_shards: Path, tmp_path: Path, run_ranks: RunRanks
) -> None:
    """Another build of the same frames, or fewer of its shards: no run begins, and nobody waits."""
    other = tmp_path / "other"
    shutil.copytree(small_shards, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "build_id": "f" * 64}))
    of_rank = [[], [f"data.shards={other}"]]
    codes = run_ranks(lambda rank: cli_main(train.run, [*small_train_args, "--name", "two", *of_rank[rank]]))
    assert codes == [EXIT_WRONG_REQUEST] * 2
    assert "error: the processes do not read the same data" in said(tmp_path, 0)
    built = manifest["build_id"][:12]
    assert f"rank 1: the build of the shards is {'f' * 12}, rank 0 has {built}" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""
    assert not (tmp_path / "runs").exists()
    # Of an evaluation too, by ranks of which one sees a part.
    config = load_config(data="tracknet", model="vit_tiny", training="cpu", overrides=small_train_args[4:])
    prepare(config, say=lambda line: None).model.save_pretrained(tmp_path / "model")
    args = [str(tmp_path / "model"), "--split", "val", "--batch-size", "4", "--workers", "0", "--shards"]
    folders = [str(small_shards), str(other)]
    codes = run_ranks(
        lambda rank: cli_main(evaluate.run, [*args, folders[rank], "--out", str(tmp_path / "e")])
    )
    assert codes == [EXIT_WRONG_REQUEST] * 2, said(tmp_path, 0)
    assert f"rank 1: the build of the shards is {'f' * 12}" in said(tmp_path, 0)


def test_the_dry_run_says_what_each_process_does(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks
) -> None:
    assert run_ranks(lambda rank: cli_main(train.run, [*small_train_args, "--dry-run"])) == [0, 0]
    assert "processes   2, each with 2 of a step's 4 windows" in said(tmp_path, 0)
    assert "nothing was written" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""


def test_ctrl_c_at_torchrun_stops_all_with_a_checkpoint(small_train_args: list[str], tmp_path: Path) -> None:
    """The documented command, with the program that people start it by."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    args = [*small_train_args, "--name", "run", "training.epochs=100000", "training.log_every_steps=1"]
    job = subprocess.Popen(
        [*command, "-m", "tracknet.train", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert job.stdout is not None
        seen = []
        for line in job.stdout:
            seen.append(line)
            if line.startswith("step 3/"):
                break
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=60)
    finally:
        job.kill()
    assert sum("over 2 processes" in line for line in seen) == 1
    assert err.count("a checkpoint is written. Go on with") == 1, out + err
    assert load_checkpoint(tmp_path / "runs" / "run" / "checkpoints")[1].step >= 3


def test_another_rank_draws_other_numbers() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in range(4)}
    assert len(seeds) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_alone_everything_is_plain() -> None:
    ranks = Ranks()
    assert ranks.alone
    assert ranks.is_main
    assert ranks.numbers(1, 2).tolist() == [[1, 2]]
    assert ranks.objects("mine") == ["mine"]
    assert ranks.agreed(lambda: 3) == 3
    with pytest.raises(UserError, match="mine"):
        ranks.agreed(lambda: (_ for _ in ()).throw(UserError("mine")))
    with pytest.raises(RuntimeError, match="gloo"), ranks.exchange():
        raise RuntimeError("gloo")
    model = torch.nn.Linear(1, 1)
    assert ranks.replica(model, torch.device("cpu")) is model
