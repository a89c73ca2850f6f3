"""Out of memory on a CPU, which torch tells in another way than a GPU's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.conftest import MakeTrainer, take_steps
from tracknet.datasets.batch import Batch
from tracknet.datasets.loader import StreamLoader
from tracknet.models.model import TrackNet
from tracknet.scripts import evaluate, train
from tracknet.training.device_memory import out_of_memory_alike
from tracknet.utils.errors import EXIT_FAILED, cli_main

# More bytes than a process can have on any machine.
TOO_MANY = 1 << 55


def of_torch() -> None:
    torch.empty(TOO_MANY, dtype=torch.uint8)


def of_numpy() -> None:
    np.empty(TOO_MANY, np.uint8)


def of_cpp() -> None:
    raise RuntimeError("std::bad_alloc")


@pytest.mark.parametrize(
    ("fails", "says"),
    [(of_torch, "DefaultCPUAllocator: "), (of_numpy, "Unable to allocate "), (of_cpp, "std::bad_alloc")],
)
def test_every_allocator_is_heard_alike(fails: Callable[[], None], says: str) -> None:
    with pytest.raises(torch.OutOfMemoryError) as caught, out_of_memory_alike():
        fails()
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 cannot be multiplied"), RuntimeError(), ValueError()]
)
def test_other_faults_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, out_of_memory_alike():
        raise error
    assert caught.value is error


@pytest.fixture
def room_for_two(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A forward pass of more than 2 windows asks the CPU's allocator for too much; the windows of every pass."""
    forward, seen = TrackNet.forward, []

    def limited(self: TrackNet, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(len(frames))
        if len(frames) > 2:
            of_torch()
        return forward(self, frames, features)

    monkeypatch.setattr(TrackNet, "forward", limited)
    return seen


def test_a_training_names_the_size_that_fits(
    small_train_args: list[str], room_for_two: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli_main(train.run, [*small_train_args, "training.max_steps=1", "--name", "a"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "error: 4 windows at once do not fit into memory: DefaultCPUAllocator: " in said
    assert "remedy: set training.micro_batch=2 or auto" in said


def test_auto_goes_on_with_half(
    small_train_args: list[str],
    small_shards: Path,
    tmp_path: Path,
    room_for_two: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = [*small_train_args, "training.max_steps=1", "training.micro_batch=auto", "--name", "a"]
    assert cli_main(train.run, args) == 0
    assert "4 windows at once do not fit into memory: going on with 2 at a time" in capsys.readouterr().out
    assert room_for_two[:3] == [4, 2, 2]
    args = [str(tmp_path / "runs" / "a"), "--shards", str(small_shards), "--batch-size", "4"]
    assert cli_main(evaluate.run, args) == EXIT_FAILED
    assert "remedy: set --batch-size 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("taken", "saved", "then"),
    [(2, ["step_000002"], "its checkpoint is of this step"), (0, [], "it begins at step 0")],
)
def test_what_is_reached_is_saved_and_gone_on_with(
    small_train_args: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    taken: int,
    saved: list[str],
    then: str,
) -> None:
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def limited(*args: object, **how: object) -> object:
        calls.append(args)
        if len(calls) == taken + 1:
            of_torch()
        return clip(*args, **how)  # type: ignore[arg-type]

    run = tmp_path / "runs" / "a"
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", limited)
    assert cli_main(train.run, [*small_train_args, "training.max_steps=4", "--name", "a"]) == EXIT_FAILED
    said = capsys.readouterr().err
    assert f"error: memory ran out at step {taken}: DefaultCPUAllocator" in said
    assert f"set training.micro_batch=2 or auto, and go on with --resume {run}: {then}" in said
    assert [path.name for path in (run / "checkpoints").glob("step_*")] == saved
    assert train.run(["--resume", str(run), "training.micro_batch=2"]) == 0
    assert (run / "checkpoints" / "last").readlink() == Path("step_000004")


def test_moments_that_do_not_fit_change_no_weight(
    small_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = small_trainer()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    monkeypatch.setattr("tracknet.training.weight_update.reserve_moments", lambda weights: of_torch())
    with pytest.raises(Exception, match=r"optimizer's 2 moments of .* DefaultCPUAllocator"):
        take_steps(trainer, 1)
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())


@pytest.mark.parametrize("setting", ["auto", "null"])
def test_a_batch_that_cannot_be_made_is_no_matter_of_its_parts(
    small_train_args: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
) -> None:
    """The loader's iterator ends with its fault: another attempt would find none."""

    def none_made(self: StreamLoader, *position: int) -> Iterator[Batch]:
        of_numpy()
        yield  # type: ignore[misc]

    monkeypatch.setattr(StreamLoader, "epoch", none_made)
    args = [*small_train_args, f"training.micro_batch={setting}", "--name", "a"]
    assert cli_main(train.run, args) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "error: memory ran out while the loader made a batch: Unable to allocate" in said
    assert "remedy: take smaller batches (training.batch_size" in said and "micro_batch" not in said
