"""Rows on the disk while a long prediction goes on: a valid CSV file at every moment, and partial by its name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from tracknet.inference.prediction_formats import csv_header, csv_rows
from tracknet.inference.predictions import Predictions
from tracknet.utils.errors import RunError


def set_aside(path: Path) -> Path | None:
    """Gives partial rows that are there a name of their own, `NAME.partial-2.csv` and so on, and returns it.

    For rows of what cannot be read again: those of a file come again, and are written over.
    """
    if not path.exists():
        return None
    number = 2
    while (aside := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return path.rename(aside)


class PartialCsv:
    """`NAME.partial.csv`: made with the first rows, cut back to whole rows whatever stops the writing.

    Leaving the block closes the file and keeps it, since whoever leaves early has nothing else. `discard` removes it,
    once the rows are in their final file.

    Attributes:
        path: of the file.
        rows: whole rows in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = 0
        self._file: BinaryIO | None = None
        self._whole_bytes = 0

    def __enter__(self) -> PartialCsv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        # What was not written for want of room must not be tried again.
        with contextlib.suppress(OSError):
            file.truncate(self._whole_bytes)
        file.close()
        if not self.rows:
            self.path.unlink(missing_ok=True)

    def write(self, rows: Predictions) -> None:
        """Adds rows, in one write.

        Raises:
            RunError: the disk is full, or otherwise does not take them; with where the rows so far are.
        """
        try:
            if self._file is None:
                self._file = self.path.open("wb", buffering=0)
                self._append(csv_header().encode())
            self._append(csv_rows(rows.table()).encode())
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be written: {error.strerror}",
                remedy=f"make room and start again; rows in that file: {self.rows:,}",
            ) from None
        self.rows += len(rows)

    def discard(self) -> None:
        """Removes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            raise ValueError("the file is closed")
        while data:
            # Unbuffered: a nearly full disk takes a part.
            data = data[self._file.write(data) :]
        self._whole_bytes = self._file.tell()
