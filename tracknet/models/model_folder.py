"""Where the model is in what a person names, and the run that it lies in."""

from __future__ import annotations

from pathlib import Path

from tracknet.utils.config import load_saved_config
from tracknet.utils.errors import UserError
from tracknet.utils.settings import Config

_RUN_CONFIG = "config.yaml"


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


def config_of_run(path: Path) -> Config | None:
    """What the run was told that a model lies in: a run, or a folder in one.

    `None` outside of a run, or where its configuration cannot be read by this version.
    """
    path = path.expanduser().absolute()
    # RUN/checkpoints/step_000100/model, at the deepest.
    files = (folder / _RUN_CONFIG for folder in (path, *list(path.parents)[:3]))
    file = next((file for file in files if file.is_file()), None)
    try:
        return load_saved_config(file) if file is not None else None
    except (UserError, OSError):
        return None
