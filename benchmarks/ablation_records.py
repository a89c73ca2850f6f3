"""The JSON files of `ablation.py`, read back: what each was asked for, and which of them belong together."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.ablation_plan import Experiment, Request, Row, requests
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError

# What changes nothing in a result, or is told apart already.
_OF_NO_ACCOUNT = {
    *("training.seed", "training.max_steps", "training.threads", "training.device", "training.log_dir"),
    *("data.shards", "data.loader.workers"),
}
# Of what a row was asked for otherwise; a whole other model is more than a table can say.
_CHANGES_SHOWN = 3
# A folder of the same weights on one machine, by --weights, and their name on another.
_BACKBONE = "model.backbone.name"
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
            steps apart.
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
            changes.add(_OTHER_FILES)
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
    told = [f"{key}={_short(key, mine.get(key))}" for key in keys if key not in _OF_NO_ACCOUNT]
    return set(told)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return flat


def _short(key: str, value: Any) -> str:
    """Of a folder of weights its name: where it lies is of one machine."""
    return str(value).rstrip("/").rpartition("/")[2] if key == _BACKBONE else str(value).replace(" ", "")


@dataclass(frozen=True)
class Results:
    """All that was measured of an experiment.

    Attributes:
        rows: name -> what was measured, by seed; in the experiment's order, rows without a result left out.
        faults: of files that are no result of it, for a person.
    """

    rows: Mapping[str, Sequence[Measured]]
    faults: tuple[str, ...]

    @classmethod
    def read(
        cls, experiment: Experiment, rows: Mapping[str, Row], folder: Path, *, toy: bool = False
    ) -> Results:
        """The files of a folder; what cannot be read or is of no row is named in `faults`."""
        found: dict[str, list[Measured]] = {name: [] for name in rows}
        faults = []
        for file in sorted(folder.glob("*.json")):
            try:
                record = read_record(file)
                row, seed = record["row"], record["seed"]
                if row not in rows:
                    raise NoResultError(f"is of the row {row}, which the experiment does not have")
                if file.name != f"{row}-s{seed}.json":
                    raise NoResultError(f"is of the row {row} and seed {seed}, and named otherwise")
                (request,) = requests(experiment, rows, only=[row], seeds=[seed], toy=toy)
                found[row].append(Measured.of(file, record, request))
            except NoResultError as error:
                faults.append(f"{file.name} {error}")
            except (ValueError, TypeError) as error:
                faults.append(f"{file.name} is damaged ({error})")
            except UserError as error:
                faults.append(f"{file.name}: {error}")
        kept = {name: sorted(some, key=lambda one: one.seed) for name, some in found.items() if some}
        return cls(kept, tuple(faults))

    @cached_property
    def all(self) -> list[Measured]:
        """Whatever the row."""
        return [one for some in self.rows.values() for one in some]

    @cached_property
    def common(self) -> frozenset[str]:
        """The changes that are in every row."""
        return frozenset.intersection(*(one.changes for one in self.all)) if self.all else frozenset()

    @cached_property
    def scored(self) -> tuple[int, int]:
        """Frames and clips that most rows are scored on."""
        return statistics.mode(one.scored for one in self.all)

    @cached_property
    def _builds(self) -> dict[str, str]:
        """Size of the input -> the build that most rows of that size were trained on."""
        of_size: dict[str, list[str]] = {}
        for one in self.all:
            of_size.setdefault(one.size, []).append(one.record["build_id"])
        return {size: statistics.mode(builds) for size, builds in of_size.items()}

    def apart(self, one: Measured) -> str:
        """How it differs from what its row is in most of the table; empty where it does not."""
        changes = sorted(one.changes - self.common)
        more = len(changes) - _CHANGES_SHOWN
        parts = changes[:_CHANGES_SHOWN] + ([f"{more} more"] if more > 0 else [])
        if len({other.steps for other in self.rows[one.row]}) > 1:
            parts.append(f"{one.steps} steps")
        if len({other.windows_a_step for other in self.rows[one.row]} - {None}) > 1:
            parts.append(f"{one.windows_a_step or 'unknown'} windows a step")
        if one.record["build_id"] != self._builds[one.size]:
            parts.append(f"shards {one.record['build_id'][:8]}")
        if one.scored != self.scored:
            parts.append(f"scored on {one.scored[0]} frames of {one.scored[1]} clips")
        return ", ".join(parts)

    def groups(self, row: str) -> list[list[Measured]]:
        """The seeds of a row that differ in nothing but the seed; the largest group first, else by seed."""
        groups: dict[tuple[object, ...], list[Measured]] = {}
        for one in self.rows[row]:
            groups.setdefault((one.changes, self.apart(one)), []).append(one)
        return sorted(groups.values(), key=len, reverse=True)

    def best(self, names: Sequence[str], value: Callable[[Measured], float]) -> str | None:
        """The row of the largest mean, each by its largest group."""
        there = [name for name in names if name in self.rows]
        return max(there, key=lambda name: statistics.mean(map(value, self.groups(name)[0])), default=None)

    def partner(self, row: str, one: Measured) -> Measured | None:
        """The seed of another row that one can be compared with: same seed, request, frames, and steps, but for
        steps that the experiment itself asks of the two; the same build where the size is the same.
        """
        return next(
            (base for base in self.rows.get(row, ()) if base.row != one.row and _alike(base, one)), None
        )


def _alike(base: Measured, one: Measured) -> bool:
    def changes(of: Measured) -> frozenset[str]:
        return frozenset(item for item in of.changes if not item.startswith(f"{_BACKBONE}="))

    return (
        base.seed == one.seed
        and changes(base) == changes(one)
        and base.scored == one.scored
        and (base.steps == one.steps or (base.as_filed and one.as_filed))
        and (base.size != one.size or base.record["build_id"] == one.record["build_id"])
    )
