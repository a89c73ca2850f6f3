"""A JSON file of `ablation.py`, read back: whether it is whole, and what it was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablation_plan import OF_NO_ACCOUNT, Request
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError

# A folder of the same weights on one machine, by --weights, and their name on another.
BACKBONE = "model.backbone.name"
_OTHER_FILES = "config files have changed since"
_WANTED = (
    *(
        "row",
        "seed",
        "asked.options",
        "asked.split",
        "asked.fingerprint",
        "run",
        "build_id",
        "frames",
        "clips",
    ),
    *(
        f"protocols.{name}.{key}"
        for name in ("wasb", "tracknetv2", "design")
        for key in ("f1", "ap", "intervals.f1", "intervals.ap")
    ),
    *("false_alarms.rate", "false_alarms.interval", "false_alarms.empty_frames", "optimistic_because"),
    *("parameters", "gflops", "frames_per_s", "train_s", "device", "precision"),
    *("environment.processor", "environment.packages.torch"),
)


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
    if missing := [key for key in _WANTED if not _has(record, key)]:
        raise NoResultError(f"lacks {', '.join(missing[:3])}{' and more' if missing[3:] else ''}")
    return record  # type: ignore[no-any-return]


def _has(record: object, dotted: str) -> bool:
    for key in dotted.split("."):
        if not isinstance(record, Mapping) or key not in record:
            return False
        record = record[key]
    return True


@dataclass(frozen=True)
class Measured:
    """A row and seed that was measured.

    Attributes:
        file: of the record.
        record: as it lies there.
        changes: what it was asked for beside what the experiment asks of the row today, `key=value`, the number of
            steps apart; and where config files have changed since, of what configuration it is.
        as_filed: its steps are those that the experiment asks of the row.
        windows_a_step: that an optimizer step learned from; `None` where nobody knows any more.
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
        own = _as_recorded(record)
        changes = set() if own is None else _changes(own, request)
        if own is None or own.fingerprint != asked["fingerprint"]:
            # Seeds of one configuration stay together; of an older record nobody knows it, and it stands alone.
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
    told = [f"{key}={_short(key, mine.get(key))}" for key in keys if key not in OF_NO_ACCOUNT]
    return set(told)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return flat


def _short(key: str, value: Any) -> str:
    """Of a folder of weights its name: where it lies is of one machine."""
    return str(value).rstrip("/").rpartition("/")[2] if key == BACKBONE else str(value).replace(" ", "")
