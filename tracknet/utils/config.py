"""Composes YAML files and `key=value` overrides into a `Config`, and refuses what is wrong, all at once.

OmegaConf reads and merges; what comes of it is checked by `settings_checker`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tracknet.utils.errors import UserError, first_line
from tracknet.utils.naming import counted, did_you_mean, natural_key
from tracknet.utils.settings import Config
from tracknet.utils.settings_checker import SettingsChecker, suggest_full_key

GROUPS = ("data", "model", "training")
COMMAND_LINE = "command line"
"""Where overrides stand of which nothing else is said, for messages."""
_T = TypeVar("_T")


# Settings that came after the first runs, and what runs did before. A new default must not change what is resumed.
_DEFAULTS_OF_OLDER_RUNS: dict[str, str | bool | float] = {
    "data.augment.per": "window",
    "data.augment.by": "workers",
    "data.augment.warp_prob": 1.0,
    "training.speed.channels_last": False,
    "training.speed.fused_optimizer": False,
    "training.speed.tf32": False,
    "training.speed.cudnn_benchmark": False,
}


def config_folders() -> list[Path]:
    """Where `configs/GROUP/NAME.yaml` is looked for: the working folder, the checkout, the package."""
    package = Path(__file__).resolve().parent.parent
    candidates = [Path.cwd() / "configs", package.parent / "configs", package / "configs"]
    return [folder for folder in dict.fromkeys(candidates) if (folder / "model").is_dir()]


def load_config(
    *,
    data: str = "tracknet",
    model: str = "vit_heatmap",
    training: str = "default",
    overrides: Sequence[str] = (),
    places: Sequence[str] = (),
) -> Config:
    """The configuration made of one file per group and dotted overrides.

    Args:
        data: name in `configs/data`, or path of a YAML file.
        model: name in `configs/model`, or path.
        training: name in `configs/training`, or path.
        overrides: `training.optimizer.lr=1e-4` and the like; values are YAML.
        places: where each of the overrides stands, for messages; those that are not named on the command line.

    Raises:
        UserError: a file is missing or is no YAML, or keys or values are wrong; every fault is listed.
        ValueError: there are more places than overrides.
    """
    if len(places) > len(overrides):
        raise ValueError(f"{len(places)} places of {len(overrides)} overrides")
    tree: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for group, name in zip(GROUPS, (data, model, training), strict=True):
        path = _find(group, name)
        tree[group] = read_yaml(path)
        _mark_origin(tree[group], group, str(path), origin)
    return _compose(tree, origin, overrides, places)


def load_saved_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration that a run wrote down, with overrides. Raises as `load_config` does.

    Where the run is older than a setting, it is what the run did then, whatever the default is now. What it wrote down
    that has no effect is no fault.
    """
    tree = read_yaml(path)
    for key, value in _DEFAULTS_OF_OLDER_RUNS.items():
        _set_default(tree, key, value)
    origin: dict[str, str] = {}
    _mark_origin(tree, "", str(path), origin)
    return _compose(tree, origin, overrides, of_a_run=str(path))


def sets_key(overrides: Sequence[str], key: str) -> bool:
    """Whether overrides set a dotted key to anything but null: itself, or as `data={shards: X}`.

    What a value refers to (`${data.root}`) is not looked up: that may lie outside the overrides. Those that are not
    sound are left to `load_config`, which names them.
    """
    merged: Any = OmegaConf.create({})
    for override in overrides:
        with contextlib.suppress(Exception):  # as in `_compose`
            merged = OmegaConf.merge(merged, OmegaConf.from_dotlist([override]))
    place: Any = OmegaConf.to_container(merged, resolve=False)
    for name in key.split("."):
        place = place.get(name) if isinstance(place, dict) else None
    return place is not None


def from_plain(
    kind: type[_T],
    plain: Any,
    *,
    origin: Mapping[str, str] | None = None,
    problems: list[str] | None = None,
    where: str = "the configuration",
    of_a_run: str | None = None,
) -> _T:
    """Plain dicts and lists to a settings dataclass, checked.

    Args:
        kind: a dataclass of `tracknet.utils.settings`.
        plain: what YAML or JSON gave.
        origin: dotted key -> where it was written, for messages.
        problems: faults already found, reported together with these.
        where: what to call the whole in the message.
        of_a_run: of `SettingsChecker`.

    Raises:
        UserError: listing every unknown key, wrong type and impossible value.
    """
    found: list[str] = [] if problems is None else problems
    checker = SettingsChecker(origin or {}, found, kind, of_a_run)
    value = checker.build(kind, plain, "")
    if found:
        raise UserError(f"{where} has {counted(len(found), 'problem')}", problems=found)
    return typing.cast(_T, value)


