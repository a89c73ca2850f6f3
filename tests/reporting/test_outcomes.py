"""What became of a frame, and which frames are shown."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.reporting.outcomes import OUTCOME_NAMES, Frames, disagreements, worst_frames
from tracknet.reporting.page_template import asset
from tracknet.utils.outcome import Outcome

NAN = float("nan")
TP, TN, FP1, FP2, FN = Outcome


def table(rows: list[tuple]) -> dict[str, np.ndarray]:
    """Columns of (clip, frame, x, true x, score, visibility, outcome); y is 100 throughout."""
    clip, frame, x, true_x, score, visibility, outcome = zip(*rows, strict=True) if rows else [()] * 7
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
        "width": np.full(len(rows), 1280),
        "height": np.full(len(rows), 720),
        "outcome": np.array(outcome, np.int8),
    }


def test_columns_with_nulls():
    frames = Frames.of(
        table(
            [
                ("A", 0, 103.0, 100.0, 0.5, 1, TP),
                ("A", 1, None, 100.0, 0.0, 2, FN),
                ("B", 2, 500.0, NAN, 0.9, 0, FP2),
                ("A", 3, 500.0, NAN, 0.1, 0, TN),
                ("A", 4, 130.0, 100.0, 0.9, 1, FP1),
                ("A", 5, 130.0, NAN, 0.1, 0, TN),
            ]
        )
    )
    assert frames.outcome.tolist() == [TP, FN, FP2, TN, FP1, TN]
    assert frames.error_px == pytest.approx([3.0, NAN, NAN, NAN, 30.0, NAN], nan_ok=True)
    assert frames.status.tolist() == [-1] * 6, "a column that is not there is all nulls"
    assert [rows.tolist() for rows in frames.rows_of_clips()] == [[0, 1, 3, 4, 5], [2]]


def test_the_page_knows_the_same_codes():
    line = next(line for line in asset("store.js").splitlines() if line.startswith("const FOUND"))
    codes = {name: int(code) for name, code in re.findall(r"(\w+) = (\d)", line)}
    assert codes == {"FOUND": TP, "EMPTY": TN, "NEAR": FP1, "ALARM": FP2, "MISSED": FN}
    tones = dict(re.findall(r"\.o(\d) \{ fill: var\(--(\w+)\)", asset("report.css")))
    assert tones == {str(code): name.lower() for name, code in codes.items()}
    assert re.findall(r"outcome: \[(.*)\]\.map", asset("trace.js")) == [
        ", ".join(f'"{name.lower()}"' for name in sorted(codes, key=codes.__getitem__))
    ]
    assert set(OUTCOME_NAMES) == set(Outcome)


def test_no_frames_have_no_outcomes():
    assert len(Frames.of({})) == 0
    assert Frames.of({}).rows_of_clips() == []
    assert worst_frames({}, 10) == []


def test_kinds_take_turns_then_clips_and_one_failure_is_shown_once():
    rows = [("A", frame, 100.0, 100.0, 0.1, 1, FN) for frame in range(8)]  # one gap
    rows += [("B", 0, 100.0, 100.0, 0.1, 1, FN), ("B", 1, 900.0, 100.0, 0.9, 1, FP1)]
    rows += [
        ("C", 0, 110.0, 100.0, 0.9, 1, FP1),
        ("C", 1, 50.0, NAN, 0.8, 0, FP2),
        ("C", 2, 101.0, 100.0, 0.9, 1, TP),
    ]
    chosen = worst_frames(table(rows), 100)
    # Missed, near miss (the farthest), false alarm; then the other clips; then the rest of the gap; then found.
    assert chosen[:5] == [0, 9, 11, 8, 10]
    assert chosen[-1] == 12
    assert sorted(chosen) == list(range(len(rows)))
    assert worst_frames(table(rows), 3) == [0, 9, 11]


def test_clear_balls_and_sure_false_alarms_come_first():
    rows = [("A", 0, 1.0, 1.0, 0.1, 2, FN), ("B", 0, 1.0, 1.0, 0.2, 1, FN)]
    rows += [("C", 0, 1.0, NAN, 0.6, 0, FP2), ("D", 0, 1.0, NAN, 0.9, 0, FP2)]
    assert worst_frames(table(rows), 4) == [1, 3, 0, 2]


def test_disagreements_are_frames_where_just_one_is_right():
    a, b = (
        Frames.of(table([("A", n, 1.0, 1.0, 0.5, 1, code) for n, code in enumerate(codes)]))
        for codes in ((TP, TP, TN, FN, FP2, FP1), (TP, FP1, FP2, TP, TN, FN))
    )
    only_a, only_b = disagreements(a, b)
    assert (only_a.tolist(), only_b.tolist()) == ([1, 2], [3, 4])


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.floats(0, 30), st.floats(0, 1), st.integers(0, 4)), max_size=60
    ),
    st.integers(0, 70),
)
def test_any_rows_are_listed_once_failures_before_found_ones(rows: list, limit: int):
    data = table([(clip, n, 100 + x, 100.0, s, 1, code) for n, (clip, x, s, code) in enumerate(rows)])
    chosen = worst_frames(data, limit)
    outcome = Frames.of(data).outcome
    assert len(chosen) == len(set(chosen)) == min(limit, int((outcome != TN).sum()))
    is_found = outcome[chosen] == TP
    assert np.all(np.diff(is_found.astype(int)) >= 0)
    assert TN not in outcome[chosen]
