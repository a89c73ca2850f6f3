"""Where the model is in what a person names."""

from __future__ import annotations

from pathlib import Path

from tracknet.utils.errors import UserError


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
