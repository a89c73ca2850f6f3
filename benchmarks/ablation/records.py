"""What a record of `ablation.py` was asked for, beside what the experiment asks today."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ablation.experiment import SEED_KEY, STEPS_KEY
from benchmarks.ablation.record_file import NoResultError, read_record
from benchmarks.ablation.request import BACKBONE, FEATURES, NOT_COMPARED, Request, short_name
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError

# In place of where they lie, which is no choice of the experiment.
STORED_FEATURES = "stored features"
_OTHER_FILES = "config files have changed since"
_MOST_DIGITS = 12


def asked_of(request: Request) -> dict[str, Any]:
    """What a record says it was asked for; by it a later call knows what it is of."""
    asked = {
        "options": request.options(),
        "split": request.split,
        "fingerprint": request.fingerprint,
        "configuration": request.configuration,
    }
    return asked if request.overlap is None else {**asked, "overlap": request.overlap}


def file_of(row: str, seed: int) -> str:
    """The name of a record."""
    return f"{row}-s{seed}.json"


def steps_of(record: Mapping[str, Any]) -> int:
    """Optimizer steps.

    Raises:
        NoResultError: it does not say how many.
    """
    steps = _last(record["asked"]["options"], STEPS_KEY)
    if not steps.isdecimal() or len(steps) > _MOST_DIGITS:
        raise NoResultError(f"is damaged ({STEPS_KEY}={steps} among its options)")
    return int(steps)


def command_line_keys(record: Mapping[str, Any]) -> list[str]:
    """The dotted keys that the command line of a record set: `requests` puts the seed between the file's and these."""
    keys: list[str] = [option.partition("=")[0] for option in record["asked"]["options"]]
    return keys[keys.index(SEED_KEY) + 1 :] if SEED_KEY in keys else []


def is_there(file: Path, request: Request) -> bool:
    """Whether a file holds what is asked for, however it was said; one that cannot be read does not, and is told of.

    What changes no result is not asked for: threads, workers, the device, and the folder of a backbone or of features.
    """
    try:
        record = read_record(file)
        is_as_long = steps_of(record) == request.config().training.max_steps
        return is_as_long and record["seed"] == request.seed and not changes_of(record, request)
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
        windows, own = record.get("windows_a_step"), as_recorded(record)
        if windows is None and own is not None and _still_so(own, record["asked"]):
            windows = own.windows_a_step
        as_filed = steps_of(record) == request.config().training.max_steps
        return cls(file, record, frozenset(changes_of(record, request)), as_filed, windows)

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
        return steps_of(self.record)

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


def as_recorded(record: Mapping[str, Any]) -> Request | None:
    """What was asked for, by today's config files; `None` where these do not know it.

    Raises:
        NoResultError: its options are not those of a training.
    """
    asked = record["asked"]
    options = asked["options"]
    if len(options) < 6 or options[:6:2] != ["--data", "--model", "--training"]:
        raise NoResultError(f"is damaged ({' '.join(options[:6])} among its options)")
    data, model, training = options[1:6:2]
    overrides = tuple(options[6:])
    split, overlap = asked["split"], asked.get("overlap")
    own = Request(record["row"], record["seed"], data, model, training, overrides, split, overlap)
    try:
        own.config()
    except UserError:
        return None
    return own


def changes_of(record: Mapping[str, Any], request: Request) -> set[str]:
    """What a record was asked for beside a request, as `Measured.changes`; its seed and its steps apart.

    Raises:
        NoResultError: its options are not those of a training.
    """
    asked, own = record["asked"], as_recorded(record)
    if own is not None and _still_so(own, asked):
        return changed(own, request)
    if asked.get("configuration") == request.configuration:
        # Its options are other words for it; features have no part in it.
        stored = _last(asked["options"], FEATURES) not in ("", "null")
        return _of_features(stored, request.config().data.features is not None)
    # Seeds of one configuration stay together; of an older record it is not known, and that stands alone.
    other_files = f"{_OTHER_FILES} ({asked.get('configuration', asked['fingerprint'])[:8]})"
    return {other_files} | (set() if own is None else changed(own, request))


def _still_so(own: Request, asked: Mapping[str, Any]) -> bool:
    """Whether today's config files make of a record's options what it is of: an older one says no configuration, or
    one of more settings, and the fingerprint is of what changes no result too.
    """
    return own.fingerprint == asked["fingerprint"] or own.configuration == asked.get("configuration")


def changed(own: Request, wanted: Request) -> set[str]:
    """The values that are not those of another request, `key=value`, and whether features were stored beforehand."""
    mine, others = (_compared(request) for request in (own, wanted))
    keys = sorted(key for key in mine.keys() | others.keys() if mine.get(key) != others.get(key))
    told = {f"{key}={str(mine.get(key)).replace(' ', '')}" for key in keys}
    return told | _of_features(*(request.config().data.features is not None for request in (own, wanted)))


def _compared(request: Request) -> dict[str, Any]:
    """Dotted key -> value, of all that may change a result; of a backbone its name: where it lies is of one machine."""
    values = _flat(to_plain(request.config()))
    kept = {key: value for key, value in values.items() if key not in NOT_COMPARED}
    name = short_name(request.config().model.backbone.name)
    return {**kept, BACKBONE: name, "split": request.split, "overlap": request.overlap}


def _of_features(mine: bool, others: bool) -> set[str]:
    if mine == others:
        return set()
    return {STORED_FEATURES if mine else f"no {STORED_FEATURES}"}


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{above}{name}.") if inner else {f"{above}{name}": value}
    return flat
