"""A JSON file of `ablation.py`: whether it is whole, and says nothing that cannot be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracknet.utils.outcome import OUTCOMES

# Of whose figures a record tells.
PROTOCOLS = ("wasb", "tracknetv2", "design")
_LARGEST = 1e15
# What adding floats may put a share beyond 0 and 1.
_ROUNDING = 1e-9
_LACKING = object()


class NoResultError(Exception):
    """A file that holds no result of a row; says why, after the file's name."""


# By type, not isinstance: true is an int too.
def _text(value: object) -> bool:
    return type(value) is str


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _some(value: object) -> bool:
    return _count(value) and value != 0


def _amount(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LARGEST  # type: ignore[operator]


def _within(value: object, low: float, high: float) -> bool:
    # NaN is within nothing.
    return type(value) in (int, float) and low - _ROUNDING <= value <= high + _ROUNDING  # type: ignore[operator]


def _pair(value: object, low: float) -> bool:
    """Two ascending numbers up to 1."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_within(one, low, 1) for one in value)
        and bool(value[0] <= value[1])
    )


def _share(value: object) -> bool:
    return value is None or _within(value, 0, 1)


def _interval(value: object) -> bool:
    return value is None or _pair(value, 0)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _group(value: object) -> bool:
    return isinstance(value, dict)


def _differences(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(
        isinstance(one, dict)
        and {"estimate", "interval"} <= one.keys()
        and (one["estimate"] is None or _within(one["estimate"], -1, 1))
        and (one["interval"] is None or _pair(one["interval"], -1))
        for one in value.values()
    )


# Dotted keys of a record -> whether a value can be theirs.
_WANTED: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("row", "run", "build_id", "device", "precision"), _text),
    **dict.fromkeys(("asked.split", "asked.fingerprint"), _text),
    **dict.fromkeys(("environment.processor", "environment.packages.torch"), _text),
    **dict.fromkeys(("seed", "false_alarms.empty_frames"), _count),
    **dict.fromkeys(("frames", "clips"), _some),
    **dict.fromkeys(("parameters", "gflops", "frames_per_s", "train_s"), _amount),
    **{f"protocols.{name}.{key}": _share for name in PROTOCOLS for key in ("f1", "ap")},
    **{f"protocols.{name}.intervals.{key}": _interval for name in PROTOCOLS for key in ("f1", "ap")},
    "false_alarms.rate": _share,
    "false_alarms.interval": _interval,
    **dict.fromkeys(("asked.options", "optimistic_because"), _texts),
}
# What older records lack.
_MAY_LACK: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("asked.configuration", "asked.overlap", "evaluation"), _text),
    "windows_a_step": lambda value: value is None or _some(value),
    "caution": lambda value: value is None or _text(value),
    "differences": _differences,
    **dict.fromkeys(("breakdowns", "pck_5px_by_decoder"), _group),
    "protocols.wasb.accuracy": _share,
    **dict.fromkeys(("false_alarms.lasting", "false_alarms.other"), _group),
    **{
        f"false_alarms.{kind}.{key}": _count
        for kind in ("lasting", "other")
        for key in ("false_alarms", "empty_frames")
    },
}
_OF_PART: dict[str, Callable[[object], bool]] = {
    "value": _text,
    **dict.fromkeys(("frames", "balls", *OUTCOMES), _count),
    "f1": _share,
}


def read_record(file: Path) -> dict[str, Any]:
    """What a result file says.

    Raises:
        NoResultError: it is damaged, or no such file; with the reason.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoResultError(f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise NoResultError(f"is no JSON ({error})") from None
    if missing := [key for key in _WANTED if _at(record, key) is _LACKING]:
        raise NoResultError(f"lacks {', '.join(missing[:3])}{' and more' if missing[3:] else ''}")
    if wrong := [f"{key}={str(value)[:40]}" for key, value in _wrong(record)]:
        raise NoResultError(f"cannot be, with {', '.join(wrong[:3])}{' and more' if wrong[3:] else ''}")
    return record  # type: ignore[no-any-return]


def _at(record: object, dotted: str) -> object:
    for key in dotted.split("."):
        if not isinstance(record, Mapping) or key not in record:
            return _LACKING
        record = record[key]
    return record


def _wrong(record: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Dotted keys with values that cannot be theirs."""
    there = {key: _at(record, key) for key in (*_WANTED, *_MAY_LACK)}
    fits = {**_WANTED, **_MAY_LACK}
    faults = {key: value for key, value in there.items() if value is not _LACKING and not fits[key](value)}
    yield from faults.items()
    if faults:
        return
    for name, share in record.get("pck_5px_by_decoder", {}).items():
        if not _share(share):
            yield f"pck_5px_by_decoder.{name}", share
    for name, parts in record.get("breakdowns", {}).items():
        yield from _wrong_parts(f"breakdowns.{name}", parts)
    alarms, frames = record["false_alarms"], record["frames"]
    if alarms["empty_frames"] > frames:
        yield "false_alarms.empty_frames", f"{alarms['empty_frames']} of {frames} frames"
    for kind in ("lasting", "other"):
        some = alarms.get(kind, {})
        if some.get("false_alarms", 0) > some.get("empty_frames", math.inf):
            yield (
                f"false_alarms.{kind}.false_alarms",
                f"{some['false_alarms']} on {some['empty_frames']} frames",
            )


def _wrong_parts(key: str, parts: object) -> Iterator[tuple[str, object]]:
    if not isinstance(parts, list):
        yield key, parts
        return
    named: set[str] = set()
    for number, part in enumerate(parts):
        place = f"{key}[{number}]"
        if not isinstance(part, dict):
            yield place, part
        elif lacking := [name for name in _OF_PART if name not in part]:
            yield f"{place}.{lacking[0]}", "nothing"
        elif wrong := [name for name, fits in _OF_PART.items() if not fits(part[name])]:
            yield f"{place}.{wrong[0]}", part[wrong[0]]
        elif part["value"] in named:
            yield f"{place}.value", f"{part['value']} for a second time"
        elif (outcomes := sum(part[name] for name in OUTCOMES)) > part["frames"]:
            yield f"{place}.frames", f"{part['frames']} for {outcomes} outcomes"
        elif part["balls"] > part["frames"]:
            yield f"{place}.balls", f"{part['balls']} in {part['frames']} frames"
        else:
            named.add(part["value"])
