"""Checkpoints: a publishable model beside the state that a training goes on from.

    checkpoints/
      step_004000/
        model/             config.json, model.safetensors, README.md: loads with TrackNet.from_pretrained
        training_state/    optimizer.pt, state.json: only --resume needs it
      last -> step_004000
      best -> step_003000

A checkpoint is written under a temporary name and renamed, so that one that is there is whole.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from tracknet.models.model import TrackNet
from tracknet.training.plan_changes import plan_differences
from tracknet.utils.checksums import check_archive
from tracknet.utils.errors import RunError, UserError, first_line
from tracknet.utils.files import new_folder, restore_folders, write_json


@dataclass
class TrainingState:
    """Where a training stands, in plain values.

    Attributes:
        step: optimizer steps taken.
        epoch: the epoch under way, from 0.
        batch: batches of that epoch already taken.
        build_id: of the shards.
        plan: parameters of the stream's order.
        validated_step: the step of the last validation; -1 before the first.
        best: the monitored figure of the best checkpoint so far; `None` before the first validation.
        best_of: which figure that is.
        skipped_steps: steps whose fp16 gradients overflowed; the schedule does not count them.
        balls_found: training balls located so far, while the collapse watch lasts.
        balls_seen: training balls in that time.
        balls_by_chance: how many of these another window's map would have located.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    build_id: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    validated_step: int = -1
    best: float | None = None
    best_of: str = ""
    skipped_steps: int = 0
    balls_found: int = 0
    balls_seen: int = 0
    balls_by_chance: float = 0.0


def save_checkpoint(
    folder: Path, model: TrackNet, state: TrainingState, tensors: dict[str, Any], *, is_best: bool, keep: int
) -> Path:
    """Writes `step_NNNNNN`, moves `last` (and `best`) to it and removes the oldest beyond `keep`.

    Args:
        folder: the run's checkpoints.
        model: saved in its publishable form.
        state: where the training stands.
        tensors: optimizer, scaler, and weights that saving the model does not keep: tensors and plain values only.
        is_best: whether `best` moves here.
        keep: newest checkpoints to keep; the best is kept beside them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    restore_folders(folder)
    target = folder / f"step_{state.step:06d}"
    try:
        with new_folder(target) as part:
            (part / "training_state").mkdir()
            model.save_pretrained(part / "model")
            torch.save(tensors, part / "training_state" / "optimizer.pt")
            write_json(part / "training_state" / "state.json", asdict(state))
    except (SafetensorError, RuntimeError) as error:
        # How torch and safetensors report a full disk.
        raise RunError(
            f"{target} cannot be written: {first_line(error)}",
            remedy="is the disk full? The checkpoints before it are whole; free some room and go on with --resume",
        ) from None
    _point(folder / "last", target.name)
    if is_best:
        _point(folder / "best", target.name)
    _remove_old(folder, keep, target)
    return target


def has_checkpoint(folder: Path) -> bool:
    """Whether a run's folder of checkpoints holds any.

    Raises:
        UserError: they were to lie elsewhere (`training.ckpt_dir`), and that folder is not there.
    """
    if folder.is_symlink() and not folder.exists():
        raise UserError(
            f"{folder} leads to {folder.readlink()}, which is not there",
            remedy="connect the disk that it lies on, or move the folder back",
        )
    if folder.is_dir():
        restore_folders(folder)
    return bool(_by_step(folder))


def load_checkpoint(folder: Path) -> tuple[Path, TrainingState, dict[str, Any]]:
    """The newest whole checkpoint of a folder that `has_checkpoint`: its model's folder, state and tensors.

    Raises:
        RunError: its state cannot be read.
    """
    newest = _by_step(folder)[-1]
    try:
        state = TrainingState(**json.loads((newest / "training_state" / "state.json").read_text()))
        # weights_only: a checkpoint from elsewhere must not be able to run code.
        optimizer = newest / "training_state" / "optimizer.pt"
        check_archive(optimizer)
        tensors = torch.load(optimizer, map_location="cpu", weights_only=True)
    except (OSError, ValueError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(
            f"{newest} cannot be read: {first_line(error)}",
            remedy=f"remove {newest} to go on from the checkpoint before it",
        ) from None
    return newest / "model", state, tensors


def check_resumable(state: TrainingState, build_id: str, plan: dict[str, Any]) -> None:
    """Refuses to go on with other data or in another order than the checkpoint's.

    Raises:
        UserError: naming every difference.
    """
    problems = []
    if state.build_id != build_id:
        problems.append(f"the shards are of build {build_id[:12]}, the run began with {state.build_id[:12]}")
    problems += [
        f"{what} is {now}, the run began with {then}"
        for what, now, then in plan_differences(plan, state.plan)
    ]
    if problems:
        raise UserError(
            "this run cannot go on exactly where it stopped",
            problems=problems,
            remedy="resume with the same shards and settings, or start a new run from its weights: "
            "training.init_from=RUN",
        )


def _point(link: Path, target: str) -> None:
    """Moves a relative symbolic link in one step."""
    part = link.with_name(f".{link.name}.tmp-{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(target, target_is_directory=True)
    part.replace(link)


def _by_step(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first: by number, for 1,000,000 sorts before 999,999 as text."""
    return sorted(folder.glob("step_*"), key=lambda path: int(path.name.removeprefix("step_")))


def _remove_old(folder: Path, keep: int, newest: Path) -> None:
    best = folder / "best"
    kept = {newest.name, best.readlink().name if best.is_symlink() else None}
    for old in _by_step(folder)[:-keep]:
        if old.name not in kept:
            # Renamed first: a kill in the midst of removing must not leave half a checkpoint by its name.
            doomed = old.rename(old.with_name(f".{old.name}.part"))
            shutil.rmtree(doomed, ignore_errors=True)
