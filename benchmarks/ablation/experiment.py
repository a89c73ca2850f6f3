"""An experiment file of configs/experiments: its rows, each with what it takes from its base."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tracknet.utils.config import config_folders, from_plain, read_yaml, sets_key
from tracknet.utils.errors import UserError
from tracknet.utils.naming import did_you_mean

STEPS_KEY = "training.max_steps"
SEED_KEY = "training.seed"
# What a run of the table sets itself: dotted key -> what to say instead, in the file and on the command line.
_SAID_ELSEWHERE: dict[str, tuple[str | None, str]] = {
    STEPS_KEY: ("steps: N", "--steps N"),
    SEED_KEY: ("seeds: [N]", "--seeds N"),
    **dict.fromkeys(("data.shards", "data.files", "data.sources"), (None, "--shards FOLDER")),
    "training.log_dir": (None, "--work FOLDER"),
}
# It is a file's name and a cell of a table.
_ROW_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        model: of configs/model; that of the row `base` where it is left out.
        overrides: `key=value`, after those of the whole experiment and of the row `base`.
        seeds: `null` takes the experiment's.
        about: what the row is to tell.
        steps: optimizer steps; `null` takes those of the row `base`, else the experiment's.
        base: another row, whose model, steps and overrides this one begins with; `null` for none.
        overlap: how the evaluation merges the maps of all windows that see a frame (`evaluate --overlap`); `null` is
            the model's default. A row that trains as its base does is the base's training, scored otherwise.
    """

    model: str = ""
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    about: str = ""
    steps: int | None = field(default=None, metadata={"low": 1})
    base: str | None = None
    overlap: Literal["mean", "max", "weighted", "none"] | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for overrides that are said elsewhere, and for seeds that cannot be."""
        for problem in said_elsewhere(self.overrides, "in the row"):
            yield "overrides", problem
        if self.seeds is not None:
            yield from (("seeds", problem) for problem in seed_problems(self.seeds))


@dataclass(frozen=True)
class Experiment:
    """An experiment file.

    Attributes:
        about: the data, the split and the protocol, for the readers of the table.
        data: name in configs/data, or path of a YAML file.
        training: name in configs/training, or path of a YAML file.
        split: what is scored, by the best checkpoint and the threshold that validation chose.
        steps: optimizer steps of every row that names none.
        overrides: of every row.
        seeds: of every row that names none.
        reference: the rows from whose better one (by F1 under `wasb`) differences are taken.
        rows: by name.
        file: where it was read; not said in the file itself.
    """

    about: str = ""
    data: str = "tracknet"
    training: str = "default"
    split: Literal["train", "val", "test"] = "val"
    steps: int = field(default=20_000, metadata={"low": 1})
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    reference: tuple[str, ...] = ()
    rows: dict[str, dict] = field(default_factory=dict)  # type: ignore[type-arg]
    file: str = ""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for rows that are missing or have impossible names, for overrides that are said
        elsewhere, and for seeds that cannot be.
        """
        for problem in said_elsewhere(self.overrides, "in the experiment"):
            yield "overrides", problem
        yield from (("seeds", problem) for problem in seed_problems(self.seeds))
        if self.file:
            yield "file", "no such key"
        if not self.rows:
            yield "rows", "there are none"
        for name in self.rows:
            if not _ROW_NAME.fullmatch(name):
                yield (
                    "rows",
                    f"{name!r} is no name of a row: take letters, digits and _, after the first also . and -",
                )
        for name in self.reference:
            if name not in self.rows:
                yield "reference", f"there is no row {name!r}{did_you_mean(name, self.rows)}"


def seed_problems(seeds: Sequence[int]) -> list[str]:
    """What is wrong with a list of seeds: it is empty, or one comes twice."""
    if not seeds:
        return ["there are none; leave the line out for those that hold otherwise"]
    return [f"the seed {seed} comes twice" for seed in dict.fromkeys(seeds) if seeds.count(seed) > 1]


def said_elsewhere(overrides: Sequence[str], where: str) -> list[str]:
    """What is wrong with overrides that set what has one other place: a row's seed, steps and shards, its run's folder.

    Args:
        overrides: `key=value`.
        where: these stand: "on the command line", or "in the row" and the like, of an experiment file.
    """
    on_command_line = "on the command line"
    problems = []
    for key, (in_file, in_command) in _SAID_ELSEWHERE.items():
        if sets_key(overrides, key) or any(item.startswith(f"{key}=") for item in overrides):
            says = in_command if where == on_command_line or in_file is None else in_file
            place = on_command_line if says is in_command else where
            problems.append(f"{key} cannot be set here; say `{says}` {place} instead")
    return problems


def read_experiment(name: str) -> tuple[Experiment, dict[str, Row]]:
    """An experiment and its rows, what they take from their bases among them.

    Args:
        name: in configs/experiments, or the path of a YAML file.

    Raises:
        UserError: there is none, or something in it is wrong.
    """
    folders = [folder / "experiments" for folder in config_folders()]
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    places = [Path(name), *(folder / f"{name}.yaml" for folder in folders)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UserError(
            f"there is no experiment {name}{did_you_mean(name, known)}",
            remedy=f"choose from {', '.join(known)}, or give the path of a .yaml file",
        )
    experiment = from_plain(Experiment, read_yaml(path), where=str(path))
    rows = {row: from_plain(Row, plain, where=f"{path}: {row}") for row, plain in experiment.rows.items()}
    problems = [problem for row in rows if (problem := _base_problem(row, rows))]
    if problems:
        raise UserError(f"{path}: rows have bases that cannot be", problems=problems)
    whole = {name: _with_base(row, rows) for name, row in rows.items()}
    if bare := [f"{name}: it has neither model nor base" for name, row in whole.items() if not row.model]:
        raise UserError(f"{path}: rows have no model", problems=bare)
    return replace(experiment, file=str(path)), whole


def _base_problem(name: str, rows: Mapping[str, Row]) -> str | None:
    """What is wrong with a row's base: it is none of the rows, or leads back to the row."""
    base = rows[name].base
    if base is None:
        return None
    if base not in rows:
        return f"{name}: base: there is no row {base!r}{did_you_mean(base, rows)}"
    chain = [name]
    while base is not None and base in rows and base not in chain:
        chain.append(base)
        base = rows[base].base
    return f"{name}: base: {' -> '.join([*chain, name])} is a circle" if base == name else None


def _with_base(row: Row, rows: Mapping[str, Row]) -> Row:
    """A row with its base's model and steps, unless it has its own, and the base's overrides before its own."""
    if row.base is None:
        return row
    base = _with_base(rows[row.base], rows)
    return replace(
        row,
        model=row.model or base.model,
        steps=row.steps or base.steps,
        overrides=(*base.overrides, *row.overrides),
    )
