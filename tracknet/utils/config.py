"""Composes YAML files and `key=value` overrides into a `Config`, and refuses what is wrong, all at once.

OmegaConf reads and merges; the check against the dataclasses of `settings` is our own, because a structured
merge stops at its first error and a person wants to see all of them, each with its file and a suggestion.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted, did_you_mean, natural_key
from tracknet.utils.settings import Config

GROUPS = ("data", "model", "training")
_KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_FEW_KEYS = 16
_T = TypeVar("_T")


# Settings that came after the first runs, and what runs did before. A new default must not change what is resumed.
_BEFORE_IT_WAS_SAID: dict[str, str | bool | float] = {
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
) -> Config:
    """The configuration made of one file per group and dotted overrides.

    Args:
        data: name in `configs/data`, or path of a YAML file. `model` and `training` likewise.
        overrides: `training.optimizer.lr=1e-4` and the like; values are YAML.

    Raises:
        UserError: a file is missing or is no YAML, or keys or values are wrong; every fault is listed.
    """
    tree: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for group, name in zip(GROUPS, (data, model, training), strict=True):
        path = _find(group, name)
        tree[group] = _read_yaml(path)
        _mark_origin(tree[group], group, str(path), origin)
    return _compose(tree, origin, overrides)


def load_saved_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration that a run wrote down, with overrides. Raises as `load_config` does.

    Where the run is older than a setting, it is what the run did then, whatever the default is now.
    """
    tree = _read_yaml(path)
    for key, value in _BEFORE_IT_WAS_SAID.items():
        _set_default(tree, key, value)
    origin: dict[str, str] = {}
    _mark_origin(tree, "", str(path), origin)
    return _compose(tree, origin, overrides)


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
) -> _T:
    """Plain dicts and lists to a settings dataclass, checked.

    Args:
        kind: a dataclass of `tracknet.utils.settings`.
        plain: what YAML or JSON gave.
        origin: dotted key -> where it was written, for messages.
        problems: faults already found, reported together with these.
        where: what to call the whole in the message.

    Raises:
        UserError: listing every unknown key, wrong type and impossible value.
    """
    found: list[str] = [] if problems is None else problems
    checker = _Checker(origin or {}, found, kind)
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


def _compose(tree: dict[str, Any], origin: dict[str, str], overrides: Sequence[str]) -> Config:
    problems: list[str] = []
    merged: Any = OmegaConf.create(tree)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            problems.append(f"{override!r}: write key=value, for example training.batch_size=8")
            continue
        if key.split(".")[0] not in GROUPS:
            problems.append(f"{key} (command line): no such key{_suggest_full_key(key)}")
            continue
        try:
            patch = OmegaConf.from_dotlist([f"{key}={value}"])
            merged = OmegaConf.merge(merged, patch)
            _mark_origin(OmegaConf.to_container(patch), "", "command line", origin)
        except (
            Exception
        ) as error:  # PyYAML's and OmegaConf's own families, and what a merge of unlike things raises
            problems.append(f"{key} (command line): {str(error).splitlines()[0]}")
    try:
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"the configuration cannot be resolved: {str(error).splitlines()[0]}") from None
    return from_plain(Config, plain, origin=origin, problems=problems)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except Exception as error:  # PyYAML's and OmegaConf's own families, and undecodable bytes
        raise UserError(f"{path} is no readable YAML: {str(error).splitlines()[0]}") from None
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


def _known_keys(kind: Any, prefix: str = "") -> list[str]:
    keys: list[str] = []
    hints = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):
        key = f"{prefix}{f.name}"
        keys.append(key)
        if dataclasses.is_dataclass(hints[f.name]):
            keys += _known_keys(hints[f.name], key + ".")
    return keys


def _suggest_full_key(key: str, root: Any = Config) -> str:
    """The full key that ends in what was typed (`heatmap.size`), else the nearest one, else all if they are few."""
    known = _known_keys(root)
    endings = [full for full in known if full.endswith("." + key)]
    if len(endings) == 1:
        return f" (did you mean {endings[0]}?)"
    few = f" (there are {', '.join(known)})" if len(known) <= _FEW_KEYS else ""
    return did_you_mean(key, known) or few


