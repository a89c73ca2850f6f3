"""All results of an experiment that `ablation.py` finds: which of them belong together, and which can be compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.ablation.experiment import Experiment, Row
from benchmarks.ablation.plan import requests
from benchmarks.ablation.record_file import NoResultError, read_record
from benchmarks.ablation.records import STORED_FEATURES, Measured, file_of
from benchmarks.ablation.request import BACKBONE
from tracknet.utils.errors import UserError
from tracknet.utils.naming import counted

# Of what a row was asked for otherwise; a whole other model is more than a table can say.
_CHANGES_SHOWN = 3
# In shipped records for the path of a folder that held the row's own backbone.
_OWN_BACKBONE = f"{BACKBONE}=FOLDER"


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
                if file.name != file_of(row, seed):
                    raise NoResultError(f"is of the row {row} and seed {seed}, and named otherwise")
                (request,) = requests(experiment, rows, only=[row], seeds=[seed], toy=toy)
                found[row].append(Measured.of(file, record, request))
            except NoResultError as error:
                faults.append(f"{file.name} {error}")
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
            windows = (
                "unknown windows" if one.windows_a_step is None else counted(one.windows_a_step, "window")
            )
            parts.append(f"{windows} a step")
        if one.record["build_id"] != self._builds[one.size]:
            parts.append(f"shards {one.record['build_id'][:8]}")
        if one.scored != self.scored:
            parts.append(f"scored on {frames_of_clips(*one.scored)}")
        return ", ".join(parts)

    def title(self, one: Measured) -> str:
        """Its row, and how it differs, as tables name it."""
        apart = self.apart(one)
        return f"{one.row} ({apart})" if apart else one.row

    def groups(self, row: str) -> list[list[Measured]]:
        """The seeds of a row that differ in nothing but the seed; the largest group first, else by seed."""
        groups: dict[tuple[object, ...], list[Measured]] = {}
        for one in self.rows[row]:
            groups.setdefault((one.changes, self.apart(one)), []).append(one)
        return sorted(groups.values(), key=len, reverse=True)

    def best(self, names: Sequence[str], value: Callable[[Measured], float | None]) -> str | None:
        """The row of the largest mean, each by its largest group; `None` where no row's seeds all have a value."""
        means = {}
        for name in names:
            values = [value(one) for one in self.groups(name)[0]] if name in self.rows else [None]
            defined = [one for one in values if one is not None]
            if len(defined) == len(values):
                means[name] = statistics.mean(defined)
        return max(means, key=lambda name: means[name], default=None)

    def partner(self, row: str, one: Measured) -> Measured | None:
        """The seed of another row that one can be compared with: same seed, request, frames, and steps, but for
        steps that the experiment itself asks of the two; the same build where the size is the same.
        """
        return next(
            (base for base in self.rows.get(row, ()) if base.row != one.row and _alike(base, one)), None
        )


def frames_of_clips(frames: int, clips: int) -> str:
    """`1240 frames of 3 clips`, or of 1 clip."""
    return f"{frames} frame{'' if frames == 1 else 's'} of {counted(clips, 'clip')}"


def _alike(base: Measured, one: Measured) -> bool:
    def changes(of: Measured) -> frozenset[str]:
        # What the same weights make of the same frames, computed once.
        return frozenset(
            item for item in of.changes if not item.endswith(STORED_FEATURES) and item != _OWN_BACKBONE
        )

    return (
        base.seed == one.seed
        and changes(base) == changes(one)
        and base.scored == one.scored
        and (base.steps == one.steps or (base.as_filed and one.as_filed))
        and (base.size != one.size or base.record["build_id"] == one.record["build_id"])
    )
