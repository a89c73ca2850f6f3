"""A training that stops loses nothing, and goes on bit for bit."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import records, run_name, runs_of
from tracknet.datasets.reader import Frame, ShardReader
from tracknet.scripts import train
from tracknet.training.checkpoint import load_checkpoint
from tracknet.training.checkpoint_writer import CheckpointWriter
from tracknet.training.learner import Learner
from tracknet.training.pictures import OverlayCollector
from tracknet.training.run_folder import RunFolder
from tracknet.training.run_log import StepReport
from tracknet.training.stop import StopRequest
from tracknet.utils.errors import EXIT_INTERRUPTED, Interrupted, RunError, UserError, cli_main


def interrupt_after(
    monkeypatch: pytest.MonkeyPatch, steps: int, number: signal.Signals = signal.SIGTERM
) -> None:
    """A signal arrives during the given step."""
    take = Learner.step

    def step_then_signal(self: Learner, batches: object, taken: int) -> StepReport:
        report = take(self, batches, taken)  # type: ignore[arg-type]
        if taken == steps:
            os.kill(os.getpid(), number)
        return report

    monkeypatch.setattr(Learner, "step", step_then_signal)


@pytest.mark.parametrize("stop_at", [5, 8, 16])
def test_stop_and_resume_equals_an_undisturbed_run(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch, stop_at: int
):
    settings = ["training.epochs=2", "training.log_every_steps=1", "training.metrics.monitor=l2"]
    whole = run_name(small_train_args, "whole", *settings)
    with monkeypatch.context() as patch:
        interrupt_after(patch, stop_at)
        with pytest.raises(Interrupted, match=f"SIGTERM at step {stop_at}"):
            train.run([*small_train_args, "--name", "parts", *settings])
    parts = runs_of(small_train_args) / "parts"
    assert load_checkpoint(parts / "checkpoints")[1].step == stop_at
    torch.manual_seed(123)  # whatever happened in between must not matter
    assert train.run(["--resume", str(parts)]) == 0

    for step in ("best", "last"):
        folders = [run / "checkpoints" / step for run in (whole, parts)]
        weights = [load_file(folder / "model" / "model.safetensors") for folder in folders]
        assert weights[0].keys() == weights[1].keys()
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    states = [load_checkpoint(run / "checkpoints")[2]["optimizer"]["state"] for run in (whole, parts)]
    for key in states[0]:
        assert torch.equal(states[0][key]["exp_avg"], states[1][key]["exp_avg"])
    for kind, figures in (
        ("train", ["step", "epoch", "loss", "lr", "grad_norm"]),
        ("val", ["step", "l2_mean_px"]),
    ):
        tables = [[[r[f] for f in figures] for r in records(run, kind)] for run in (whole, parts)]
        assert tables[0] == tables[1]


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_run_as_its_last_checkpoint(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch, capsys
):
    name = ["--name", "twice", "training.ckpt_every_steps=2", "data.loader.mode=processes"]
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3, signal.SIGINT)
        # The second comes before the step that the first waits for has ended.
        note = StopRequest.note

        def twice(self: StopRequest, number: int, frame: object) -> None:
            first = self.signal is None
            note(self, number, None)
            if first:
                os.kill(os.getpid(), number)

        patch.setattr(StopRequest, "note", twice)
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert cli_main(train.run, [*small_train_args, *name]) == EXIT_INTERRUPTED
    said = capsys.readouterr()
    assert "stopping after this step, with a checkpoint (Ctrl-C again: at once, without)" in said.out
    assert said.err.endswith("stopped: interrupted\n")
    run = runs_of(small_train_args) / "twice"
    assert load_checkpoint(run / "checkpoints")[1].step == 2
    # Nothing is left behind: no worker, no handler, no lock.
    assert not multiprocessing.active_children()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert train.run(["--resume", str(run), "training.max_steps=4"]) == 0


def test_a_training_in_another_thread_than_the_main_one_is_one_that_no_signal_stops(
    small_train_args: list[str],
):
    codes: list[int] = []
    args = [*small_train_args, "--name", "thread", "training.max_steps=1"]
    thread = threading.Thread(target=lambda: codes.append(train.run(args)))
    thread.start()
    thread.join()
    assert codes == [0]
    assert load_checkpoint(runs_of(small_train_args) / "thread" / "checkpoints")[1].step == 1


def test_a_stop_during_the_last_validation_is_made_good(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(
            OverlayCollector, "take", lambda self, step, batch, logits: os.kill(os.getpid(), signal.SIGTERM)
        )
        with pytest.raises(Interrupted, match="at step 2"):
            train.run([*small_train_args, "--name", "val", "training.max_steps=2"])
    run = runs_of(small_train_args) / "val"
    assert not records(run, "val")
    assert train.run(["--resume", str(run)]) == 0
    assert [r["step"] for r in records(run, "val")] == [2]
    # What the epoch served was told before the stop.
    assert len(records(run, "epoch")) == 1
    assert (run / "checkpoints" / "best").readlink() == Path("step_000002")


def test_a_stop_does_not_wait_for_data_that_does_not_come(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    read, reads = ShardReader.read, iter(range(40))

    def silent(self: ShardReader, row: int) -> Frame:
        if next(reads, None) is None:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                self.check_stop()
                time.sleep(0.05)
        return read(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(ShardReader, "read", silent)
        with pytest.raises(Interrupted, match=r"SIGTERM at step (\d+); a checkpoint is written"):
            train.run([*small_train_args, "--name", "silent", "data.loader.workers=0"])
    run = runs_of(small_train_args) / "silent"
    reached = load_checkpoint(run / "checkpoints")[1].step
    assert reached > 0
    assert train.run(["--resume", str(run), f"training.max_steps={reached + 8}"]) == 0
    assert records(run, "epoch")[0]["since_step"] == 0


def test_a_validation_that_a_kill_made_vain_is_told_once(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(
            OverlayCollector, "take", lambda self, step, batch, logits: os.kill(os.getpid(), signal.SIGTERM)
        )
        with pytest.raises(Interrupted, match="at step 10"):
            train.run(
                [*small_train_args, "--name", "val", "training.max_steps=10", "training.val_every_epochs=5"]
            )
    run = runs_of(small_train_args) / "val"
    config = (run / "config.yaml").read_text()
    with monkeypatch.context() as patch:
        # Its settings are not the run's before they have served for anything.
        patch.setattr(OverlayCollector, "take", kill)
        with pytest.raises(Killed):
            train.run(["--resume", str(run), "training.micro_batch=1"])
    assert (run / "config.yaml").read_text() == config
    with monkeypatch.context() as patch:
        # Told of, and not saved.
        patch.setattr(CheckpointWriter, "save", kill)
        with pytest.raises(Killed):
            train.run(["--resume", str(run)])
    assert [r["step"] for r in records(run, "val")] == [10]
    assert train.run(["--resume", str(run)]) == 0
    assert [r["step"] for r in records(run, "val")] == [10]
    # One that a checkpoint knows of stays.
    assert train.run(["--resume", str(run), "training.max_steps=11"]) == 0
    assert [r["step"] for r in records(run, "val")] == [10, 11]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b'{"resumed": 1}'])
def test_a_damaged_record_of_what_the_run_is_changes_nothing(small_train_args: list[str], content: bytes):
    run = run_name(small_train_args, "damaged", "training.max_steps=2")
    (run / "run.json").write_bytes(content)
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(UserError, match=r"run\.json is damaged") as caught:
        train.run(["--resume", str(run), "training.max_steps=3"])
    assert (run / "config.yaml").read_bytes() == before
    assert "move it away" in str(caught.value.remedy)
    (run / "run.json").unlink()
    assert train.run(["--resume", str(run), "training.max_steps=3"]) == 0
    assert [part["step"] for part in json.loads((run / "run.json").read_text())["resumed"]] == [2]


def test_settings_that_nothing_was_trained_with_leave_the_run_as_it_was(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run = run_name(small_train_args, "kept", "training.max_steps=2", "training.log_every_steps=1")
    # Of a step that a kill had taken from the checkpoints.
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 3}\n')
    before = {name: (run / name).read_bytes() for name in ("config.yaml", "run.json", "metrics.jsonl")}
    change = ["training.max_steps=4", "training.loss.name=mse"]

    def fails(self: Learner, batches: object, taken: int) -> StepReport:
        raise RunError("4 windows at once do not fit into memory")

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", fails)
        with pytest.raises(RunError, match="do not fit"):
            train.run(["--resume", str(run), *change])
    assert {name: (run / name).read_bytes() for name in before} == before
    assert (
        f"note: nothing was trained with {' '.join(change)}: {run / 'config.yaml'} is as it was"
        in capsys.readouterr().out
    )
    # From the first step on it is what the run is, whatever comes then.
    interrupt_after(monkeypatch, 3)
    with pytest.raises(Interrupted, match="at step 3"):
        train.run(["--resume", str(run), *change])
    assert "nothing was trained" not in capsys.readouterr().out
    assert "name: mse" in (run / "config.yaml").read_text()
    assert json.loads((run / "run.json").read_text())["resumed"][0]["step"] == 2
    assert [r["step"] for r in records(run, "train")] == [1, 2, 3]


def test_a_run_that_failed_before_its_first_checkpoint_begins_by_its_name(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    settings = ["training.max_steps=3", "training.log_every_steps=1"]
    whole = run_name(small_train_args, "whole", *settings)
    with monkeypatch.context() as patch:

        def fails(self: Learner, batches: object, taken: int) -> StepReport:
            raise RuntimeError("whatever it may be")

        patch.setattr(Learner, "step", fails)
        with pytest.raises(RuntimeError, match="whatever"):
            train.run([*small_train_args, "--name", "failed", *settings])
    run = runs_of(small_train_args) / "failed"
    with pytest.raises(UserError, match=f"go on with that one .--resume {run}"):
        train.run([*small_train_args, "--name", "failed", *settings])
    torch.manual_seed(123)
    assert train.run(["--resume", str(run)]) == 0
    assert f"{run} holds no checkpoint yet: it begins at step 0" in capsys.readouterr().out
    weights = [
        load_file(one / "checkpoints" / "last" / "model" / "model.safetensors") for one in (whole, run)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert [r["loss"] for r in records(run, "train")] == [r["loss"] for r in records(whole, "train")]


def test_a_run_whose_checkpoints_were_deleted_is_not_trained_again_over_its_records(
    small_train_args: list[str],
):
    run = run_name(small_train_args, "lost", "training.max_steps=3", "training.log_every_steps=1")
    shutil.rmtree(run / "checkpoints")
    before = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="was trained to step 3 and has lost its checkpoints") as caught:
        train.run(["--resume", str(run)])
    assert f"move {run / 'metrics.jsonl'} away" in str(caught.value.remedy)
    assert (run / "metrics.jsonl").read_bytes() == before
    # As the remedy says.
    (run / "metrics.jsonl").rename(run / "metrics-old.jsonl")
    assert train.run(["--resume", str(run)]) == 0
    assert [r["step"] for r in records(run, "train")] == [1, 2, 3]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    class Killed(BaseException):
        pass

    def kill(*args: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointWriter, "save", kill)
        with pytest.raises(Killed):
            run_name(small_train_args, "killed", "training.max_steps=3", "training.log_every_steps=1")
    run = runs_of(small_train_args) / "killed"
    # Validated too, and no checkpoint was ever written.
    assert [r["step"] for r in records(run, "train")] == [1, 2, 3]
    assert [r["step"] for r in records(run, "val")] == [3]
    assert train.run(["--resume", str(run)]) == 0
    assert [r["step"] for r in records(run, "train")] == [1, 2, 3]


@pytest.mark.parametrize(("trained", "lost"), [(8, False), (9, True)])
def test_a_run_older_than_records_of_checkpoints_had_one_where_it_went_on_after_an_epoch(
    tmp_path: Path, trained: int, lost: bool
):
    run = RunFolder(tmp_path)
    for kind, step in (("train", 8), ("epoch", 8), ("val", 8), ("train", trained)):
        run.log({"kind": kind, "step": step})
    with pytest.raises(UserError, match="trained to step 9") if lost else nullcontext():
        run.refuse_lost_checkpoints()


def test_checkpoints_on_a_disk_that_is_gone_are_not_taken_for_none(
    small_train_args: list[str], tmp_path: Path
):
    run = run_name(
        small_train_args, "far", f"training.ckpt_dir={tmp_path / 'elsewhere'}", "training.max_steps=1"
    )
    (tmp_path / "elsewhere").rename(tmp_path / "unplugged")
    with pytest.raises(UserError, match="elsewhere/far, which is not there"):
        train.run(["--resume", str(run), "training.max_steps=2"])


def test_a_stop_before_the_first_step_promises_no_checkpoint(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
):
    def silent(self: ShardReader, row: int) -> Frame:
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            self.check_stop()
            time.sleep(0.05)

    with monkeypatch.context() as patch:
        patch.setattr(ShardReader, "read", silent)
        with pytest.raises(Interrupted, match="SIGINT before the first step: nothing was trained") as caught:
            train.run([*small_train_args, "--name", "early", "data.loader.workers=0"])
    run = runs_of(small_train_args) / "early"
    assert f"Begin it with: python -m tracknet.scripts.train --resume {run}" in str(caught.value)
    assert not list(run.glob("checkpoints/step_*"))
    assert train.run(["--resume", str(run), "training.max_steps=1"]) == 0
    assert load_checkpoint(run / "checkpoints")[1].step == 1


def test_a_longer_max_steps_goes_on_within_the_epoch(small_train_args: list[str]):
    constant = [
        "training.scheduler.name=constant",
        "training.scheduler.warmup_epochs=0",
        "training.log_every_steps=1",
    ]
    whole = run_name(small_train_args, "whole", *constant, "training.max_steps=10")
    parts = run_name(small_train_args, "parts", *constant, "training.max_steps=5")
    assert train.run(["--resume", str(parts), "training.max_steps=10"]) == 0
    losses = [[(r["step"], r["epoch"], r["loss"]) for r in records(run, "train")] for run in (whole, parts)]
    assert losses[0] == losses[1]
    # What was asked for on resuming is what the run is from then on.
    assert "max_steps: 10" in (parts / "config.yaml").read_text()
    assert json.loads((parts / "run.json").read_text())["resumed"][0]["step"] == 5


def test_settings_changed_on_resume_take_effect(small_train_args: list[str]):
    run = run_name(small_train_args, "changed", "training.max_steps=2", "training.log_every_steps=1")
    change = [
        "training.optimizer.lr=1e-5",
        "training.scheduler.name=constant",
        "training.scheduler.warmup_epochs=0",
    ]
    assert train.run(["--resume", str(run), "training.max_steps=3", *change]) == 0
    assert records(run, "train")[-1]["lr"] == pytest.approx(1e-5)
    with pytest.raises(UserError, match="tensors of backbone"):
        train.run(["--resume", str(run), "training.max_steps=4", "model.backbone.freeze=true"])


def test_sigint_exits_130_with_a_checkpoint(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    interrupt_after(monkeypatch, 3, signal.SIGINT)
    code = cli_main(train.run, [*small_train_args, "--name", "stopped"])
    assert code == EXIT_INTERRUPTED
    run = runs_of(small_train_args) / "stopped"
    assert load_checkpoint(run / "checkpoints")[1].step == 3
    assert f"--resume {run}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_resume_refuses_another_plan_and_goes_on_with_more_epochs(small_train_args: list[str], capsys):
    run = run_name(small_train_args, "short", "training.epochs=1")
    with pytest.raises(UserError, match="batch_size is 8, the run began with 4"):
        train.run(["--resume", str(run), "training.batch_size=8"])
    with pytest.raises(UserError, match=r"data\.augment\.enabled is False, the run began with True\n"):
        train.run(["--resume", str(run), "data.augment.enabled=false"])
    capsys.readouterr()
    assert train.run(["--resume", str(run)]) == 0  # complete: says so, changes nothing
    assert f"{run} is complete; raise training.epochs" in capsys.readouterr().out
    assert train.run(["--resume", str(run), "training.optimizer.lr=1e-5"]) == 0
    assert (
        "is complete, and nothing was done with training.optimizer.lr=1e-5; raise" in capsys.readouterr().out
    )
    assert [r["step"] for r in records(run, "val")] == [8]
    assert train.run(["--resume", str(run), "training.epochs=2"]) == 0
    assert [r["step"] for r in records(run, "val")] == [8, 16]
