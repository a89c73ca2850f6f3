"""A run's folder: what was asked for, on what, and how it went.

runs/NAME/
  config.yaml      the whole configuration
  run.json         command, versions, commit, seed, device, data set's build id
  metrics.jsonl    one line per logged step, per validation and per checkpoint
  tensorboard/     the same, and overlay pictures
  checkpoints/     see checkpoint.py
  .lock            while a training writes here
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from tracknet.utils.config import load_saved_config, to_yaml
from tracknet.utils.errors import UserError
from tracknet.utils.file_lock import NO_LOCKS, locked
from tracknet.utils.files import finite_or_none, replace_file, write_json
from tracknet.utils.lock_record import owner_of, since
from tracknet.utils.settings import Config
from tracknet.utils.urls import has_password, is_url, shown

_LOCK_NAME = ".lock"
# How `shown` ends a URL whose query it leaves out.
_NOT_KEPT = "?***"


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
            if place.is_dir() and any(file.name != _LOCK_NAME for file in place.iterdir()):
                raise UserError(
                    f"{place} exists already",
                    remedy=f"give this run another name (--name {name}-2), go on with that one (--resume {path}), "
                    "or remove the folder",
                )
        return path

    @contextmanager
    def lock(self, say: Callable[[str], None]) -> Iterator[None]:
        """Makes the folder, and keeps other trainings out of it until the block or the process ends, however it ends.

        Args:
            say: told where the disk knows no locks.

        Raises:
            UserError: another training holds it.
        """

        def refuse(holder: dict[str, Any]) -> NoReturn:
            raise UserError(
                f"{self.path}: another training is writing there: {owner_of(holder)}, since {since(holder)}",
                remedy=f"wait for it, or stop it (kill {holder.get('pid', 'PID')}, on its machine) and go on from its "
                f"checkpoint with --resume {self.path}; or start another run under another name",
            )

        self.path.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            try:
                held.enter_context(locked(self.path / _LOCK_NAME, refuse, remove=True))
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                say(
                    f"note: the disk of {self.path} knows no locks: see to it that no other training writes there"
                )
            yield

    @staticmethod
    def refuse_passwords(config: Config) -> None:
        """Raises UserError where a run's `config.yaml` and `run.json` would hold the password of a URL."""
        problems = [f"{key}: {shown(place)}" for key, place in _places(config) if has_password(place)]
        if problems:
            raise UserError(
                "URLs with a password, which would lie in the run's folder for all to read",
                problems=problems,
                remedy="leave user and password out of the URL; fsspec takes them from its own configuration "
                "(~/.config/fsspec/*.json, or variables such as FSSPEC_HTTPS)",
            )

    @staticmethod
    def refuse_incomplete(config: Config, path: Path) -> None:
        """Raises UserError where a run's URLs lack the query that `write_config` did not write down."""
        problems = [f"{key}: {place}" for key, place in _places(config) if place.endswith(_NOT_KEPT)]
        if problems:
            raise UserError(
                "the URLs of this run had a query, such as a signature, which is not kept",
                problems=problems,
                remedy=f"give them again: --resume {path} 'https://...?...' (or data.sources=[...], for several)",
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
        """Writes config.yaml: what the run is, or goes on as; URLs without their query, which may be a secret."""
        data = config.data
        sources = data.sources and tuple(
            replace(source, shards=_without_queries(source.shards)) for source in data.sources
        )
        (shards,), files = _without_queries((data.shards,)), data.files and _without_queries(data.files)
        features = data.features and _without_queries((data.features,))[0]
        shown_data = replace(data, shards=shards, files=files, sources=sources, features=features)
        replace_file(self.path / "config.yaml", to_yaml(replace(config, data=shown_data)).encode())

    def history(self) -> dict[str, Any]:
        """What run.json says; nothing where there is none. Raises UserError where it is damaged."""
        file = self.path / "run.json"
        try:
            record = json.loads(file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:  # no JSON, or no text
            record = error
        if not isinstance(record, dict) or not isinstance(record.get("resumed", []), list):
            told = record if isinstance(record, ValueError) else "it does not say what the run is"
            raise UserError(
                f"{file} is damaged: {told}", remedy="move it away: the run goes on and begins another"
            )
        return record

    def note_resumption(
        self, config: Config, step: int, validated_step: int, history: dict[str, Any], facts: dict[str, Any]
    ) -> None:
        """Writes down that and as what the run goes on, and drops metrics of what it does again.

        Args:
            config: that it goes on with.
            step: of the checkpoint that it goes on from; 0 where there is none.
            validated_step: of the last validation that the checkpoint knows of.
            history: of the run so far, as `history` reads it.
            facts: of the machine and the data.
        """
        self.write_config(config)
        resumed = [*history.get("resumed", []), {"step": step, **facts}]
        write_json(self.path / "run.json", {**history, "resumed": resumed})
        self._forget_after(step, validated_step)

    def log(self, record: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(finite_or_none(record), allow_nan=False) + "\n")

    def note_checkpoint(self, step: int) -> None:
        """Writes down that a checkpoint of this step is there: should all be lost, `refuse_lost_checkpoints` knows."""
        self.log({"kind": "checkpoint", "step": step})

    def refuse_lost_checkpoints(self) -> None:
        """Raises UserError where a run without a checkpoint once had one: to begin it anew would drop its records.

        A run that ended before its first checkpoint is let pass: nothing of it can be gone on with.
        """
        records = [record for _, record in self._records()]
        trained = max((record["step"] for record in records if record["kind"] == "train"), default=0)
        # Runs that are older than records of checkpoints went on after an epoch's end only when one was written.
        if any(
            record["kind"] == "checkpoint" or (record["kind"] == "epoch" and record["step"] < trained)
            for record in records
        ):
            last = max(record.get("step", 0) for record in records)
            raise UserError(
                f"{self.path} was trained to step {last} and has lost its checkpoints: there is nothing to go on from",
                remedy=f"put them back into {self.checkpoints}; or start another run under another name; or, to train "
                f"this one again from step 0, first move {self.path / 'metrics.jsonl'} away, for it would be rewritten",
            )

    def _forget_after(self, step: int, validated_step: int) -> None:
        file = self.path / "metrics.jsonl"
        if not file.is_file():
            return
        kept = []
        for line, record in self._records():
            of_step = record.get("step", 0)
            # The checkpoint of a stop within a validation knows nothing of what a later attempt at it found.
            repeated = of_step == step != validated_step and record["kind"] == "val"
            if of_step <= step and not repeated:
                kept.append(line + "\n")
        replace_file(file, "".join(kept).encode())

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The lines of metrics.jsonl and what they say."""
        file = self.path / "metrics.jsonl"
        for line in file.read_text().splitlines() if file.is_file() else ():
            try:
                yield line, json.loads(line)
            except json.JSONDecodeError:
                continue  # cut by a kill


def _places(config: Config) -> Iterator[tuple[str, str]]:
    """Dotted key and value of all that says where a configuration's shards lie, and is used."""
    data = config.data
    for place in data.files or ():
        yield "data.files", place
    for number, source in enumerate(data.sources or ()):
        for place in source.shards:
            yield f"data.sources[{number}].shards", place
    if not data.files and data.sources is None:
        yield "data.shards", data.shards
    if data.features is not None:
        yield "data.features", data.features


def _without_queries(places: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        f"{place.partition('?')[0]}{_NOT_KEPT}" if is_url(place) and "?" in place else place
        for place in places
    )
