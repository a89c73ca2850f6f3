"""What became of a frame, and which frames are shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.reporting.outcomes import (
    EMPTY,
    FALSE_ALARM,
    FOUND,
    MISSED,
    NEAR_MISS,
    Frames,
    OutcomeRule,
    classify,
    disagreements,
    worst_frames,
)
from tracknet.utils.geometry import Size

NAN = float("nan")


def table(rows: list[tuple], size: tuple[int, int] = (1280, 720)) -> dict[str, np.ndarray]:
    """Columns of (clip, frame, x, true x, score, visibility); y is 100 throughout."""
    clip, frame, x, true_x, score, visibility = zip(*rows, strict=True) if rows else [()] * 6
    return {
        "key": np.array([f"g_{c}_{f:04d}" for c, f in zip(clip, frame, strict=True)], object),
        "game": np.full(len(rows), "g", object),
        "clip": np.array(clip, object),
        "frame": np.array(frame),
        "x_px": np.array(x, object),
        "y_px": np.array([None if value is None else 100.0 for value in x], object),
        "true_x_px": np.array(true_x, float),
        "true_y_px": np.where(np.isnan(np.array(true_x, float)), NAN, 100.0),
        "score": np.array(score, float),
        "visibility": np.array(visibility),
        "width": np.full(len(rows), size[0]),
        "height": np.full(len(rows), size[1]),
    }


def test_a_hand_worked_table():
    rows = [
        ("A", 0, 103.9, 100.0, 0.5, 1, FOUND),
        ("A", 1, 104.0, 100.0, 0.5, 1, NEAR_MISS),
        ("A", 2, 100.0, 100.0, 0.49, 2, MISSED),
        ("A", 3, 500.0, NAN, 0.5, 0, FALSE_ALARM),
        ("A", 4, 500.0, NAN, 0.1, 0, EMPTY),
        ("A", 5, 100.0, 100.0, 0.9, 3, FALSE_ALARM),
        ("A", 6, None, 100.0, 0.9, 1, MISSED),
        ("A", 7, 100.0, 100.0, NAN, 1, MISSED),
    ]
    frames = Frames.of(table([row[:-1] for row in rows]))
    assert classify(frames, 0.5, OutcomeRule()).tolist() == [row[-1] for row in rows]
    loose = OutcomeRule("mine", 4.0, Size(1280, 720), visible=(1, 2, 3), inclusive=True)
    assert classify(frames, 0.5, loose)[[1, 5]].tolist() == [FOUND, FOUND]


def test_distances_are_scaled_to_the_rules_picture_size():
    # 7.9 px of a frame of twice the size are 3.95 px.
    frames = Frames.of(
        table([("A", 0, 107.9, 100.0, 1.0, 1), ("A", 1, 108.0, 100.0, 1.0, 1)], size=(2560, 1440))
    )
    assert classify(frames, 0.5, OutcomeRule()).tolist() == [FOUND, NEAR_MISS]
    assert frames.error_px() == pytest.approx([7.9, 8.0])


def test_no_frames_have_no_outcomes():
    assert len(Frames.of({})) == 0
    assert classify(Frames.of({}), 0.5, OutcomeRule()).tolist() == []
    assert worst_frames({}, 0.5, 10) == []


def test_kinds_take_turns_then_clips_and_one_failure_is_shown_once():
    rows = [("A", frame, 100.0, 100.0, 0.1, 1) for frame in range(8)]  # one gap
    rows += [("B", 0, 100.0, 100.0, 0.1, 1), ("B", 1, 900.0, 100.0, 0.9, 1), ("C", 0, 110.0, 100.0, 0.9, 1)]
    rows += [("C", 1, 50.0, NAN, 0.8, 0), ("C", 2, 101.0, 100.0, 0.9, 1)]
    chosen = worst_frames(table(rows), 0.5, 100)
    # Missed, near miss (the farthest), false alarm; then the other clips; then the rest of the gap; then found.
    assert chosen[:5] == [0, 9, 11, 8, 10]
    assert chosen[-1] == 12
    assert sorted(chosen) == list(range(len(rows)))
    assert worst_frames(table(rows), 0.5, 3) == [0, 9, 11]


def test_clear_balls_and_sure_false_alarms_come_first():
    rows = [
        ("A", 0, 1.0, 1.0, 0.1, 2),
        ("B", 0, 1.0, 1.0, 0.2, 1),
        ("C", 0, 1.0, NAN, 0.6, 0),
        ("D", 0, 1.0, NAN, 0.9, 0),
    ]
    assert worst_frames(table(rows), 0.5, 4) == [1, 3, 0, 2]


def test_disagreements_are_frames_where_just_one_is_right():
    a = np.array([FOUND, FOUND, EMPTY, MISSED, FALSE_ALARM, NEAR_MISS], np.int8)
    b = np.array([FOUND, NEAR_MISS, FALSE_ALARM, FOUND, EMPTY, MISSED], np.int8)
    only_a, only_b = disagreements(a, b)
    assert (only_a.tolist(), only_b.tolist()) == ([1, 2], [3, 4])


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.floats(0, 30), st.floats(0, 1), st.integers(0, 3)), max_size=60
    ),
    st.integers(0, 70),
)
def test_any_rows_are_listed_once_failures_before_found_ones(rows: list, limit: int):
    data = table([(clip, n, 100 + x, 100.0 if v else NAN, s, v) for n, (clip, x, s, v) in enumerate(rows)])
    chosen = worst_frames(data, 0.5, limit)
    outcome = classify(Frames.of(data), 0.5, OutcomeRule())
    wanted = int((outcome != EMPTY).sum())
    assert len(chosen) == len(set(chosen)) == min(limit, wanted)
    is_found = outcome[chosen] == FOUND
    assert np.all(np.diff(is_found.astype(int)) >= 0)
    assert EMPTY not in outcome[chosen]
