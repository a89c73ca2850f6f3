"""What `ablation.py` is to train: an experiment file of configs/experiments, made into one request per row and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from tracknet.utils.config import config_folders, from_plain, load_config, to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import did_you_mean
from tracknet.utils.settings import Config

# A rehearsal's input, in cells of the coarsest grid: halved four times, or cut into patches, it has whole cells.
_TOY_CELLS = Size(6, 3)
_STEPS_KEY = "training.max_steps="
# What changes nothing in a result, or is told apart already.
OF_NO_ACCOUNT = {
    *("training.seed", "training.max_steps", "training.threads", "training.device", "training.log_dir"),
    *("data.shards", "data.loader.workers"),
}
_TOY_VIT = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        model: of configs/model; that of the row `base` where it is left out.
        overrides: `key=value`, after those of the whole experiment and of the row `base`.
        seeds: `null` takes the experiment's.
        about: what the row is to tell.
        steps: optimizer steps; `null` takes the experiment's.
        base: another row, whose model and overrides this one begins with; `null` for none.
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
        """Steps where they would not count."""
        if any(item.startswith(_STEPS_KEY) for item in self.overrides):
            yield "overrides", f"{_STEPS_KEY}... does not count here; say `steps: N` in the row instead"


@dataclass(frozen=True)
class Experiment:
    """An experiment file.

    Attributes:
        about: the data, the split and the protocol, for whoever reads the table.
        data: of configs/data. `training` likewise.
        split: what is scored, by the best checkpoint and the threshold that validation chose.
        steps: optimizer steps of every row that names none.
        overrides: of every row.
        seeds: of every row that names none.
        reference: the rows from whose better one (by F1 under `wasb`) differences are taken.
        rows: by name.
    """

    about: str = ""
    data: str = "tracknet"
    training: str = "default"
    split: str = "val"
    steps: int = field(default=20_000, metadata={"low": 1})
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    reference: tuple[str, ...] = ()
    rows: dict[str, dict] = field(default_factory=dict)  # type: ignore[type-arg]

    def problems(self) -> Iterator[tuple[str, str]]:
        """No rows, or references to none."""
        if not self.rows:
            yield "rows", "there are none"
        for name in self.reference:
            if name not in self.rows:
                yield "reference", f"there is no row {name!r}{did_you_mean(name, self.rows)}"


@dataclass(frozen=True)
class Request:
    """One training and its evaluation.

    Attributes:
        row: its name.
        seed: of initialisation, order and augmentation.
        data: configs by name, as on the command line; `model` and `training` likewise.
        overrides: all of them.
        split: to score.
        overlap: of the evaluation; `None` is the model's default.
        trained_as: the row whose training it is; itself where left empty.
    """

    row: str
    seed: int
    data: str
    model: str
    training: str
    overrides: tuple[str, ...]
    split: str
    overlap: str | None = None
    trained_as: str = ""

    @property
    def fingerprint(self) -> str:
        """Of all that is asked for: of the values in the config files, not of the files' names.

        Values that are the settings' own defaults are left out, so that a setting that did not exist yet when a
        row was measured does not ask for it again. Whoever changes a default has to remove the rows it changes.
        """
        return self._digest([] if self.overlap is None else [self.overlap])

    def _digest(self, more: list[str]) -> str:
        asked = _apart(to_plain(self.config()), to_plain(Config()))
        return hashlib.sha256(json.dumps([asked, self.split, *more], sort_keys=True).encode()).hexdigest()

    @property
    def configuration(self) -> str:
        """The same of what the seeds of a row have in common: without the seed, the steps, and `OF_NO_ACCOUNT`."""
        mine, defaults = (_without(to_plain(one), OF_NO_ACCOUNT) for one in (self.config(), Config()))
        asked = _apart(mine, defaults)
        return hashlib.sha256(
            json.dumps([asked, self.split, self.overlap], sort_keys=True).encode()
        ).hexdigest()

    @property
    def name(self) -> str:
        """Of its run: another training has another name, so that no run is taken for what it is not."""
        return f"{self.trained_as or self.row}-s{self.seed}-{self._digest([])[:8]}"

    @property
    def evaluation(self) -> str:
        """Of its evaluation, in the run's folder: another merging of maps lies elsewhere."""
        return self.split if self.overlap is None else f"{self.split}-{self.overlap}"

    @property
    def windows_a_step(self) -> int:
        """That an optimizer step learns from."""
        training = self.config().training
        return training.batch_size * training.accumulate

    def config(self) -> Config:
        """The whole configuration; raises UserError where it is none."""
        return _composed(self.data, self.model, self.training, self.overrides)

    def options(self) -> list[str]:
        """Of the train command."""
        return ["--data", self.data, "--model", self.model, "--training", self.training, *self.overrides]

    def more(self, *overrides: str) -> Request:
        """With further overrides, which win."""
        return replace(self, overrides=(*self.overrides, *overrides))


