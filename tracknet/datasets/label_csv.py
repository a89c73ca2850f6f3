"""Reads `Label.csv` files: every row that is right, and every fault as data; then a policy decides.

A file in the layout of the TrackNet tennis dataset, one folder per clip, beside its frames:

    file name,visibility,x-coordinate,y-coordinate,status
    0000.jpg,1,598,466,0
    0001.jpg,0,,,

Visibility 0 is a frame without the ball, and exactly there the other cells are blank.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Literal

from tracknet.datasets.schema import FrameLabel, LabelledClip, Status, Visibility
from tracknet.utils.csv_rows import CsvRow, NoCsvError, finite_number, read_rows
from tracknet.utils.errors import UserError, shorten
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted

LABEL_NAME = "Label.csv"
HEADER = ("file name", "visibility", "x-coordinate", "y-coordinate", "status")
README_HEADER = ("File Name", "Visibility Class", "X", "Y", "Trajectory Pattern")
FRAME_NAME = re.compile(r"(\d+)\.(?:jpe?g|png)", re.IGNORECASE)

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


def parse_clip(label_file: Path, frame_size: Size, frame_names: Collection[str] | None) -> ParsedClip:
    """Parses one `Label.csv`; clip and game are called as its folder and the folder above.

    Args:
        label_file: frames are taken to lie beside it.
        frame_size: coordinates must lie on a picture of this size.
        frame_names: names of the image files beside the label file, against which the rows are checked;
            `None` checks nothing of the kind, so that labels can be read without their frames.

    """
    cells, faults = _read_cells(label_file)
    rows = _parse_rows(cells, label_file, frame_size, frame_names)
    if frame_names is not None and not faults:
        labelled = {row[0].strip() for _, row in cells if row}
        faults += [
            LabelFault(label_file, None, f"frame {name} has no row", FaultKind.STRUCTURE)
            for name in sorted(set(frame_names) - labelled)
        ]
    if not rows and not faults:
        faults.append(LabelFault(label_file, None, "has a header and no rows", FaultKind.STRUCTURE))
    folder = label_file.parent
    return ParsedClip(folder.parent.name, folder.name, label_file, frame_size, tuple(rows), tuple(faults))


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


def _read_cells(path: Path) -> tuple[list[CsvRow], list[LabelFault]]:
    """The rows below the header, or the file's fault."""
    try:
        rows = read_rows(path)
    except NoCsvError as error:
        return [], [LabelFault(path, error.line, str(error), FaultKind.FILE)]
    if not rows or tuple(rows[0].cells) not in (HEADER, README_HEADER):
        found = ",".join(rows[0].cells) if rows else ""
        message = f"has the header {found!r}; it must be {','.join(HEADER)!r} or {','.join(README_HEADER)!r}"
        return [], [LabelFault(path, 1, message, FaultKind.FILE)]
    return rows[1:], []


def _parse_rows(
    cells: list[CsvRow], path: Path, size: Size, frame_names: Collection[str] | None
) -> list[ParsedRow]:
    rows: list[ParsedRow] = []
    lines_of: dict[int, int] = {}
    previous: int | None = None
    for line, row in cells:
        try:
            label = _parse_row(row, path.parent)
            _check_place(label, line, previous, lines_of, frame_names)
        except ValueError as error:
            rows.append(ParsedRow(None, LabelFault(path, line, str(error), FaultKind.STRUCTURE)))
        else:
            rows.append(ParsedRow(replace(label, row=line), off_picture(label, path, line, size)))
        match = FRAME_NAME.fullmatch(row[0]) if row else None
        if match is not None:
            previous = int(match[1])
            lines_of.setdefault(previous, line)
    return rows


def _parse_row(row: list[str], folder: Path) -> FrameLabel:
    """One row's label by itself; raises `ValueError` with what is wrong."""
    if not any(row):
        raise ValueError("is blank between other rows")
    if len(row) != len(HEADER):
        raise ValueError(f"has {len(row)} cells, needs {len(HEADER)}")
    name, visibility_cell, x_cell, y_cell, status_cell = row
    match = FRAME_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"file name {name!r} is not a number and .jpg, .jpeg or .png, such as 0042.jpg")
    code = whole_number(visibility_cell, "visibility", len(Visibility))
    number, visibility = int(match[1]), Visibility(code)
    if visibility is Visibility.ABSENT:
        if x_cell or y_cell or status_cell:
            raise ValueError(
                f"visibility 0 (no ball) with x {x_cell!r}, y {y_cell!r}, status {status_cell!r}: "
                "these must be blank"
            )
        return FrameLabel(folder / name, number, visibility, None, None)
    if not x_cell or not y_cell:
        raise ValueError(f"visibility {code} with blank coordinates")
    xy_px = (finite_number(x_cell, "x"), finite_number(y_cell, "y"))
    status = Status(whole_number(status_cell, "status", len(Status)))
    return FrameLabel(folder / name, number, visibility, xy_px, status)


def _check_place(
    label: FrameLabel,
    line: int,
    previous: int | None,
    lines_of: dict[int, int],
    frame_names: Collection[str] | None,
) -> None:
    """Checks a row against its neighbours and the frames on disk; raises `ValueError`."""
    if label.number in lines_of:
        raise ValueError(f"frame {label.path.name} has a row already, in line {lines_of[label.number]}")
    if previous is not None and label.number < previous:
        raise ValueError(f"frame {label.path.name} comes after frame {previous}: rows must ascend")
    if frame_names is not None and label.path.name not in frame_names:
        raise ValueError(f"frame {label.path.name} does not exist")


def off_picture(label: FrameLabel, path: Path, line: int, size: Size) -> LabelFault | None:
    """The fault of a label that lies outside of its picture; `None` where it lies on it, or has no place."""
    if label.xy_px is None or size.contains(*label.xy_px):
        return None
    x, y = label.xy_px
    beyond = max(-x, -y, x - (size.width - 1), y - (size.height - 1))
    kind = FaultKind.JUST_OUTSIDE if beyond <= 1 else FaultKind.OUTSIDE
    return LabelFault(path, line, f"({x:g}, {y:g}) is outside the {size} picture by {beyond:g} px", kind)


def whole_number(cell: str, what: str, count: int) -> int:
    """A cell as one of the codes 0 to `count - 1`; raises `ValueError` with what is wrong."""
    # Tools that hold a column with blanks as floating point write 1 as 1.0.
    text = cell.removesuffix(".0")
    if text not in [str(code) for code in range(count)]:
        raise ValueError(f"{what} {cell!r} is none of {', '.join(map(str, range(count)))}")
    return int(text)
