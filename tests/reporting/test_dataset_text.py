"""Figures as lines, and what is worth a warning."""

from __future__ import annotations

from typing import Any

import pytest

from tracknet.reporting.dataset_text import dataset_text, dataset_warnings

NONE: dict[str, Any] = {"count": 0, "first": []}
PART: dict[str, Any] = {
    "shards": 2,
    "bytes": 3_000_000,
    "games": ["game1"],
    "clips": 4,
    "frames": 200,
    "visibility": {"0": 20, "1": 170, "2": 10, "3": 0},
    "absent_share": 0.1,
    "status": {"flying": 170, "hit": 8, "bounce": 2, "none": 20},
    "source_sizes": {"1280x720": 200},
    "missing_frames": 0,
    "labels_outside": NONE,
    "ball_speed_px_per_frame": {
        "pairs": 150,
        "median": 9.21,
        "p90": 30.0,
        "p99": 50.55,
        "max": 60.0,
        "suspicious_share": 0,
        "suspicious": NONE,
    },
}
FIGURES: dict[str, Any] = {
    "folder": "shards",
    "build_id": "0123456789abcdef",
    "made_elsewhere": False,
    "image_size": [512, 288],
    "totals": {"frames": 200, "bytes": 3_000_000, "shards": 2},
    "splits": {"train": PART},
    "duplicates": {"same_source": {"groups": 0}},
    "leakage": [],
}
REPEATS: dict[str, Any] = {
    "pairs_compared": 100,
    "of_pairs": 196,
    "near_identical": 3,
    "games": {"game1": {"pairs": 100, "repeats": 3, "period": None}},
    "across_splits": {"frames_sought": 12, "found": 0, "first": []},
}


def test_the_figures_as_lines() -> None:
    text = dataset_text(FIGURES, REPEATS)
    assert "shards: build 0123456789ab, 200 frames stored at 512x288 in 2 shards, 3.0 MB" in text
    assert "train       1      4      200       2     3.0 MB  1280x720" in text
    assert "20 (10.0%)      170 (85.0%)        10 (5.0%)         0 (0.0%)" in text
    assert "170 (85.0%)         8 (4.0%)         2 (1.0%)       20 (10.0%)" in text
    assert "9.2    30.0    50.5    60.0   0 (0.0%)" in text
    assert "3 (3.0%), in a sample of 100 of 196 pairs; --duplicates takes all" in text
    assert list(dataset_warnings(FIGURES, REPEATS)) == []
    assert max(map(len, text.splitlines())) < 120


def test_all_pairs_and_no_balls() -> None:
    speed = {
        **PART["ball_speed_px_per_frame"],
        "pairs": 0,
        "median": None,
        "p90": None,
        "p99": None,
        "max": None,
    }
    figures = {**FIGURES, "splits": {"train": {**PART, "ball_speed_px_per_frame": speed}}}
    text = dataset_text(figures, {**REPEATS, "pairs_compared": 196})
    assert "in all 196 pairs" in text
    assert "       -       -       -       -   -" in text


@pytest.mark.parametrize(
    ("period", "word"), [(2, "2nd"), (3, "3rd"), (5, "5th"), (6, "6th"), (11, "11th"), (21, "21st")]
)
def test_a_period_is_said_of_its_games_together(period: int, word: str) -> None:
    games = {name: {"pairs": 60, "repeats": 10, "period": period} for name in ("game1", "game2")}
    games["game3"] = {"pairs": 60, "repeats": 1, "period": None}
    (warning,) = dataset_warnings(FIGURES, {**REPEATS, "games": games})
    assert warning.startswith(f"every {word} frame repeats the one before it in game1, game2: video shown")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing_frames": 3}, "clips lack 3 frames"),
        ({"labels_outside": {"count": 1, "first": ["k"]}}, "outside of the picture once, such as at k"),
        ({"absent_share": 0.0}, "0.0% of the frames have no ball, so that false alarms cannot be measured"),
        ({"absent_share": 0.95}, "95.0% of the frames have no ball, so that there is little to find"),
    ],
)
def test_doubtful_figures_are_warned_of(change: dict[str, Any], message: str) -> None:
    figures = {**FIGURES, "splits": {"train": {**PART, **change}}}
    (warning,) = dataset_warnings(figures, REPEATS)
    assert message in warning


def test_jumps_copies_and_leaks_are_warned_of() -> None:
    jumps = {**PART["ball_speed_px_per_frame"], "suspicious": {"count": 2, "first": ["a", "b"]}}
    figures = {
        **FIGURES,
        "leakage": ["1 game(s) in more than one split: game1"],
        "duplicates": {"same_source": {"groups": 1, "frames": 2, "first": [["a", "b"]]}},
        "splits": {"train": {**PART, "ball_speed_px_per_frame": jumps}},
    }
    across = {"frames_sought": 12, "found": 1, "first": [["a", "b"]]}
    warnings = list(dataset_warnings(figures, {**REPEATS, "across_splits": across}))
    assert [warning.partition(",")[0][:40] for warning in warnings] == [
        "1 game(s) in more than one split: game1",
        "1 of 12 frames sought are near-identical",
        "2 frames are made from files of the same",
        "train: the ball jumps by more than a qua",
    ]
