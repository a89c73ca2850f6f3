"""Reads the label files of annotated video: where the ball is, by number of frame.

    Frame,Visibility,X,Y          frame_num,visible,x,y
    0,1,657.9,262.1               0,1,0.514,0.364
    1,0,0,0                       1,0,0,0

The columns are known by name, in any case and order, with others beside them. Visibility 0 is a frame without
the ball; its coordinates are 0 or blank. Coordinates are pixels, or fractions of the picture's width and height.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracknet.datasets.label_csv import whole_number
from tracknet.datasets.label_faults import FaultKind, LabelFault, list_faults
from tracknet.datasets.schema import Visibility
from tracknet.utils.csv_rows import NoCsvError, finite_number, read_rows
from tracknet.utils.errors import UserError
from tracknet.utils.naming import counted

Coordinates = Literal["pixel", "normalised"]
Asked = Literal["auto", "pixel", "normalised"]

COLUMNS = {
    "frame": ("frame", "frame_num", "frame_number", "frame_id"),
    "visibility": ("visibility", "visible", "vis"),
    "x": ("x", "x-coordinate"),
    "y": ("y", "y-coordinate"),
}
"""What each column may be called, in any case."""


@dataclass(frozen=True, slots=True)
class BallRow:
    """One row as written: coordinates in the file's own unit, `None` exactly when the ball is absent."""

    line: int
    number: int
    visibility: Visibility
    xy: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class BallFile:
    """One label file: its rows that can be read, in ascending order of frame, and the faults of the others."""

    path: Path
    rows: tuple[BallRow, ...]
    faults: tuple[LabelFault, ...]
    numbers: frozenset[int]
    """The frames that have a row, whether it is a good one or not."""

    @property
    def readable(self) -> bool:
        """Whether it is a label file at all."""
        return not any(fault.kind is FaultKind.FILE for fault in self.faults)


def read_ball_csv(path: Path) -> BallFile:
    """Reads one file; what is wrong with it is in its faults."""
    try:
        cells = read_rows(path)
    except NoCsvError as error:
        fault = LabelFault(path, error.line, str(error), FaultKind.FILE)
        return BallFile(path, (), (fault,), frozenset())
    places = _find_columns(cells[0].cells if cells else [])
    if isinstance(places, str):
        return BallFile(path, (), (LabelFault(path, 1, places, FaultKind.FILE),), frozenset())
    width = len(cells[0].cells)
    rows: list[BallRow] = []
    faults: list[LabelFault] = []
    lines_of: dict[int, int] = {}
    previous = -1
    for line, row in cells[1:]:
        try:
            if not any(row):
                raise ValueError("is blank between other rows")
            if len(row) != width:
                raise ValueError(f"has {counted(len(row), 'cell')}, the header has {width}")
            number = _frame_number(row[places["frame"]])
            if number in lines_of:
                raise ValueError(f"frame {number} has a row already, in line {lines_of[number]}")
            lines_of[number] = line
            if number < previous:
                raise ValueError(f"frame {number} comes after frame {previous}: rows must ascend")
            previous = number
            ball = _parse_ball(row[places["visibility"]], row[places["x"]], row[places["y"]])
            rows.append(BallRow(line, number, *ball))
        except ValueError as error:
            faults.append(LabelFault(path, line, str(error), FaultKind.STRUCTURE))
    if not rows and not faults:
        faults.append(LabelFault(path, None, "has a header and no rows", FaultKind.STRUCTURE))
    return BallFile(path, tuple(rows), tuple(faults), frozenset(lines_of))


def find_coordinates(files: Iterable[BallFile]) -> Coordinates | None:
    """Which coordinates the files of one data set hold; `None` where no ball is visible in any.

    Normalised where all points of visible balls are within 0 and 1 and not all are whole numbers; pixels where
    most points of every file are beyond 1.

    Raises:
        UserError: files disagree, or one of them could be either.

    """
    kinds: dict[Coordinates, list[BallFile]] = {"pixel": [], "normalised": []}
    unclear: list[LabelFault] = []
    for file in files:
        points = [row.xy for row in file.rows if row.xy is not None]
        inside = [point for point in points if 0 <= point[0] <= 1 and 0 <= point[1] <= 1]
        if not points:
            continue
        if 2 * len(inside) < len(points):
            kinds["pixel"].append(file)
        elif len(inside) == len(points) and any(value % 1 for point in points for value in point):
            kinds["normalised"].append(file)
        else:
            message = f"{len(inside)} of {counted(len(points), 'point')} lie between 0 and 1"
            unclear.append(LabelFault(file.path, None, message, FaultKind.FILE))
    if unclear:
        raise UserError(
            f"{counted(len(unclear), 'label file')} could be in pixels or normalised",
            problems=list_faults(unclear),
            remedy="say which with --coordinates pixel or --coordinates normalised",
        )
    if kinds["pixel"] and kinds["normalised"]:
        raise UserError(
            f"{counted(len(kinds['pixel']), 'label file')} in pixels ({kinds['pixel'][0].path}, ...) and "
            f"{len(kinds['normalised'])} in fractions of the picture ({kinds['normalised'][0].path}, ...)",
            remedy="bring them all to one unit; if only one is meant and the points look otherwise, say which with "
            "--coordinates pixel or --coordinates normalised",
        )
    return next((kind for kind, found in kinds.items() if found), None)


def ranges(numbers: Collection[int]) -> str:
    """Frames as a person would list them: `3, 7-12 and 4 more`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    listed = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs[:6])
    left = sum(last - first + 1 for first, last in runs[6:])
    return f"{listed} and {left:,} more" if left else listed


def _find_columns(header: Sequence[str]) -> dict[str, int] | str:
    """Where each column is; or what is wrong with the header."""
    names = [name.strip().lower() for name in header]
    places: dict[str, int] = {}
    for column, spellings in COLUMNS.items():
        found = [place for place, name in enumerate(names) if name in spellings]
        if len(found) != 1:
            many = "no" if not found else f"{len(found)} columns for"
            return (
                f"has the header {','.join(header)!r} with {many} {column}; "
                "it must be like 'Frame,Visibility,X,Y' or 'frame_num,visible,x,y'"
            )
        places[column] = found[0]
    return places


def _frame_number(cell: str) -> int:
    text = cell.removesuffix(".0")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"frame {cell!r} is no number counted from 0")
    return int(text)


def _parse_ball(
    visibility_cell: str, x_cell: str, y_cell: str
) -> tuple[Visibility, tuple[float, float] | None]:
    visibility = Visibility(whole_number(visibility_cell, "visibility", len(Visibility)))
    xy = None
    if x_cell or y_cell:
        xy = (finite_number(x_cell, "x"), finite_number(y_cell, "y"))
    if visibility is Visibility.ABSENT:
        if xy not in (None, (0.0, 0.0)):
            raise ValueError(
                f"visibility 0 (no ball) with x {x_cell!r}, y {y_cell!r}: these must be 0 or blank"
            )
        return visibility, None
    if xy is None:
        raise ValueError(f"visibility {visibility.value} with blank coordinates")
    if xy == (0.0, 0.0):
        raise ValueError(f"visibility {visibility.value} at (0, 0), which stands for no ball")
    return visibility, xy