def to_plain(value: Any) -> Any:
    """A settings dataclass to plain dicts, lists and numbers, as YAML and JSON write them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def leaves(tree: Any, key: str) -> dict[str, Any]:
    """Nested plain values, such as those of `to_plain`, as dotted key -> value; `key` is the dotted key of them all."""
    if not isinstance(tree, dict):
        return {key: tree}
    return {
        name: leaf for inner, item in tree.items() for name, leaf in leaves(item, f"{key}.{inner}").items()
    }


def to_yaml(config: Any) -> str:
    """A settings dataclass as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.create(to_plain(config)))


def _find(group: str, name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.is_file():
            return path
        raise UserError(f"--{group} {name}: no such file")
    folders = config_folders()
    for folder in folders:
        path = folder / group / f"{name}.yaml"
        if path.is_file():
            return path
    known = sorted({p.stem for folder in folders for p in (folder / group).glob("*.yaml")}, key=natural_key)
    raise UserError(
        f"--{group} {name}: there is no such {group} config{did_you_mean(name, known)}",
        remedy=f"choose one of {', '.join(known) or '(none found)'}, or give the path of a .yaml file",
    )


def _compose(
    tree: dict[str, Any],
    origin: dict[str, str],
    overrides: Sequence[str],
    places: Sequence[str] = (),
    of_a_run: str | None = None,
) -> Config:
    problems: list[str] = []
    merged: Any = OmegaConf.create(tree)
    for override, place in zip_longest(overrides, places, fillvalue=COMMAND_LINE):
        key, equals, value = override.partition("=")
        if not equals or not key:
            problems.append(f"{override!r} ({place}): write key=value, for example training.batch_size=8")
            continue
        if key.split(".")[0] not in GROUPS:
            problems.append(f"{key} ({place}): no such key{suggest_full_key(key, Config)}")
            continue
        try:
            patch = OmegaConf.from_dotlist([f"{key}={value}"])
            merged = OmegaConf.merge(merged, patch)
            _mark_origin(OmegaConf.to_container(patch), "", place, origin)
        except TypeError:  # of a merge: a list onto keys and values, or these onto a list
            problems.append(_unlike(OmegaConf.to_container(merged, resolve=False), key, value, place))
        except Exception as error:  # PyYAML's and OmegaConf's own families
            problems.append(f"{key} ({place}): {first_line(error)}")
    try:
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"the configuration cannot be resolved: {first_line(error)}") from None
    return from_plain(Config, plain, origin=origin, problems=problems, of_a_run=of_a_run)


def _unlike(tree: Any, key: str, value: str, place: str) -> str:
    """What is wrong with an override that puts a list in the place of keys and values, or these in that of a list."""
    names, depth = key.split("."), 0
    while depth < len(names) and isinstance(tree, dict):
        tree, depth = tree.get(names[depth]), depth + 1
    got = ".".join(names[depth:]) + "=" + value if depth < len(names) else value
    needed = "keys and values" if isinstance(tree, dict) else "a list"
    return f"{'.'.join(names[:depth])} ({place}): needs {needed}, got {got}"


def read_yaml(path: Path) -> dict[str, Any]:
    """A file of keys and values, references in it left as they are written.

    Raises:
        UserError: it is none, with the line.
    """
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except Exception as error:  # PyYAML's and OmegaConf's own families, and undecodable bytes
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        told = f"line {mark.line + 1}: {problem}" if mark and problem else first_line(error)
        raise UserError(f"{path} is no readable YAML: {told}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold keys and values, it holds a {type(loaded).__name__}")
    return typing.cast(dict[str, Any], loaded)


def _set_default(tree: dict[str, Any], key: str, value: str | bool | float) -> None:
    """Sets a dotted key where it is missing. What is no mapping on the way there is left to the checks."""
    *parents, last = key.split(".")
    place: Any = tree
    for name in parents:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            return
    place.setdefault(last, value)


def _mark_origin(tree: Any, prefix: str, source: str, origin: dict[str, str]) -> None:
    origin[prefix] = source
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            _mark_origin(item, f"{prefix}.{key}" if prefix else str(key), source, origin)
