"""Reads `Label.csv` files: every row that is right, and every fault as data; `label_faults.settle` deals with them.

A file in the layout of the TrackNet tennis dataset, one folder per clip, beside its frames:

    file name,visibility,x-coordinate,y-coordinate,status
    0000.jpg,1,598,466,0
    0001.jpg,0,,,

Visibility 0 is a frame without the ball, and exactly there the other cells are blank.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from tracknet.datasets.label_faults import FaultKind, LabelFault, ParsedClip, ParsedRow, off_picture
from tracknet.datasets.schema import FrameLabel, Status, Visibility
from tracknet.utils.csv_rows import CsvRow, NoCsvError, finite_number, read_rows
from tracknet.utils.geometry import Size

LABEL_NAME = "Label.csv"
HEADER = ("file name", "visibility", "x-coordinate", "y-coordinate", "status")
README_HEADER = ("File Name", "Visibility Class", "X", "Y", "Trajectory Pattern")
FRAME_NAME = re.compile(r"(\d+)\.(?:jpe?g|png)", re.IGNORECASE)


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


def whole_number(cell: str, what: str, count: int) -> int:
    """A cell as one of the codes 0 to `count - 1`; raises `ValueError` with what is wrong."""
    # Tools that hold a column with blanks as floating point write 1 as 1.0.
    text = cell.removesuffix(".0")
    if text not in [str(code) for code in range(count)]:
        raise ValueError(f"{what} {cell!r} is none of {', '.join(map(str, range(count)))}")
    return int(text)
