"""Checkpoints: whole or absent, `last` and `best` in place, old ones removed, damage named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tracknet.datasets.index import open_split
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import training_stream
from tracknet.models.model_folder import resolve_model_folder
from tracknet.training.checkpoint import (
    TrainingState,
    check_resumable,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from tracknet.utils.config import load_config
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size


class Model:
    """What a checkpoint needs of a model."""

    def save_pretrained(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
        return folder


def save(folder: Path, step: int, *, is_best: bool = False, keep: int = 2, model: Any = None) -> Path:
    state = TrainingState(step=step, epoch=1, batch=3, build_id="b", plan={"seed": 0})
    tensors = {"optimizer": {"x": torch.arange(3)}}
    return save_checkpoint(folder, model or Model(), state, tensors, is_best=is_best, keep=keep)


def test_round_trip_of_the_newest(tmp_path: Path):
    save(tmp_path, 5)
    save(tmp_path, 10)
    model, state, tensors = load_checkpoint(tmp_path)
    assert model == tmp_path / "step_000010" / "model"
    assert (state.step, state.epoch, state.batch, state.plan) == (10, 1, 3, {"seed": 0})
    assert tensors["optimizer"]["x"].tolist() == [0, 1, 2]


def test_newest_are_kept_and_the_best_beside_them(tmp_path: Path):
    save(tmp_path, 1, is_best=True)
    for step in (2, 3, 4):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.glob("step_*")) == ["step_000001", "step_000003", "step_000004"]
    assert (tmp_path / "last").readlink() == Path("step_000004")
    assert (tmp_path / "best").readlink() == Path("step_000001")


def test_the_same_step_again_replaces(tmp_path: Path):
    save(tmp_path, 7)
    save(tmp_path, 7, is_best=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "last", "step_000007"]


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path):
    class Broken(Model):
        def save_pretrained(self, folder: Path) -> Path:
            super().save_pretrained(folder)
            raise OSError(28, "No space left on device")

    save(tmp_path, 1)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 2, model=Broken())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last", "step_000001"]


def test_checkpoints_are_ordered_by_number_not_by_text(tmp_path: Path):
    for step in (999_999, 1_000_000, 1_000_001):
        save(tmp_path, step)
    assert {p.name for p in tmp_path.glob("step_*")} == {"step_1000000", "step_1000001"}
    assert load_checkpoint(tmp_path)[1].step == 1_000_001


def test_a_kill_between_the_two_renames_loses_nothing(tmp_path: Path):
    folder = save(tmp_path, 7)
    folder.rename(tmp_path / ".step_000007.aside")  # where a second save of the step was killed
    (tmp_path / ".step_000009.part" / "model").mkdir(parents=True)
    assert has_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path)[1].step == 7
    assert not list(tmp_path.glob(".step*"))


def test_a_disk_that_is_full_is_an_error_with_a_remedy(tmp_path: Path):
    class Full(Model):
        def save_pretrained(self, folder: Path) -> Path:
            raise RuntimeError("[enforce fail] unexpected pos 64 vs 0")

    save(tmp_path, 1)
    with pytest.raises(RunError, match="step_000002 cannot be written") as caught:
        save(tmp_path, 2, model=Full())
    assert "disk full" in str(caught.value)
    assert load_checkpoint(tmp_path)[1].step == 1


def test_no_checkpoint_and_a_damaged_one_say_so(tmp_path: Path):
    assert not has_checkpoint(tmp_path)
    optimizer = save(tmp_path, 3) / "training_state" / "optimizer.pt"
    whole = optimizer.read_bytes()
    optimizer.write_bytes(b"cut")
    with pytest.raises(RunError, match="step_000003 cannot be read"):
        load_checkpoint(tmp_path)
    flipped = bytearray(whole)
    flipped[whole.index(torch.arange(3).numpy().tobytes())] ^= 1  # torch would read [1, 1, 2]
    optimizer.write_bytes(flipped)
    with pytest.raises(RunError, match=r"step_000003 cannot be read: .* is not what was written"):
        load_checkpoint(tmp_path)


def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    folder = save(tmp_path, 3)
    torch.save({"optimizer": Evil()}, folder / "training_state" / "optimizer.pt")
    with pytest.raises(RunError, match="cannot be read"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_resume_names_every_difference():
    state = TrainingState(build_id="a" * 64, plan={"batch_size": 8, "seed": 0, "lanes": 24})
    check_resumable(state, "a" * 64, {"batch_size": 8, "seed": 0, "lanes": 24})
    with pytest.raises(UserError) as caught:
        check_resumable(state, "c" * 64, {"batch_size": 4, "seed": 0, "lanes": 24})
    assert "build cccccccccccc" in str(caught.value)
    assert "training.batch_size is 4, the run began with 8" in str(caught.value)
    assert "seed is" not in str(caught.value)


def test_of_a_group_of_settings_only_the_keys_that_differ_are_named():
    augment = {"enabled": True, "flip_prob": 0.5, "zoom": {"prob": 0.0, "most": 2.0}}
    state = TrainingState(build_id="a", plan={"sample.augment": augment, "sample.seed": 1})
    other = {**augment, "zoom": {"prob": 0.5, "most": 2.0}}
    for now, problems in (
        (other, ("data.augment.zoom.prob is 0.5, the run began with 0.0",)),
        (None, ("data.augment.enabled is False, the run began with True",)),
        ({"enabled": True}, None),
    ):
        with pytest.raises(UserError) as caught:
            check_resumable(state, "a", {"sample.augment": now, "sample.seed": 1})
        if problems:
            assert caught.value.problems == problems
    assert "data.augment.flip_prob is not stated, the run began with 0.5" in caught.value.problems


def test_of_parts_that_are_off_only_their_prob_is_named(small_shards: Path):
    def plan(*overrides: str) -> dict[str, Any]:
        config = load_config(overrides=["data.resize=[96,48]", "model.heatmap.size=[96,48]", *overrides])
        spec = SampleSpec.for_training(config, Size(96, 48), "cpu")
        shards = open_split(small_shards, "train")
        stream = training_stream(shards, spec, config.data.loader, batch_size=4, seed=0)
        # As a checkpoint gives it back.
        return json.loads(json.dumps(stream.describe_plan()))

    paste, streak = "data.augment.paste.prob=0.5", "data.augment.streak.prob=0.25"
    for now, then, problems in (
        (plan(paste), plan(), ["data.augment.paste.prob is 0.5, the run began with 0.0"]),
        (plan(), plan(paste), ["data.augment.paste.prob is 0.0, the run began with 0.5"]),
        (plan(streak), plan(paste), ["data.augment.paste.prob is 0.0", "data.augment.streak.prob is 0.25"]),
        (
            plan(paste, "data.augment.ball_px=9"),
            plan(paste, "data.augment.ball_px=14"),
            ["data.augment.ball_px is 9.0, the run began with 14.0"],
        ),
    ):
        with pytest.raises(UserError) as caught:
            check_resumable(TrainingState(build_id="a", plan=then), "a", now)
        assert len(caught.value.problems) == len(problems)
        for told, expected in zip(caught.value.problems, problems, strict=True):
            assert told.startswith(expected)


def test_model_of_a_run_is_its_best_else_its_last(tmp_path: Path):
    checkpoints = tmp_path / "checkpoints"
    first = save(checkpoints, 1)
    assert resolve_model_folder(tmp_path).resolve() == (first / "model").resolve()
    save(checkpoints, 2, is_best=True)
    third = save(checkpoints, 3)
    assert resolve_model_folder(tmp_path).resolve() == (checkpoints / "step_000002" / "model").resolve()
    assert resolve_model_folder(third) == third / "model"
    with pytest.raises(UserError, match="holds no model"):
        resolve_model_folder(tmp_path / "nothing")
