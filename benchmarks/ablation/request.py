"""One training and its evaluation: what is asked for, by what it is known again, and how it is called here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from benchmarks.ablation.experiment import SEED_KEY, STEPS_KEY
from tracknet.utils.config import COMMAND_LINE, load_config, to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.settings import Config

BACKBONE = "model.backbone.name"
FEATURES = "data.features"
# What changes no result, where the same features lie, and the seed and the steps, which a record says elsewhere.
NOT_COMPARED = {
    *(SEED_KEY, STEPS_KEY, "training.threads", "training.device", "training.log_dir"),
    *("data.shards", FEATURES, "data.loader.workers"),
}


@dataclass(frozen=True)
class Request:
    """One training and its evaluation.

    Attributes:
        row: its name.
        seed: of initialisation, order and augmentation.
        data: name of a config, as on the command line.
        model: name of a config.
        training: name of a config.
        overrides: all of them.
        split: to score.
        overlap: of the evaluation; `None` is the model's default.
        trained_as: the row whose training it is; itself where left empty.
        places: where each of the overrides stands, for messages; those that are not named on the command line.
        weights: the folder that holds its backbone here, if not the hub: of this machine, and so no part of what is
            asked for.
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
    places: tuple[str, ...] = field(default=(), compare=False)
    weights: str = field(default="", compare=False)

    @property
    def fingerprint(self) -> str:
        """Of all that is asked for: of the values in the config files, not of the files' names.

        Values that are the settings' own defaults are left out, so that a setting that did not exist yet when a
        row was measured does not ask for it again. When a default changes, remove the records of rows it changes.
        """
        merged = [] if self.overlap is None else [self.overlap]
        return _digest(_asked(self.config()), self.split, *merged)

    @property
    def configuration(self) -> str:
        """The fingerprint of what the seeds of a row have in common: without what is in `NOT_COMPARED`."""
        return _digest(_asked(self.config(), NOT_COMPARED), self.split, self.overlap)

    @property
    def name(self) -> str:
        """Of its run: another training has another name, so that no run is taken for what it is not.

        What changes no result changes no name, nor does the folder that its backbone or its features lie in.
        """
        config = self.config()
        backbone = config.model.backbone
        named = replace(config.model, backbone=replace(backbone, name=short_name(backbone.name)))
        asked = _asked(replace(config, model=named), NOT_COMPARED - {SEED_KEY, STEPS_KEY})
        features = [] if config.data.features is None else [FEATURES]
        return f"{self.trained_as or self.row}-s{self.seed}-{_digest(asked, self.split, *features)[:8]}"

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
        try:
            return _composed(self.data, self.model, self.training, self.overrides)
        except UserError:
            # What is wrong, once more, with the places where it stands; right ones are composed once for all of these.
            return load_config(
                data=self.data,
                model=self.model,
                training=self.training,
                overrides=self.overrides,
                places=self.places,
            )

    def train_options(self) -> list[str]:
        """Of the train command on this machine."""
        return [*self.options(), *([f"{BACKBONE}={self.weights}"] if self.weights else [])]

    def resume_options(self) -> list[str]:
        """Of the train command that goes on with its run: what of this machine changes no result."""
        training, data = self.config().training, self.config().data
        here = {
            "training.device": training.device,
            "training.threads": training.threads,
            "data.loader.workers": data.loader.workers,
            FEATURES: data.features,
        }
        return [f"{key}={'null' if value is None else value}" for key, value in here.items()]

    def options(self) -> list[str]:
        """What is asked for, as options of the train command."""
        return ["--data", self.data, "--model", self.model, "--training", self.training, *self.overrides]

    def more(self, *overrides: str, place: str = COMMAND_LINE) -> Request:
        """With further overrides, which win, and stand at that place."""
        places = (*self.places, *[place] * len(overrides))
        return replace(self, overrides=(*self.overrides, *overrides), places=places)


def short_name(backbone: str) -> str:
    """What a backbone is called, wherever it lies: the last part of its name in the hub, or of its folder."""
    return backbone.rstrip("/").rpartition("/")[2]


def _asked(config: Config, left_out: Collection[str] = ()) -> dict[str, Any]:
    """The values of a configuration that are not the settings' own defaults, but for those of some dotted keys."""
    mine, defaults = (_without(to_plain(one), left_out) for one in (config, Config()))
    return _apart(mine, defaults)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


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
