"""Which frames make a window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import table_of
from tracknet.datasets.windows import Windows, make_windows
from tracknet.utils.settings import SequenceConfig

SEQUENCES = st.builds(
    SequenceConfig,
    length=st.integers(1, 7),
    stride=st.integers(1, 4),
    anchor=st.sampled_from(["middle", "last"]),
)
CLIPS = st.lists(st.sets(st.integers(0, 25), min_size=1, max_size=15).map(sorted), min_size=1, max_size=4)


def all_rows(windows: Windows) -> np.ndarray:
    return windows.rows(np.arange(len(windows)))


@pytest.mark.parametrize(
    ("length", "anchor", "index"),
    [(1, "middle", 0), (3, "middle", 1), (4, "middle", 2), (5, "middle", 2), (1, "last", 0), (5, "last", 4)],
)
def test_anchor_index(length: int, anchor: str, index: int) -> None:
    assert SequenceConfig(length, 1, anchor).anchor_index == index  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sequence", "rows", "padded"),
    [
        (SequenceConfig(3), [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]], [1, 0, 0, 1]),
        (SequenceConfig(3, 2), [[0, 0, 2], [0, 1, 3], [0, 2, 3], [1, 3, 3]], [1, 1, 1, 1]),
        (SequenceConfig(3, 1, "last"), [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]], [1, 1, 0, 0]),
        (SequenceConfig(2), [[0, 0], [0, 1], [1, 2], [2, 3]], [1, 0, 0, 0]),
        (SequenceConfig(1), [[0], [1], [2], [3]], [0, 0, 0, 0]),
    ],
)
def test_four_frames(sequence: SequenceConfig, rows: list[list[int]], padded: list[int]) -> None:
    windows = make_windows(table_of([0, 1, 2, 3]), sequence)
    assert all_rows(windows).tolist() == rows
    assert windows.padded(np.arange(len(windows))).tolist() == [bool(flag) for flag in padded]


def test_no_window_reaches_over_a_missing_frame() -> None:
    windows = make_windows(table_of([0, 1, 3, 4]), SequenceConfig(3))
    assert all_rows(windows).tolist() == [[0, 0, 1], [0, 1, 1], [2, 2, 3], [2, 3, 3]]
    assert windows.padded(np.arange(4)).all()
    assert windows.run_bounds.tolist() == [[0, 2], [2, 4]]


def test_no_frames_no_windows() -> None:
    assert len(make_windows(table_of([]), SequenceConfig(3))) == 0


@given(CLIPS, SEQUENCES)
def test_every_frame_is_the_anchor_of_its_window(clips: list[list[int]], sequence: SequenceConfig) -> None:
    table = table_of(*clips)
    windows = make_windows(table, sequence)
    assert all_rows(windows).shape == (len(table), sequence.length)
    assert all_rows(windows)[:, sequence.anchor_index].tolist() == list(range(len(table)))


@given(CLIPS, SEQUENCES)
def test_windows_hold_the_frames_they_should_or_repeat_the_nearest(
    clips: list[list[int]], sequence: SequenceConfig
) -> None:
    table = table_of(*clips)
    windows = make_windows(table, sequence)
    row_of = {
        (int(c), int(n)): row for row, (c, n) in enumerate(zip(table.clip_id, table.frame, strict=True))
    }
    rows, padded = all_rows(windows), windows.padded(np.arange(len(windows)))
    for row in range(len(table)):
        clip, number = int(table.clip_id[row]), int(table.frame[row])
        clamped = False
        for position, got in enumerate(rows[row]):
            wanted = number + (position - sequence.anchor_index) * sequence.stride
            step = 1 if wanted > number else -1
            nearest = number
            while nearest != wanted and (clip, nearest + step) in row_of:
                nearest += step
            clamped |= nearest != wanted
            assert got == row_of[clip, nearest]
        assert padded[row] == clamped


@given(CLIPS, SEQUENCES)
def test_windows_run_forwards_in_time(clips: list[list[int]], sequence: SequenceConfig) -> None:
    rows = all_rows(make_windows(table_of(*clips), sequence))
    assert (np.diff(rows, axis=1) >= 0).all()
