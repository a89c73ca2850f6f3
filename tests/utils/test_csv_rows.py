"""Rows and cells of CSV files, and why there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracknet.utils.csv_rows import NoCsvError, finite_number, read_rows


def test_rows_have_the_lines_that_an_editor_shows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffframe, x \r\n0,"one\r\ntwo"\r\n\r\n3,4\r\n\r\n,\r\n'.encode())
    assert read_rows(path) == [(1, ["frame", "x"]), (3, ["0", "one\r\ntwo"]), (4, []), (5, ["3", "4"])]
    path.write_bytes(b"")
    assert read_rows(path) == []


@pytest.mark.parametrize(
    ("content", "why", "line"),
    [
        (None, "cannot be read: No such file or directory", None),
        (b"x\n\xff", "is not UTF-8 text (byte 2)", None),
        (b'x\n"1', "is no CSV: unexpected end of data", 2),
    ],
)
def test_why_a_file_is_none(content: bytes | None, why: str, line: int | None, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NoCsvError) as wrong:
        read_rows(path)
    assert (str(wrong.value), wrong.value.line) == (why, line)


def test_only_finite_numbers_are_numbers() -> None:
    assert finite_number("-1.5e1", "x") == -15
    for cell in ("", "one", "nan", "inf", "1,5"):
        with pytest.raises(ValueError, match=f"^x '{cell}' is no number$"):
            finite_number(cell, "x")
