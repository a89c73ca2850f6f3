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
from tracknet.utils.settings import Config


def default_run_name(data: str, model: str, training: str) -> str:
    """`20261122-184500-tracknet-vit_heatmap-default`."""
    parts = [Path(name).stem for name in (data, model, training)]
    return "-".join([datetime.now().strftime("%Y%m%d-%H%M%S"), *parts])


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path, checkpoints: Path) -> None:
        self.path = path
        self.checkpoints = checkpoints

    @classmethod
    def create(cls, config: Config, name: str, facts: dict[str, Any]) -> RunFolder:
        """Makes `<log_dir>/<name>` with its config.yaml and run.json.

        Raises:
            UserError: there is such a folder already, with anything in it.
        """
        path = cls.refuse_existing(config, name)
        run = cls(path, cls._checkpoints_of(config, path, name))
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.yaml").write_text(to_yaml(config))
        (path / "run.json").write_text(json.dumps(facts, indent=2) + "\n")
        return run

    @staticmethod
    def refuse_existing(config: Config, name: str) -> Path:
        """The folder that `create` would make; to be asked before hours of building begin.

        Raises:
            UserError: there is such a folder already, with anything in it.
        """
        path = Path(config.training.log_dir) / name
        if path.is_dir() and any(path.iterdir()):
            raise UserError(
                f"{path} exists already",
                remedy=f"give this run another name (--name {name}-2), go on with that one (--resume {path}), "
                "or remove the folder",
            )
        return path

    @classmethod
    def open(cls, path: Path, overrides: Sequence[str] = ()) -> tuple[RunFolder, Config]:
        """A run that exists, and its configuration.

        Args:
            path: the run's folder.
            overrides: `key=value` changes to the configuration; the file keeps what it says.

        Raises:
            UserError: the folder holds no run.
        """
        file = path / "config.yaml"
        if not file.is_file():
            raise UserError(
                f"{path} is no run: it has no config.yaml",
                remedy="give a folder that a training made, such as runs/NAME",
            )
        config = load_saved_config(file, overrides)
        return cls(path, cls._checkpoints_of(config, path, path.name)), config

    @staticmethod
    def _checkpoints_of(config: Config, path: Path, name: str) -> Path:
        base = config.training.ckpt_dir
        return path / "checkpoints" if base is None else Path(base) / name

    def log(self, record: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl. NaN is written as null, which JSON knows."""
        plain = {key: None if isinstance(v, float) and v != v else v for key, v in record.items()}
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(plain) + "\n")

    def forget_after(self, step: int) -> None:
        """Drops metrics of steps that a resumed run will take again, and a line cut by a kill."""
        file = self.path / "metrics.jsonl"
        if not file.is_file():
            return
        kept = []
        for line in file.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if record.get("step", 0) <= step:
                kept.append(line + "\n")
        part = file.with_suffix(".tmp")
        part.write_text("".join(kept))
        part.replace(file)
