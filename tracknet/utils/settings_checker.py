"""Plain values against the dataclasses of `settings`: every fault is noted, with where it was written.

The check is our own and not OmegaConf's, because a structured merge stops at its first error and a person wants to
see all of them, each with its file and a suggestion.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

from tracknet.utils.geometry import Size
from tracknet.utils.naming import did_you_mean


class _Wrong(Exception):
    """A value that was found wrong is looked at."""


_KIND_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    dict: "keys and values",
    list: "a list",
}
_FEW_KEYS = 16


def _known_keys(kind: Any, prefix: str = "") -> list[str]:
    keys: list[str] = []
    hints = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):
        key = f"{prefix}{f.name}"
        keys.append(key)
        if dataclasses.is_dataclass(hints[f.name]):
            keys += _known_keys(hints[f.name], key + ".")
    return keys


def suggest_full_key(key: str, root: Any) -> str:
    """The full key that ends in what was typed (`heatmap.size`), else the nearest one, else all if they are few."""
    known = _known_keys(root)
    endings = [full for full in known if full.endswith("." + key)]
    if len(endings) == 1:
        return f" (did you mean {endings[0]}?)"
    few = f" (there are {', '.join(known)})" if len(known) <= _FEW_KEYS else ""
    return did_you_mean(key, known) or few


class SettingsChecker:
    """Walks plain values against type hints, noting every fault and going on.

    Args:
        origin: dotted key -> where it was written, for messages.
        problems: takes the faults.
        root: the dataclass that all keys are looked for in when one is unknown.
        of_a_run: where a run's own settings are written, of which those without effect are no faults: the run may be
            older than their refusal.
    """

    def __init__(
        self, origin: Mapping[str, str], problems: list[str], root: Any, of_a_run: str | None = None
    ) -> None:
        self.origin = origin
        self.problems = problems
        self.root = root
        self.of_a_run = of_a_run

    def build(self, kind: Any, plain: Any, key: str) -> Any:
        """The dataclass `kind` made of the plain values at a dotted key; None where they are no keys and values.

        What spans several fields is checked of those that are right; where any is wrong the result is of no other use.
        """
        if not isinstance(plain, Mapping):
            return self._fault(key, f"needs keys and values, got {plain!r}")
        hints = typing.get_type_hints(kind)
        fields = {f.name: f for f in dataclasses.fields(kind)}
        values: dict[str, Any] = {}
        wrong: set[str] = set()
        for name, item in plain.items():
            full = f"{key}.{name}" if key else str(name)
            if name not in fields:
                self._fault(full, f"no such key{self._suggest(kind, key, str(name))}")
                wrong.update(fields)  # any of them may have been meant
            else:
                faults_before = len(self.problems)
                value = self._value(hints[name], item, full, fields[name].metadata)
                # Of a group of settings those that are right can be looked at one by one.
                if len(self.problems) > faults_before and not dataclasses.is_dataclass(value):
                    wrong.add(str(name))
                else:
                    values[str(name)] = value
        built = _without(kind, values, wrong) if wrong else kind(**values)
        with contextlib.suppress(_Wrong):
            for inner, message in getattr(built, "problems", lambda: ())():
                self._fault(f"{key}.{inner}" if key else inner, message)
        with contextlib.suppress(_Wrong):
            for inner, message in getattr(built, "without_effect", lambda: ())():
                full = f"{key}.{inner}" if key else inner
                if self.of_a_run is None or self.origin.get(full) != self.of_a_run:
                    self._fault(full, message)
        return built

    def _suggest(self, kind: Any, key: str, name: str) -> str:
        near = did_you_mean(name, [f.name for f in dataclasses.fields(kind)])
        if near and key:
            return near.replace("did you mean ", f"did you mean {key}.")
        return near or suggest_full_key(name, self.root)

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
            # By type too: in Python 3.0 and True are equal to 3 and 1.
            if not any(type(item) is type(arg) and item == arg for arg in args):
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
            trial = SettingsChecker({}, [], self.root)
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


def _without(kind: Any, values: Mapping[str, Any], wrong: set[str]) -> Any:
    """A `kind` of these values, whose wrong fields raise `_Wrong` when they are looked at."""

    def looked_at(_: Any) -> Any:
        raise _Wrong

    built: Any = object.__new__(type(kind.__name__, (kind,), {name: property(looked_at) for name in wrong}))
    for f in dataclasses.fields(kind):
        if f.name not in wrong:
            usual = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
            object.__setattr__(built, f.name, values.get(f.name, usual))
    return built
