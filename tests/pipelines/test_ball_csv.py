"""The label files of videos: their dialects, their units, and every fault by its row."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ball_csv import BallFile, BallRow, find_coordinates, ranges, read_ball_csv
from tracknet.datasets.label_faults import FaultKind
from tracknet.datasets.schema import Visibility
from tracknet.utils.errors import UserError


def read(folder: Path, text: str, name: str = "1_ball.csv") -> BallFile:
    path = folder / name
    path.write_bytes(text.encode())
    return read_ball_csv(path)


def of_points(*points: tuple[float, float]) -> BallFile:
    rows = tuple(BallRow(2 + n, n, Visibility.CLEAR, xy) for n, xy in enumerate(points))
    return BallFile(
        Path(f"{points[0][0] if points else 'none'}.csv"), rows, (), frozenset(range(len(points)))
    )


@pytest.mark.parametrize(
    "text",
    [
        "Frame,Visibility,X,Y\n0,1,10.5,20\n1,0,0,0\n2,1,12,0\n",
        "\ufeffframe_num,visible,x,y\r\n0,1,10.5,20\r\n1,0,0.0,0.0\r\n2,1,12,0\r\n\r\n",
        "Y,X,Visibility,Frame,note\n20,10.5,1,0,\n,,0,1,gone\n0,12,1,2,\n",
        "FRAME, VISIBILITY , x,y\n0,1.0,10.5,20.0\n1,0.0,,\n2.0,1,12,0\n",
    ],
)
def test_the_dialects_say_the_same(tmp_path: Path, text: str) -> None:
    file = read(tmp_path, text)
    assert not file.faults
    assert [(row.number, row.visibility, row.xy) for row in file.rows] == [
        (0, Visibility.CLEAR, (10.5, 20.0)),
        (1, Visibility.ABSENT, None),
        (2, Visibility.CLEAR, (12.0, 0.0)),
    ]
    assert [row.line for row in file.rows] == [2, 3, 4]
    assert file.numbers == {0, 1, 2}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1,1,abc,5", "x 'abc' is no number"),
        ("1,1,nan,5", "x 'nan' is no number"),
        ("1,1,,", "visibility 1 with blank coordinates"),
        ("1,1,5,", "y '' is no number"),
        ("1,1,0,0", "visibility 1 at (0, 0), which stands for no ball"),
        ("1,0,5,5", "visibility 0 (no ball) with x '5', y '5'"),
        ("1,4,5,5", "visibility '4' is none of 0, 1, 2, 3"),
        ("-1,1,5,5", "frame '-1' is no number counted from 0"),
        ("1.5,1,5,5", "frame '1.5' is no number counted from 0"),
        ("0,1,5,5", "frame 0 has a row already, in line 2"),
        ("1,1,5", "has 3 cells, the header has 4"),
        (",,,", "is blank between other rows"),
    ],
)
def test_every_fault_of_a_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    file = read(tmp_path, f"Frame,Visibility,X,Y\n0,1,5,6\n{row}\n2,1,7,8\n")
    (fault,) = file.faults
    assert (fault.row, fault.kind) == (3, FaultKind.STRUCTURE)
    assert words in fault.message
    assert [row.number for row in file.rows] == [0, 2]


def test_rows_must_ascend(tmp_path: Path) -> None:
    file = read(tmp_path, "Frame,Visibility,X,Y\n0,1,5,6\n2,1,5,6\n1,1,7,8\n")
    assert [fault.message for fault in file.faults] == ["frame 1 comes after frame 2: rows must ascend"]
    assert file.numbers == {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Frame,Visibility,X\n", "with no y"),
        ("Frame,Visible,X,Y,vis\n", "with 2 columns for visibility"),
        ("file name,visibility,x-coordinate,y-coordinate,status\n", "with no frame"),
        ("", "has the header ''"),
        ("\xff\xfe", "has the header"),
        ('Frame,Visibility,X,Y\n0,1,"5,6\n', "is no CSV"),
    ],
)
def test_what_is_no_label_file(tmp_path: Path, text: str, words: str) -> None:
    file = read(tmp_path, text)
    assert not file.readable
    assert words in file.faults[0].message


def test_a_file_that_cannot_be_read_or_is_empty(tmp_path: Path) -> None:
    assert not read_ball_csv(tmp_path / "none.csv").readable
    file = read(tmp_path, "Frame,Visibility,X,Y\n")
    assert [fault.message for fault in file.faults] == ["has a header and no rows"]


def test_units_are_told_apart() -> None:
    pixels, fractions, none = (
        of_points((640, 360), (1, 1), (600, 300)),
        of_points((0.5, 1.0), (0.0, 0.25)),
        of_points(),
    )
    assert find_coordinates([pixels, none]) == "pixel"
    assert find_coordinates([fractions, none]) == "normalised"
    assert find_coordinates([none]) is None
    with pytest.raises(UserError, match=r"1 label file in pixels .* and 1 in fractions"):
        find_coordinates([pixels, fractions])
    # A whole number of 0 or 1 may be the corner's pixel; a fraction beyond 1 may be off the picture.
    for unclear in (of_points((1, 1), (0, 1)), of_points((0.5, 0.5), (0.9, 0.2), (1.002, 0.3))):
        with pytest.raises(UserError, match="1 label file could be in pixels or normalised") as caught:
            find_coordinates([pixels, unclear])
        assert "--coordinates normalised" in str(caught.value)


@given(st.lists(st.tuples(st.floats(2, 4000), st.floats(2, 4000)), min_size=1))
def test_pixels_are_never_taken_for_fractions(points: list[tuple[float, float]]) -> None:
    assert find_coordinates([of_points(*points)]) == "pixel"


@given(st.sets(st.integers(0, 400)))
def test_ranges_name_every_frame_or_count_it(numbers: set[int]) -> None:
    text, _, left = ranges(numbers).partition(" and ")
    named: set[int] = set()
    for part in filter(None, text.split(", ")):
        first, _, last = part.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named <= numbers
    assert len(named) + (int(left.split()[0]) if left else 0) == len(numbers)
