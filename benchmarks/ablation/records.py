"""A JSON file of `ablation.py`, read back: whether it is whole, and what it was asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablation.plan import NOT_COMPARED, Request
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.outcome import OUTCOMES

# A folder of the same weights on one machine, by --weights, and their name on another.
BACKBONE = "model.backbone.name"
_OTHER_FILES = "config files have changed since"
_NUMBER = (int, float)
_NONE = type(None)
# Dotted keys of a record -> what they may be.
_WANTED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("row", "run", "build_id", "device", "precision"), (str,)),
    **dict.fromkeys(("asked.split", "asked.fingerprint"), (str,)),
    **dict.fromkeys(("environment.processor", "environment.packages.torch"), (str,)),
    **dict.fromkeys(("seed", "frames", "clips", "false_alarms.empty_frames"), (int,)),
    **dict.fromkeys(("parameters", "gflops", "frames_per_s", "train_s"), _NUMBER),
    **{
        f"protocols.{name}.{key}": (*_NUMBER, _NONE)
        for name in ("wasb", "tracknetv2", "design")
        for key in ("f1", "ap")
    },
    **{
        f"protocols.{name}.intervals.{key}": (list, _NONE)
        for name in ("wasb", "tracknetv2", "design")
        for key in ("f1", "ap")
    },
    "false_alarms.rate": (*_NUMBER, _NONE),
    "false_alarms.interval": (list, _NONE),
    **dict.fromkeys(("asked.options", "optimistic_because"), (list,)),
}
# What older records lack.
_MAY_LACK: dict[str, tuple[type, ...]] = {
    "asked.configuration": (str,),
    "asked.overlap": (str,),
    "evaluation": (str,),
    "windows_a_step": (int, _NONE),
    "caution": (str, _NONE),
    "differences": (dict,),
    "breakdowns": (dict,),
    "pck_5px_by_decoder": (dict,),
    "protocols.wasb.accuracy": (*_NUMBER, _NONE),
    "false_alarms.lasting": (dict,),
    "false_alarms.other": (dict,),
    "false_alarms.lasting.false_alarms": (int,),
    "false_alarms.other.false_alarms": (int,),
    "false_alarms.lasting.empty_frames": (int,),
    "false_alarms.other.empty_frames": (int,),
}
# What their lists hold.
_HELD = {"asked.options": str, "optimistic_because": str}
_LACKING = object()


class NoResultError(Exception):
    """A file that holds no result of a row; says why, after the file's name."""


