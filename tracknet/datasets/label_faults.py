"""What can be wrong with a clip's labels, wherever they were read, and the policy that decides what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from tracknet.datasets.schema import FrameLabel, LabelledClip
from tracknet.utils.errors import UserError, shorten
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted

LISTED_FAULTS = 20

Policy = Literal["error", "drop", "clip"]


class FaultKind(Enum):
    """What a policy may do about a fault."""

    FILE = "file"
    """The file as a whole: unreadable, or a wrong header. No policy helps."""
    STRUCTURE = "structure"
    """A row or frame that contradicts itself or its neighbours: only leaving it out helps."""
    OUTSIDE = "outside"
    """Coordinates out of the picture: may be moved to its border."""
    JUST_OUTSIDE = "just outside"
    """At most one pixel out of the picture: moved to the border, with a warning, under every policy."""


@dataclass(frozen=True, slots=True)
class LabelFault:
    """One thing that is wrong. `row` is the line in the file, the header's being 1; `None` is the whole."""

    file: Path
    row: int | None
    message: str
    kind: FaultKind

    def __str__(self) -> str:
        return f"{self.file}{'' if self.row is None else f':{self.row}'}: {self.message}"


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """One row: its label, and its fault if it has one. An `OUTSIDE` label keeps its coordinates as written."""

    label: FrameLabel | None
    fault: LabelFault | None


@dataclass(frozen=True, slots=True)
class ParsedClip:
    """A clip as its `Label.csv` tells it, before a policy has dealt with the faults.

    Attributes:
        rows: in the order of the file.
        faults: those that belong to no row: the file itself, and frames without a row.

    """

    game: str
    clip: str
    label_file: Path
    frame_size: Size
    rows: tuple[ParsedRow, ...]
    faults: tuple[LabelFault, ...]

    def all_faults(self) -> list[LabelFault]:
        """Every fault of the clip, rows first."""
        return [row.fault for row in self.rows if row.fault is not None] + list(self.faults)


def off_picture(label: FrameLabel, path: Path, line: int, size: Size) -> LabelFault | None:
    """The fault of a label that lies outside of its picture; `None` where it lies on it, or has no place."""
    if label.xy_px is None or size.contains(*label.xy_px):
        return None
    x, y = label.xy_px
    beyond = max(-x, -y, x - (size.width - 1), y - (size.height - 1))
    kind = FaultKind.JUST_OUTSIDE if beyond <= 1 else FaultKind.OUTSIDE
    return LabelFault(path, line, f"({x:g}, {y:g}) is outside the {size} picture by {beyond:g} px", kind)


def settle(
    parsed: Iterable[ParsedClip], policy: Policy, more_faults: Sequence[LabelFault] = ()
) -> tuple[list[LabelledClip], list[str]]:
    """Deals with the faults of all clips as the policy says, and tells what was done.

    Args:
        parsed: the clips.
        policy: `error` raises; `drop` leaves out the rows and frames at fault, which opens gaps in their
            clips; `clip` moves coordinates to the border of the picture and raises for everything else.
        more_faults: faults found elsewhere, to be reported together with these.

    Returns:
        The clips that have a row left, frames in ascending order; and warnings, counted.

    Raises:
        UserError: naming every fault of every clip that the policy does not allow.

    """
    movable = {FaultKind.JUST_OUTSIDE} | ({FaultKind.OUTSIDE} if policy == "clip" else set())
    allowed = movable | ({FaultKind.OUTSIDE, FaultKind.STRUCTURE} if policy == "drop" else set())
    parsed = list(parsed)
    faults = [*more_faults, *(fault for clip in parsed for fault in clip.all_faults())]
    refused = [fault for fault in faults if fault.kind not in allowed]
    if refused:
        raise UserError(
            f"the labels have {counted(len(refused), 'fault')}",
            problems=list_faults(refused),
            remedy=_remedy(refused),
        )
    clipped = [fault for fault in faults if fault.kind in movable]
    dropped = [fault for fault in faults if fault.kind not in movable]
    clips = []
    for clip in parsed:
        kept = [
            row.label if row.fault is None else _onto_picture(row.label, clip.frame_size)
            for row in clip.rows
            if row.label is not None and (row.fault is None or row.fault.kind in movable)
        ]
        if kept:
            kept.sort(key=lambda label: label.number)
            clips.append(LabelledClip(clip.game, clip.clip, clip.label_file, clip.frame_size, tuple(kept)))
    warnings = []
    if clipped:
        warnings.append(
            _warning(f"{len(clipped):,} coordinate(s) moved to the border of the picture", clipped)
        )
    if dropped:
        warnings.append(_warning(f"{len(dropped):,} faulty row(s) or frame(s) left out", dropped))
    return clips, warnings


def list_faults(faults: Sequence[LabelFault]) -> list[str]:
    """The first faults as lines, and how many more there are."""
    return shorten([str(fault) for fault in faults], LISTED_FAULTS)


def _remedy(refused: Sequence[LabelFault]) -> str:
    kinds = {fault.kind for fault in refused}
    if FaultKind.FILE in kinds:
        return "mend the files named; the other faults can be left out with --on-bad-label drop"
    if FaultKind.STRUCTURE in kinds:
        return "mend the rows named, or leave them out with --on-bad-label drop"
    return (
        "mend the rows named, move the points to the border with --on-bad-label clip, "
        "or leave the rows out with --on-bad-label drop"
    )


def _warning(what: str, faults: Sequence[LabelFault]) -> str:
    return "\n".join([what, *(f"  - {line}" for line in list_faults(faults))])


def _onto_picture(label: FrameLabel, size: Size) -> FrameLabel:
    if label.xy_px is None:
        return label
    x, y = label.xy_px
    return replace(label, xy_px=(min(max(x, 0.0), size.width - 1.0), min(max(y, 0.0), size.height - 1.0)))
