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

from tracknet.models.model import TrackNet
from tracknet.utils.errors import RunError, UserError


@dataclass
class TrainingState:
    """Where a training stands, in plain values.

    Attributes:
        step: optimizer steps taken.
        epoch: the epoch under way, from 0.
        batch: batches of that epoch already taken.
        build_id: of the shards.
        plan: parameters of the stream's order.
        best: the monitored figure of the best checkpoint so far; `None` before the first validation.
        best_step: its step.
        validated_epoch: the last epoch that was validated; -1 before the first.
        balls_found: training balls located since the start of the present collapse watch.
        balls_seen: training balls in that time.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    build_id: str = ""
    plan: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    validated_epoch: int = -1
    balls_found: int = 0
    balls_seen: int = 0


def save_checkpoint(
    folder: Path, model: TrackNet, state: TrainingState, tensors: dict[str, Any], *, is_best: bool, keep: int
) -> Path:
    """Writes `step_NNNNNN`, moves `last` (and `best`) to it and removes the oldest beyond `keep`.

    Args:
        folder: the run's checkpoints.
        model: saved in its publishable form.
        state: plain values.
        tensors: optimizer, scheduler, scaler and random states: tensors and plain values only.
        is_best: whether `best` moves here.
        keep: newest checkpoints to keep; the best is kept beside them.
    """
    target = folder / f"step_{state.step:06d}"
    part = folder / f".{target.name}.tmp-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    (part / "training_state").mkdir(parents=True)
    try:
        model.save_pretrained(part / "model")
        torch.save(tensors, part / "training_state" / "optimizer.pt")
        (part / "training_state" / "state.json").write_text(json.dumps(asdict(state), indent=2) + "\n")
        # A second checkpoint of one step (a stop right after an epoch's end) replaces the first.
        replaced = folder / f".{target.name}.old"
        shutil.rmtree(replaced, ignore_errors=True)
        if target.exists():
            target.rename(replaced)
        part.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _point(folder / "last", target.name)
    if is_best:
        _point(folder / "best", target.name)
    _remove_old(folder, keep)
    return target


def load_checkpoint(folder: Path) -> tuple[Path, TrainingState, dict[str, Any]]:
    """The newest whole checkpoint: its model's folder, state and tensors.

    Raises:
        UserError: there is none.
        RunError: its state cannot be read.
    """
    steps = sorted(folder.glob("step_*")) if folder.is_dir() else []
    if not steps:
        raise UserError(
            f"{folder} holds no checkpoint yet",
            remedy="start the run anew: remove its folder and train again",
        )
    newest = steps[-1]
    try:
        state = TrainingState(**json.loads((newest / "training_state" / "state.json").read_text()))
        # weights_only: a checkpoint from elsewhere must not be able to run code.
        tensors = torch.load(
            newest / "training_state" / "optimizer.pt", map_location="cpu", weights_only=True
        )
    except (OSError, ValueError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(
            f"{newest} cannot be read: {str(error).splitlines()[0]}",
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
        f"{key} is {plan.get(key)}, the run began with {state.plan.get(key)}"
        for key in sorted({*plan, *state.plan})
        if plan.get(key) != state.plan.get(key)
    ]
    if problems:
        raise UserError(
            "this run cannot go on exactly where it stopped",
            problems=problems,
            remedy="resume with the same shards and settings, or start a new run from its weights: "
            "training.init_from=RUN",
        )


def resolve_model_folder(path: Path) -> Path:
    """The model meant by a run, a checkpoint or a model folder: of a run the best, else the last one.

    Raises:
        UserError: there is no model in it.
    """
    for candidate in (
        path,
        path / "model",
        path / "checkpoints" / "best" / "model",
        path / "checkpoints" / "last" / "model",
        path / "best" / "model",
        path / "last" / "model",
    ):
        if (candidate / "config.json").is_file() and (candidate / "model.safetensors").is_file():
            return candidate
    raise UserError(
        f"{path} holds no model",
        remedy="give a run (runs/NAME), a checkpoint or a folder with model.safetensors",
    )


def _point(link: Path, target: str) -> None:
    """Moves a relative symbolic link in one step."""
    part = link.with_name(f".{link.name}.tmp-{os.getpid()}")
    part.unlink(missing_ok=True)
    part.symlink_to(target, target_is_directory=True)
    part.replace(link)


def _remove_old(folder: Path, keep: int) -> None:
    best = folder / "best"
    best_name = best.readlink().name if best.is_symlink() else None
    for old in sorted(folder.glob("step_*"))[:-keep]:
        if old.name != best_name:
            shutil.rmtree(old, ignore_errors=True)
