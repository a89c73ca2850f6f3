"""CSV files as rows of cells, and cells as numbers."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import NamedTuple


class CsvRow(NamedTuple):
    """One row of a file.

    Attributes:
        line: its last line, the file's first being 1.
        cells: without the blanks around them.
    """

    line: int
    cells: list[str]


class NoCsvError(ValueError):
    """A file is none that can be read. The message says why, without the file's name.

    Attributes:
        line: where; `None` is the whole file.
    """

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line


def read_rows(path: Path) -> list[CsvRow]:
    """All rows of a file, the header's among them, without the blank ones at the end.

    Raises:
        NoCsvError: it cannot be read, or is no CSV in UTF-8.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise NoCsvError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise NoCsvError(f"is not UTF-8 text (byte {error.start})") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [CsvRow(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise NoCsvError(f"is no CSV: {error}", reader.line_num) from None
    while len(rows) > 1 and not any(rows[-1].cells):
        rows.pop()
    return rows


def finite_number(cell: str, what: str) -> float:
    """A cell as a finite number; raises `ValueError` with what is wrong."""
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} {cell!r} is no number")
    return value
