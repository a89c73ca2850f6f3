"""A run's folder: what was asked for, on what, and how it went.

runs/NAME/
  config.yaml      the whole configuration
  run.json         command, versions, commit, seed, device, data set's build id
  metrics.jsonl    one line per logged step and per validation
  tensorboard/     the same, and overlay pictures
  checkpoints/     see checkpoint.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tracknet.utils.config import load_saved_config, to_yaml
from tracknet.utils.errors import UserError
from tracknet.utils.files import finite_or_none, replace_file, write_json
from tracknet.utils.settings import Config
from tracknet.utils.urls import has_password, shown


def default_run_name(data: str, model: str, training: str) -> str:
    """`20261122-184500-tracknet-vit_heatmap-default`."""
    parts = [Path(name).stem for name in (data, model, training)]
    return "-".join([datetime.now().strftime("%Y%m%d-%H%M%S"), *parts])


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @staticmethod
    def refuse_existing(config: Config, name: str) -> Path:
        """The folder that `create` would make; to be asked before minutes of building begin.

        Raises:
            UserError: there is such a folder already, or one for its checkpoints, with anything in it.
        """
        path = Path(config.training.log_dir) / name
        places = [path] if config.training.ckpt_dir is None else [path, Path(config.training.ckpt_dir) / name]
        for place in places:
            if place.is_dir() and any(place.iterdir()):
                raise UserError(
                    f"{place} exists already",
                    remedy=f"give this run another name (--name {name}-2), go on with that one (--resume {path}), "
                    "or remove the folder",
                )
        return path

    @staticmethod
    def refuse_passwords(config: Config) -> None:
        """Raises UserError where a run's `config.yaml` and `run.json` would hold the password of a URL."""
        data = config.data
        places = {"data.shards": (data.shards,), "data.files": data.files or ()}
        if data.features is not None:
            places["data.features"] = (data.features,)
        for number, source in enumerate(data.sources or ()):
            places[f"data.sources[{number}].shards"] = source.shards
        problems = [
            f"{key}: {shown(place)}"
            for key, of_key in places.items()
            for place in of_key
            if has_password(place)
        ]
        if problems:
            raise UserError(
                "URLs with a password, which would lie in the run's folder for all to read",
                problems=problems,
                remedy="leave user and password out of the URL; fsspec takes them from its own configuration "
                "(~/.config/fsspec/*.json, or variables such as FSSPEC_HTTPS)",
            )

    @classmethod
    def create(cls, config: Config, name: str, facts: dict[str, Any]) -> RunFolder:
        """Makes `<log_dir>/<name>` with its config.yaml and run.json. Raises as `refuse_existing` does."""
        run = cls(cls.refuse_existing(config, name))
        run.path.mkdir(parents=True, exist_ok=True)
        if config.training.ckpt_dir is not None:
            # Elsewhere, but found where everyone looks for it.
            elsewhere = Path(config.training.ckpt_dir) / name
            elsewhere.mkdir(parents=True, exist_ok=True)
            run.checkpoints.symlink_to(elsewhere.resolve(), target_is_directory=True)
        run.write_config(config)
        write_json(run.path / "run.json", {**facts, "resumed": []})
        return run

    @classmethod
    def open(cls, path: Path, overrides: Sequence[str] = ()) -> tuple[RunFolder, Config]:
        """A run that exists, and its configuration with `key=value` changes.

        Raises:
            UserError: the folder holds no run, or the changes are wrong.
        """
        file = path / "config.yaml"
        if not file.is_file():
            raise UserError(
                f"{path} is no run: it has no config.yaml",
                remedy="give a folder that a training made, such as runs/NAME",
            )
        return cls(path), load_saved_config(file, overrides)

    def write_config(self, config: Config) -> None:
        """Writes config.yaml: what the run is, or goes on as."""
        replace_file(self.path / "config.yaml", to_yaml(config).encode())

    def note_resumption(self, config: Config, step: int, facts: dict[str, Any]) -> None:
        """Writes down that and as what the run goes on, and drops metrics of steps that it will take again."""
        self.write_config(config)
        file = self.path / "run.json"
        record = json.loads(file.read_text())
        record["resumed"] = [*record.get("resumed", []), {"step": step, **facts}]
        write_json(file, record)
        self._forget_after(step)

    def log(self, record: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(finite_or_none(record), allow_nan=False) + "\n")

    def _forget_after(self, step: int) -> None:
        file = self.path / "metrics.jsonl"
        if not file.is_file():
            return
        kept = []
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut by a kill
            if record.get("step", 0) <= step:
                kept.append(line + "\n")
        replace_file(file, "".join(kept).encode())