def _apart(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not the defaults, groups within groups."""
    apart = {}
    for name, value in values.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            value, default = _apart(value, default), {}
        if value != default:
            apart[name] = value
    return apart


def _without(values: Mapping[str, Any], keys: Collection[str], above: str = "") -> dict[str, Any]:
    """The values but for those of some dotted keys."""
    return {
        name: _without(value, keys, f"{above}{name}.") if isinstance(value, Mapping) else value
        for name, value in values.items()
        if f"{above}{name}" not in keys
    }


@cache
def _composed(data: str, model: str, training: str, overrides: tuple[str, ...]) -> Config:
    return load_config(data=data, model=model, training=training, overrides=overrides)


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
    experiment = from_plain(Experiment, OmegaConf.to_container(OmegaConf.load(path)), where=str(path))
    rows = {row: from_plain(Row, plain, where=f"{path}: {row}") for row, plain in experiment.rows.items()}
    problems = [problem for row in rows if (problem := _base_problem(row, rows))]
    if problems:
        raise UserError(f"{path}: rows have bases that cannot be", problems=problems)
    return experiment, {name: _with_base(row, rows) for name, row in rows.items()}


def _base_problem(name: str, rows: Mapping[str, Row]) -> str | None:
    """What is wrong with a row's base: it is none of the rows, or leads back to the row."""
    base = rows[name].base
    if base is None:
        return None
    if base not in rows:
        return f"{name}: base: there is no row {base!r}{did_you_mean(base, rows)}"
    chain = [name]
    while base in rows and base not in chain:
        chain.append(base)
        base = rows[base].base
    return f"{name}: base: {' -> '.join([*chain, name])} is a circle" if base == name else None


def _with_base(row: Row, rows: Mapping[str, Row]) -> Row:
    """A row with its base's model, unless it has its own, and the base's overrides before its own."""
    if row.base is None:
        return row
    base = _with_base(rows[row.base], rows)
    return replace(row, model=row.model or base.model, overrides=(*base.overrides, *row.overrides))


def _trained_as(name: str, rows: Mapping[str, Row], experiment: Experiment) -> str:
    """The row whose training a row is: its own name, or that of a base that it only scores otherwise."""
    row = rows[name]
    if row.base is None or row.overlap is None:
        return name
    mine, base = ((one.model, one.overrides, one.steps or experiment.steps) for one in (row, rows[row.base]))
    return _trained_as(row.base, rows, experiment) if mine == base else name


def requests(
    experiment: Experiment,
    rows: Mapping[str, Row],
    *,
    only: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    overrides: Sequence[str] = (),
    weights: Mapping[str, str] | None = None,
    toy: bool = False,
) -> list[Request]:
    """What is to be trained, the first seed of every row first, so that a cut-off table is a whole one.

    Args:
        experiment: of the file.
        rows: likewise.
        only: names of rows; all where `None`.
        seeds: instead of the file's.
        steps: instead of the file's, a row's own among them; at least 1.
        overrides: further ones of every row.
        weights: hub name -> folder that holds that backbone here.
        toy: everything as small as it goes, with random backbones and one seed, two steps where none are given: a
            rehearsal.

    Raises:
        UserError: unknown rows, or rows whose configuration is wrong; all of them.
    """
    unknown = [name for name in only or () if name not in rows]
    if unknown:
        raise UserError(f"there is no row {', '.join(unknown)}", remedy=f"choose from {', '.join(rows)}")
    made, problems = [], []
    for name, row in rows.items():
        if only and name not in only:
            continue
        for order, seed in enumerate(seeds or ((0,) if toy else row.seeds or experiment.seeds)):
            request = Request(
                name,
                seed,
                experiment.data,
                row.model,
                experiment.training,
                (),
                experiment.split,
                row.overlap,
                _trained_as(name, rows, experiment),
            )
            request = request.more(
                *experiment.overrides,
                *row.overrides,
                f"{_STEPS_KEY}{steps if steps is not None else row.steps or experiment.steps}",
                f"training.seed={seed}",
                *overrides,
            )
            try:
                request = as_toy(request, steps or 2) if toy else _with_weights(request, weights or {})
                request.config()
            except UserError as error:
                problems.append(f"{name}: {error}")
                break
            made.append((order, request))
    if problems:
        raise UserError("not every row can be trained", problems=problems)
    return [request for _, request in sorted(made, key=lambda pair: pair[0])]


def _with_weights(request: Request, weights: Mapping[str, str]) -> Request:
    folder = weights.get(request.config().model.backbone.name)
    return request if folder is None else request.more(f"model.backbone.name={folder}")


def as_toy(request: Request, steps: int = 2) -> Request:
    """The same at about 96x48 pixels, a few steps of two windows, on three rendered games."""
    config = request.config()
    size, heatmap = config.data.resize, config.model.heatmap.size
    assert size is not None, "experiments say data.resize"
    is_vit = not config.model.backbone.is_none
    cell = 14 if is_vit and size.width % 16 else 16
    small = Size(_TOY_CELLS.width * cell, _TOY_CELLS.height * cell)
    overrides = [
        f"data.resize=[{small.width},{small.height}]",
        f"model.heatmap.size=[{heatmap.width * small.width // size.width},"
        f"{heatmap.height * small.height // size.height}]",
        "data.val_games=[2]",
        "data.test_games=[3]",
        "data.num_shards=2",
        "data.loader.workers=0",
        "training.batch_size=2",
        "training.accumulate=1",
        f"{_STEPS_KEY}{steps}",
        "training.epochs=1",
        "training.device=cpu",
        "training.amp=off",
        "training.threads=1",
    ]
    if is_vit:
        overrides += [
            f"model.backbone.name={'dinov2' if cell == 14 else 'vit'}",
            "model.backbone.pretrained=false",
            *(f"model.backbone.config.{key}={value}" for key, value in _TOY_VIT.items()),
        ]
        if layers := config.model.backbone.layers:
            overrides.append(f"model.backbone.layers=[{','.join(str(n + 1) for n in range(len(layers)))}]")
            overrides.append(f"model.backbone.config.num_hidden_layers={len(layers)}")
        if cell == 14:
            # DINOv2 says the width of its MLP as a ratio.
            overrides.remove("model.backbone.config.intermediate_size=32")
    return request.more(*overrides)
