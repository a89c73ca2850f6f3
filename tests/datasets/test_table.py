"""Frames as columns: from labelled clips, and the runs that windows stay within."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import SmallBuild, table_of
from tracknet.datasets.schema import FrameLabel, LabelledClip, Status, Visibility
from tracknet.datasets.table import NO_STATUS, FrameTable
from tracknet.utils.geometry import Size


def clip_of(name: str, size: Size, *labels: FrameLabel) -> LabelledClip:
    return LabelledClip("game.1", name, Path("Label.csv"), size, labels)


def test_from_clips_keeps_every_column() -> None:
    seen = FrameLabel(Path("a.jpg"), 7, Visibility.HARD, (1.25, 2.5), Status.BOUNCE)
    absent = FrameLabel(Path("b.jpg"), 8, Visibility.ABSENT, None, None)
    at_origin = FrameLabel(Path("c.jpg"), 0, Visibility.CLEAR, (0.0, 0.0), Status.FLYING)
    table = FrameTable.from_clips(
        [clip_of("Clip1", Size(160, 90), seen, absent), clip_of("Clip2", Size(64, 32), at_origin)]
    )
    assert len(table) == 3
    assert table.keys == ["game-1_Clip1_0007", "game-1_Clip1_0008", "game-1_Clip2_0000"]
    assert table.clips == [("game.1", "Clip1"), ("game.1", "Clip2")]
    assert table.clip_id.tolist() == [0, 0, 1]
    assert table.frame.tolist() == [7, 8, 0]
    np.testing.assert_array_equal(table.xy_px, [[1.25, 2.5], [np.nan, np.nan], [0.0, 0.0]])
    assert table.visibility.tolist() == [2, 0, 1]
    assert table.status.tolist() == [2, NO_STATUS, 0]
    assert table.source_size.tolist() == [[160, 90], [160, 90], [64, 32]]


def test_no_clips_make_an_empty_table() -> None:
    table = FrameTable.from_clips([])
    assert len(table) == 0
    assert table.xy_px.shape == (0, 2)
    assert table.run_bounds().shape == (0, 2)


@pytest.mark.parametrize(
    ("clips", "bounds"),
    [
        ([[0, 1, 2]], [[0, 3]]),
        ([[5]], [[0, 1]]),
        ([[0, 1, 3, 4]], [[0, 2], [2, 4]]),
        # The next clip goes on with the next number: still another run.
        ([[0, 1], [2, 3]], [[0, 2], [2, 4]]),
        ([[4, 5], [0, 2, 3]], [[0, 2], [2, 3], [3, 5]]),
    ],
)
def test_a_run_ends_at_a_gap_and_at_its_clips_end(clips: list[list[int]], bounds: list[list[int]]) -> None:
    assert table_of(*clips).run_bounds().tolist() == bounds


@given(st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=20), min_size=1, max_size=5))
def test_runs_cover_every_row_once_and_hold_consecutive_frames_of_one_clip(clips: list[set[int]]) -> None:
    table = table_of(*(sorted(numbers) for numbers in clips))
    bounds = table.run_bounds()
    assert np.concatenate([np.arange(first, end) for first, end in bounds]).tolist() == list(
        range(len(table))
    )
    for first, end in bounds:
        assert len(set(table.clip_id[first:end])) == 1
        assert (np.diff(table.frame[first:end]) == 1).all()
    # Maximal: no two neighbouring runs could be one.
    for end in bounds[:-1, 1]:
        assert table.clip_id[end] != table.clip_id[end - 1] or table.frame[end] != table.frame[end - 1] + 1


def test_index_and_raw_folders_give_the_same_table(small_build: SmallBuild) -> None:
    for split, frames in (("train", 71), ("val", 22)):
        stored, raw = small_build.open(split).table, FrameTable.from_clips(small_build.clips(split))
        assert len(stored) == frames
        assert list(stored.keys) == list(raw.keys)
        assert list(stored.clips) == list(raw.clips)
        for name in ("clip_id", "frame", "xy_px", "visibility", "status", "source_size"):
            one, other = getattr(stored, name), getattr(raw, name)
            assert one.dtype == other.dtype, name
            np.testing.assert_array_equal(one, other, err_msg=name)
