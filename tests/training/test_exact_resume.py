"""A training killed without warning goes on exactly, on a mix of sources and with other workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipelines import build_shards
from tests.conftest import draw_dataset
from tracknet.scripts import train
from tracknet.training.learner import Learner
from tracknet.training.run_log import StepReport
from tracknet.utils.errors import UserError


def killed_at(step: int, args: list[str]) -> int:
    """Trains in a process that kills itself, as an out-of-memory killer would, when it has taken a step.

    Returns:
        The signal that ended it.
    """
    child = os.fork()
    if child == 0:
        take = Learner.step

        def step_then_die(self: Learner, batches: object, number: int) -> StepReport:
            report = take(self, batches, number)  # type: ignore[arg-type]
            if number == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return report

        Learner.step = step_then_die  # type: ignore[method-assign,assignment]
        try:
            train.run(args)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture(scope="module")
def other_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 training frames and 16 of validation, other than the small ones."""
    folder = tmp_path_factory.mktemp("other")
    root = draw_dataset(folder / "raw", games=2, clips=1, frames=16, seed=5)
    arguments = ["--root", str(root), "--out", str(folder / "shards"), "--workers", "0"]
    assert build_shards.run([*arguments, "data.resize=[96,48]"]) == 0
    return folder / "shards"


@pytest.fixture
def mix_args(small_train_args: list[str], small_shards: Path, other_shards: Path) -> list[str]:
    """Two sources less their windows without a ball, half of each: 11 steps an epoch, a checkpoint every other."""
    mix = f"data.sources=[{{shards: {small_shards}, weight: 1}}, {{shards: {other_shards}, weight: 1}}]"
    more = ["data.filter.visible_only=true", "training.ckpt_every_steps=2", "training.max_steps=13"]
    kept = [argument for argument in small_train_args if not argument.startswith("data.shards=")]
    return [*kept, mix, *more]


def weights_of(run: Path):  # type: ignore[no-untyped-def]
    return load_file(run / "checkpoints" / "last" / "model" / "model.safetensors")


@pytest.mark.parametrize(
    "settings",
    [
        ["data.augment.by=workers"],
        ["data.augment.by=device"],
        ["training.sizes.factors=[0.5,1,1.5]", "training.sizes.full_share=0.2"],
    ],
)
def test_a_killed_training_goes_on_to_the_same_weights(
    mix_args: list[str], tmp_path: Path, settings: list[str]
) -> None:
    mix_args = [*mix_args, *settings]
    assert train.run([*mix_args, "--name", "whole"]) == 0
    assert killed_at(6, [*mix_args, "--name", "parts"]) == -signal.SIGKILL
    parts = tmp_path / "runs" / "parts"
    # Step 6 was taken, but its checkpoint was not written.
    assert (parts / "checkpoints" / "last").readlink() == Path("step_000004")
    assert train.run(["--resume", str(parts), "data.loader.workers=1"]) == 0
    one, other = weights_of(tmp_path / "runs" / "whole"), weights_of(parts)
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)


def test_another_mix_is_refused_by_name(
    mix_args: list[str], tmp_path: Path, small_shards: Path, other_shards: Path
) -> None:
    assert train.run([*mix_args, "--name", "short", "training.max_steps=2"]) == 0
    run = str(tmp_path / "runs" / "short")
    with pytest.raises(UserError, match="cannot go on exactly") as caught:
        train.run(
            [
                *("--resume", run, "training.max_steps=4", "data.filter.visible_only=false"),
                f"data.sources=[{{shards: {small_shards}, weight: 3}}, {{shards: {other_shards}, weight: 1}}]",
            ]
        )
    text = str(caught.value)
    assert "data.filter.visible_only is False, the run began with True" in text
    assert "the weights of data.sources is [3.0, 1.0], the run began with [1.0, 1.0]" in text
    assert "training.init_from=RUN" in str(caught.value.remedy)
    with pytest.raises(UserError, match="the shards are of build") as caught:
        train.run(["--resume", run, "data.sources=null", f"data.shards={small_shards}"])
    assert "builds is not stated, the run began with" in str(caught.value)


def test_the_dry_run_says_what_the_mix_comes_to(
    mix_args: list[str], small_shards: Path, other_shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.run([*mix_args, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # A frame of each clip has no ball: 30 and 15 windows; 11 steps of 4.
    assert "filter      45 of 48 windows are trained on" in lines
    assert f"mix         {small_shards}: 50.0% of the windows, 0.73 passes over its 30 an epoch" in lines
    assert f"mix         {other_shards}: 50.0% of the windows, 1.47 passes over its 15 an epoch" in lines
    assert "validation  48 frames, 12 batches" in lines
