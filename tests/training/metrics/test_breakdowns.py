"""Parts of the frames: which frame is in which, and the figures of each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.training.metrics.conftest import Frame, off_by, predictions_of
from tracknet.training.metrics import PROTOCOLS
from tracknet.training.metrics.bootstrap import clip_weights
from tracknet.training.metrics.breakdowns import ball_speed_px, breakdowns
from tracknet.training.metrics.counts import count, outcomes

WASB = PROTOCOLS["wasb"]


def broken_down(frames: list[Frame], threshold: float = 0.5) -> dict[str, dict[str, Any]]:
    predictions = predictions_of(frames)
    clips = len(np.unique(predictions.frames.clip_id))
    weights = clip_weights(clips, 200)
    parts = breakdowns(predictions, WASB, outcomes(predictions, WASB, threshold), weights)
    return {name: {row["value"]: row for row in rows} for name, rows in parts.items()}


def at(x: float, y: float, **options: Any) -> Frame:
    return Frame((x, y), (x, y), **options)


def test_figures_of_a_part_by_hand():
    parts = broken_down(
        [
            off_by(1.0),
            off_by(2.0),
            off_by(50.0, 0.3),
            off_by(9.0),
            off_by(None, 0.7),
            off_by(3.0, visibility=3),
        ]
    )
    clear = parts["visibility"]["clear"]
    assert clear["frames"] == clear["balls"] == 4
    assert [clear[name] for name in ("tp", "tn", "fp1", "fp2", "fn")] == [2, 0, 1, 0, 1]
    assert clear["precision"] == pytest.approx(2 / 3)
    assert clear["recall"] == pytest.approx(2 / 3)
    assert clear["median_px"] == pytest.approx(5.5)
    assert parts["visibility"]["absent"]["false_alarm_rate"] == 1
    assert math.isnan(parts["visibility"]["absent"]["median_px"])
    # WASB takes visibility 3 for no ball; its error is known all the same.
    occluded = parts["visibility"]["occluded"]
    assert (occluded["balls"], occluded["fp2"], occluded["median_px"]) == (0, 1, 3.0)
    assert "hard" not in parts["visibility"]


def test_parts_of_several_clips_have_intervals():
    good = [off_by(0.0, clip=("g", "a"), status=0)] * 3
    bad = [off_by(float("nan"), clip=("g", "b"), status=0), off_by(0.0, clip=("g", "b"), status=1)]
    parts = broken_down([*good, *bad, off_by(None, clip=("h", "c"))])
    # Flying: three of three in a, none of one in b. A resample without either says nothing of it.
    assert parts["status"]["flying"]["recall"] == 0.75
    assert parts["status"]["flying"]["intervals"]["recall"] == [0.0, 1.0]
    assert parts["game"]["g"]["intervals"]["f1"][0] < parts["game"]["g"]["f1"] < 1
    for kind, value in (("status", "hit"), ("clip", "g/a"), ("game", "h"), ("visibility", "absent")):
        assert parts[kind][value]["intervals"] is None, (kind, value)


def test_every_frame_is_in_one_game_one_clip_one_region_and_one_visibility():
    rng = np.random.default_rng(3)
    frames = [
        Frame(
            None if rng.uniform() < 0.2 else tuple(rng.uniform(0, 700, 2)),
            tuple(rng.uniform(0, 700, 2)),
            float(rng.uniform()),
            clip=(f"game{clip // 2}", f"Clip{clip}"),
        )
        for clip in range(5)
        for _ in range(20)
    ]
    predictions = predictions_of(frames)
    whole = count(outcomes(predictions, WASB, 0.5)).tolist()
    parts = broken_down(frames)
    for name in ("visibility", "region", "game", "clip"):
        rows = parts[name].values()
        assert [sum(row[o] for row in rows) for o in ("tp", "tn", "fp1", "fp2", "fn")] == whole, name
    assert list(parts["game"]) == ["game0", "game1", "game2"]
    assert parts["clip"]["game2/Clip4"]["frames"] == 20


def test_status():
    parts = broken_down([at(1, 1, status=0), at(1, 1, status=1), at(1, 1, status=2), off_by(None)])
    assert {name: row["frames"] for name, row in parts["status"].items()} == {
        "flying": 1,
        "hit": 1,
        "bounce": 1,
    }


def test_speed_is_known_between_consecutive_frames_of_a_clip_only():
    frames = [
        at(100, 100),
        at(103, 104),
        at(103, 104, number=5),
        Frame(None, None, number=6),
        at(103, 104, number=7),
        at(203, 104, number=8),
        at(500, 104, clip=("game1", "Clip2"), number=9),
    ]
    speed = ball_speed_px(predictions_of(frames).frames)
    assert np.isnan(speed[[0, 2, 3, 4, 6]]).all()
    assert speed[[1, 5]] == pytest.approx([5, 100])
    rows = broken_down(frames)["speed"]
    assert {name: row["frames"] for name, row in rows.items()} == {
        "5-10 px/frame": 1,
        "40 px/frame and more": 1,
        "unknown": 4,
    }


def test_speed_is_measured_at_one_picture_size():
    frames = [at(100, 100, size=(640, 360)), at(106, 108, size=(640, 360))]
    assert ball_speed_px(predictions_of(frames).frames)[1] == pytest.approx(20)


def test_regions_are_thirds_of_the_picture_by_the_ball_else_by_the_guess():
    # Of 9 pixels a side: the first third ends at 2.5, between the centres of pixels 2 and 3.
    small = {"size": (9, 9)}
    frames = [
        at(2.49, 2.49, **small),
        at(2.51, 2.49, **small),
        at(8.4, 5.0, **small),
        Frame(None, (0.0, 8.0), **small),
        Frame(None, (-50.0, 90.0), **small),
        Frame((0.0, 0.0), (8.0, 8.0), **small),
        Frame(None, None, **small),
    ]
    rows = broken_down(frames)["region"]
    assert {name: row["frames"] for name, row in rows.items()} == {
        "top left": 2,
        "top centre": 1,
        "middle right": 1,
        "bottom left": 2,
    }


def test_no_frames():
    assert all(not rows for rows in broken_down([]).values())


def test_a_part_without_balls_has_no_recall_and_no_f1():
    frames = [
        off_by(0.0, clip=("g", "a")),
        off_by(None, 0.9, clip=("g", "b")),
        off_by(None, 0.1, clip=("g", "b")),
    ]
    parts = broken_down(frames)["clip"]
    with_ball, without = parts["g/a"], parts["g/b"]
    assert (with_ball["recall"], with_ball["f1"]) == (1.0, 1.0)
    assert (without["balls"], without["fp2"], without["tn"]) == (0, 1, 1)
    assert math.isnan(without["recall"]) and math.isnan(without["f1"])
    assert without["false_alarm_rate"] == 0.5