def read_record(file: Path) -> dict[str, Any]:
    """What a result file says.

    Raises:
        NoResultError: it is damaged, or no such file; with the reason.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoResultError(f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise NoResultError(f"is no JSON ({error})") from None
    found = {key: _at(record, key) for key in (*_WANTED, *_MAY_LACK)}
    if missing := [key for key in _WANTED if found[key] is _LACKING]:
        raise NoResultError(f"lacks {', '.join(missing[:3])}{' and more' if missing[3:] else ''}")
    kinds = {**_WANTED, **_MAY_LACK}
    there = {key: value for key, value in found.items() if value is not _LACKING}
    if wrong := [key for key, value in there.items() if not _fits(key, value, kinds[key])]:
        told = [f"{key}={str(there[key])[:40]}" for key in wrong[:3]]
        raise NoResultError(f"cannot be, with {', '.join(told)}{' and more' if wrong[3:] else ''}")
    return record  # type: ignore[no-any-return]


def _at(record: object, dotted: str) -> object:
    for key in dotted.split("."):
        if not isinstance(record, Mapping) or key not in record:
            return _LACKING
        record = record[key]
    return record


def _fits(key: str, value: object, kinds: tuple[type, ...]) -> bool:
    # Not isinstance: true is an int too.
    if type(value) not in kinds:
        return False
    if key == "differences" and isinstance(value, dict):
        return all(isinstance(one, dict) and {"estimate", "interval"} <= one.keys() for one in value.values())
    if key == "breakdowns" and isinstance(value, dict):
        return all(isinstance(parts, list) and all(map(_is_counted, parts)) for parts in value.values())
    if key == "pck_5px_by_decoder" and isinstance(value, dict):
        return all(type(one) in (*_NUMBER, _NONE) for one in value.values())
    if not isinstance(value, list):
        return True
    if key in _HELD:
        return all(isinstance(item, _HELD[key]) for item in value)
    return len(value) == 2 and all(type(item) in _NUMBER for item in value)


def _is_counted(part: object) -> bool:
    if not isinstance(part, dict) or type(part.get("value")) is not str:
        return False
    whole = all(type(part.get(key)) is int for key in ("frames", "balls", *OUTCOMES))
    return whole and type(part.get("f1")) in (*_NUMBER, _NONE)


def asked_of(request: Request) -> dict[str, Any]:
    """What a record says it was asked for; with it a later call knows it again."""
    asked = {
        "options": request.options(),
        "split": request.split,
        "fingerprint": request.fingerprint,
        "configuration": request.configuration,
    }
    return asked if request.overlap is None else {**asked, "overlap": request.overlap}


def is_there(file: Path, asked: dict[str, Any]) -> bool:
    """Whether a file holds what is asked for; one that cannot be read does not, and is told of."""
    try:
        # An older record does not say its configuration, which its fingerprint is of too.
        return bool({"configuration": asked["configuration"], **read_record(file)["asked"]} == asked)
    except NoResultError as error:
        if file.exists():
            print(f"{file} {error}: measured again", file=sys.stderr, flush=True)
        return False


@dataclass(frozen=True)
class Measured:
    """A row and seed that was measured.

    Attributes:
        file: of the record.
        record: as it lies there.
        changes: what it was asked for beside what the experiment asks of the row today, `key=value`, the number of
            steps apart; and where config files have changed since, of what configuration it is.
        as_filed: its steps are those that the experiment asks of the row.
        windows_a_step: that an optimizer step learned from; `None` where that is not known.
    """

    file: Path
    record: Mapping[str, Any]
    changes: frozenset[str]
    as_filed: bool
    windows_a_step: int | None

    @classmethod
    def of(cls, file: Path, record: Mapping[str, Any], request: Request) -> Measured:
        """A record beside the request that the experiment makes of its row and seed."""
        asked, windows = record["asked"], record.get("windows_a_step")
        steps = _last(asked["options"], "training.max_steps")
        if not steps.isdecimal():
            raise NoResultError(f"is damaged (training.max_steps={steps} among its options)")
        own = _as_recorded(record)
        changes = set() if own is None else _changes(own, request)
        if own is None or own.fingerprint != asked["fingerprint"]:
            # Seeds of one configuration stay together; of an older record it is not known, and that stands alone.
            changes.add(f"{_OTHER_FILES} ({asked.get('configuration', asked['fingerprint'])[:8]})")
        elif windows is None:
            windows = own.windows_a_step
        as_filed = steps == _last(request.options(), "training.max_steps")
        return cls(file, record, frozenset(changes), as_filed, windows)

    @property
    def row(self) -> str:
        """Its name."""
        return str(self.record["row"])

    @property
    def seed(self) -> int:
        """Of its training."""
        return int(self.record["seed"])

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return int(_last(self.record["asked"]["options"], "training.max_steps"))

    @property
    def size(self) -> str:
        """Of its input, as it was asked for."""
        return _last(self.record["asked"]["options"], "data.resize")

    @property
    def scored(self) -> tuple[int, int]:
        """Frames and clips."""
        return self.record["frames"], self.record["clips"]

    @property
    def evaluation(self) -> str:
        """Of its predictions, in the run's folder."""
        return str(self.record.get("evaluation", self.record["asked"]["split"]))


def _last(options: Sequence[str], key: str) -> str:
    """The value that counts of a `key=value`; empty where there is none."""
    return next((item.partition("=")[2] for item in reversed(options) if item.startswith(f"{key}=")), "")


def _as_recorded(record: Mapping[str, Any]) -> Request | None:
    """What was asked for, by today's config files; `None` where these do not know it."""
    asked = record["asked"]
    options = asked["options"]
    data, model, training = (
        options[options.index(f"--{name}") + 1] for name in ("data", "model", "training")
    )
    overrides = tuple(options[options.index("--training") + 2 :])
    split, overlap = asked["split"], asked.get("overlap")
    own = Request(record["row"], record["seed"], data, model, training, overrides, split, overlap)
    try:
        own.config()
    except UserError:
        return None
    return own


def _changes(own: Request, wanted: Request) -> set[str]:
    """The values that are not those of another request, `key=value`."""
    mine, others = (_flat(to_plain(request.config())) for request in (own, wanted))
    for values, request in ((mine, own), (others, wanted)):
        values |= {"split": request.split, "overlap": request.overlap}
    keys = sorted(key for key in mine.keys() | others.keys() if mine.get(key) != others.get(key))
    told = [f"{key}={_short(key, mine.get(key))}" for key in keys if key not in NOT_COMPARED]
    return set(told)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return flat


def _short(key: str, value: Any) -> str:
    """Of a folder of weights its name: where it lies is of one machine."""
    return str(value).rstrip("/").rpartition("/")[2] if key == BACKBONE else str(value).replace(" ", "")