class _Checker:
    """Walks plain values against type hints, noting every fault and going on."""

    def __init__(self, origin: Mapping[str, str], problems: list[str], root: Any) -> None:
        self.origin = origin
        self.problems = problems
        self.root = root

    def build(self, kind: Any, plain: Any, key: str) -> Any:
        if not isinstance(plain, Mapping):
            return self._fault(key, f"needs keys and values, got {plain!r}")
        hints = typing.get_type_hints(kind)
        fields = {f.name: f for f in dataclasses.fields(kind)}
        values: dict[str, Any] = {}
        faults_before = len(self.problems)
        for name, item in plain.items():
            full = f"{key}.{name}" if key else str(name)
            if name not in fields:
                self._fault(full, f"no such key{self._suggest(kind, key, str(name))}")
            else:
                values[str(name)] = self._value(hints[name], item, full, fields[name].metadata)
        if len(self.problems) > faults_before:
            return None
        built = kind(**values)
        for inner, message in getattr(built, "problems", lambda: ())():
            self._fault(f"{key}.{inner}" if key else inner, message)
        return built

    def _suggest(self, kind: Any, key: str, name: str) -> str:
        near = did_you_mean(name, [f.name for f in dataclasses.fields(kind)])
        if near and key:
            return near.replace("did you mean ", f"did you mean {key}.")
        return near or _suggest_full_key(name, self.root)

    def _fault(self, key: str, message: str) -> Any:
        """Notes a problem; returns None, as the value that there is not."""
        parts = key.split(".")
        source = next(
            (self.origin[k] for n in range(len(parts), 0, -1) if (k := ".".join(parts[:n])) in self.origin),
            None,
        )
        self.problems.append(f"{key}{f' ({source})' if source else ''}: {message}")

    def _value(self, hint: Any, item: Any, key: str, bounds: Mapping[str, Any]) -> Any:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if dataclasses.is_dataclass(hint):
            return self.build(hint, item, key)
        if origin in (Union, types.UnionType):
            if item is None and type(None) in args:
                return None
            rest = [arg for arg in args if arg is not type(None)]
            if len(rest) == 1:
                return self._value(rest[0], item, key, bounds)
            return self._first_fitting(rest, item, key)
        if origin is Literal:
            if item not in args or isinstance(item, bool):
                choices = ", ".join(str(arg) for arg in args)
                suggestion = did_you_mean(str(item), [str(arg) for arg in args])
                # YAML reads a bare `off` as false: what was meant is plain.
                if item is False and "off" in args:
                    return "off"
                return self._fault(key, f"{item!r} is none of {choices}{suggestion}")
            return item
        if hint is Size:
            return self._size(item, key)
        if origin is tuple:
            return self._tuple(args, item, key)
        if origin is dict:
            return self._dict(args, item, key)
        return self._scalar(hint, item, key, bounds)

    def _first_fitting(self, hints: list[Any], item: Any, key: str) -> Any:
        for hint in hints:
            trial = _Checker({}, [], self.root)
            value = trial._value(hint, item, key, {})
            if not trial.problems:
                return value
        choices = [
            " or ".join(map(str, typing.get_args(hint)))
            if typing.get_origin(hint) is Literal
            else _KIND_NAMES[hint]
            for hint in hints
        ]
        return self._fault(key, f"needs {' or '.join(choices)}, got {item!r}")

    def _size(self, item: Any, key: str) -> Any:
        whole = isinstance(item, list | tuple) and all(type(n) is int for n in item)
        if not whole or len(item) != 2 or min(item) < 1:
            return self._fault(
                key, f"needs [width, height] in whole pixels, for example [512, 288]; got {item!r}"
            )
        return Size(*item)

    def _tuple(self, args: tuple[Any, ...], item: Any, key: str) -> Any:
        if args == (str, Ellipsis) and type(item) in (str, int):
            item = [item]  # a single name needs no brackets
        if isinstance(item, str | Mapping) or not isinstance(item, Sequence):
            return self._fault(key, f"needs a list such as [a, b], got {item!r}")
        if args[-1] is not Ellipsis and len(item) != len(args):
            return self._fault(key, f"needs {len(args)} values, got {len(item)}")
        kinds = [args[0]] * len(item) if args[-1] is Ellipsis else args
        return tuple(
            self._value(kind, value, f"{key}[{n}]", {})
            for n, (kind, value) in enumerate(zip(kinds, item, strict=True))
        )

    def _dict(self, args: tuple[Any, Any], item: Any, key: str) -> Any:
        if not isinstance(item, Mapping):
            return self._fault(key, f"needs keys and values, got {item!r}")
        if args[1] is Any:
            return dict(item)
        return {
            # JSON knows text keys only: 1 comes back as "1".
            self._scalar(
                args[0], int(k) if args[0] is int and str(k).isdecimal() else k, key, {}
            ): self._value(args[1], v, f"{key}.{k}", {})
            for k, v in item.items()
        }

    def _scalar(self, hint: Any, item: Any, key: str, bounds: Mapping[str, Any]) -> Any:
        if hint is float and type(item) is int:
            item = float(item)
        if hint is str and type(item) in (int, float):
            item = str(item)
        if type(item) is not hint:
            return self._fault(key, f"needs {_KIND_NAMES[hint]}, got {item!r}")
        low, high, above = (bounds.get(name) for name in ("low", "high", "above"))
        if isinstance(item, float) and not math.isfinite(item):
            return self._fault(key, f"needs a number, got {item}")
        if above is not None and item <= above:
            return self._fault(key, f"must be above {above:g}, got {item:g}")
        if low is not None and item < low:
            return self._fault(key, f"must be at least {low:g}, got {item:g}")
        if high is not None and item > high:
            return self._fault(key, f"must be at most {high:g}, got {item:g}")
        return item
