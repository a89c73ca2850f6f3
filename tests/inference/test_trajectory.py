"""The ball's way is found through outliers and gaps, and nothing is made up that the settings do not allow."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tracknet.inference.trajectory import Trajectory, track
from tracknet.utils.config import from_plain
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import TrajectoryConfig

FloatArray = npt.NDArray[np.float64]
HD = Size(1280, 720)
DEFAULT = TrajectoryConfig()
OFF = TrajectoryConfig(candidates=1, start_cost=0, hysteresis=0, turn_cost=0, lock_on_s=None)
FILL = dataclasses.replace(DEFAULT, fill_frames=2)


def followed(
    time_s: FloatArray, xy: FloatArray, scores: FloatArray, config: TrajectoryConfig = DEFAULT
) -> Trajectory:
    way = track(time_s, xy, scores, config, threshold=0.5, frame_size=HD)
    # What holds of any input.
    for column, kind in (("x", float), ("y", float), ("visible", bool), ("filled", bool)):
        assert getattr(way, column).dtype == kind
    for column in dataclasses.fields(way):
        assert getattr(way, column.name).shape == time_s.shape
    assert np.array_equal(way.visible, np.isfinite(way.x) & np.isfinite(way.y))
    assert np.array_equal(way.visible & ~way.filled, way.candidate >= 0)
    assert np.array_equal(way.visible, way.track >= 0)
    assert not (way.filled & ~way.visible).any()
    seen = np.flatnonzero(way.candidate >= 0)
    assert np.array_equal(np.stack([way.x, way.y], 1)[seen], xy[seen, way.candidate[seen]])
    return way


@st.composite
def flights(draw: st.DrawFn) -> tuple[FloatArray, FloatArray]:
    """Times `[N]` and points `[N, 2]` of a parabola inside the picture, at any frame rate."""
    frames, fps = draw(st.integers(12, 40)), draw(st.sampled_from([25.0, 30000 / 1001, 60.0, 120.0]))
    time_s = np.arange(frames) / fps
    span = time_s[-1]
    x0, x1 = draw(st.floats(50, 1230)), draw(st.floats(50, 1230))
    y0, y1, sag = draw(st.floats(100, 600)), draw(st.floats(100, 600)), draw(st.floats(-90, 90))
    u = time_s / span
    points = np.stack([x0 + (x1 - x0) * u, y0 + (y1 - y0) * u + 4 * sag * u * (1 - u)], axis=1)
    speed = np.hypot(*np.diff(points, axis=0).T) * fps / np.hypot(*HD)
    assume(speed.max() < 0.95 * DEFAULT.max_speed)
    return time_s, points


@given(flight=flights(), seed=st.integers(0, 1000))
def test_a_flight_is_followed_through_outliers_and_gaps(
    flight: tuple[FloatArray, FloatArray], seed: int
) -> None:
    time_s, ball = flight
    rng = np.random.default_rng(seed)
    frames = len(ball)
    xy, scores = np.full((frames, 3, 2), np.nan), np.zeros((frames, 3))
    xy[:, 1], scores[:, 1] = ball, rng.uniform(0.55, 0.9, frames)
    # In every third frame a surer candidate far from the ball, each time elsewhere.
    wrong = np.arange(1, frames, 3)
    xy[wrong, 0] = (ball[wrong] + [400, 300] + rng.uniform(-60, 60, (len(wrong), 2))) % list(HD)
    scores[wrong, 0] = scores[wrong, 1] + 0.05
    gaps = [4, 8, 9]
    xy[gaps], scores[gaps] = np.nan, 0.0
    way = followed(time_s, xy, scores, FILL)
    assert np.array_equal(np.flatnonzero(way.filled), gaps)
    assert way.visible.all()
    assert len(set(way.track.tolist())) == 1
    found = np.stack([way.x, way.y], axis=1)
    assert np.array_equal(found[~way.filled], ball[~way.filled])
    for gap, (before, after) in {4: (3, 5), 8: (7, 10), 9: (7, 10)}.items():
        share = (gap - before) / (after - before)
        assert found[gap] == pytest.approx(ball[before] + share * (ball[after] - ball[before]))
    unfilled = followed(time_s, xy, scores)
    assert np.array_equal(np.flatnonzero(~unfilled.visible), gaps)


def test_gaps_are_filled_by_time_not_by_number() -> None:
    time_s = np.array([0.0, 0.04, 0.05, 0.10, 0.14])
    xy = (100 + 500 * time_s)[:, None, None] * np.ones(2)
    xy[2] = np.nan
    scores = np.where(np.isnan(xy[..., 0]), 0.0, 0.9)
    way = followed(time_s, xy, scores, FILL)
    assert way.filled.tolist() == [False, False, True, False, False]
    assert (way.x[2], way.y[2]) == pytest.approx((125.0, 125.0))


def test_longer_gaps_and_gaps_between_tracks_stay() -> None:
    frames = 20
    time_s, ball = np.arange(frames) / 30, np.stack([100 + 10.0 * np.arange(frames)] * 2, axis=1)
    scores = np.full((frames, 1), 0.99)
    long = ball[:, None].copy()
    long[8:11] = np.nan
    assert not followed(time_s, long, scores, FILL).filled.any()
    assert (
        followed(time_s, long, scores, dataclasses.replace(FILL, max_gap=3, fill_frames=3)).filled.sum() == 3
    )
    cut = ball[:, None].copy()
    cut[9:] += [900, 0]
    cut[8] = np.nan
    way = followed(time_s, cut, scores, FILL)
    assert not way.filled.any()
    assert way.track.tolist() == [0] * 8 + [-1] + [1] * 11


@given(
    frames=st.integers(0, 12),
    columns=st.integers(0, 3),
    seed=st.integers(0, 1000),
    lock=st.sampled_from([None, 0.1]),
)
def test_no_ball_anywhere(frames: int, columns: int, seed: int, lock: float | None) -> None:
    time_s = np.arange(frames) / 30
    config = dataclasses.replace(FILL, lock_on_s=lock)
    nothing = np.full((frames, columns, 2), np.nan), np.zeros((frames, columns))
    assert not followed(time_s, *nothing, config).visible.any()
    rng = np.random.default_rng(seed)
    faint = rng.uniform(0, 700, (frames, columns, 2)), rng.uniform(0, 0.2, (frames, columns))
    assert not followed(time_s, *faint, config).visible.any()


@settings(max_examples=60)
@given(frames=st.integers(0, 30), columns=st.integers(1, 3), seed=st.integers(0, 1000))
def test_with_all_steps_off_it_is_the_threshold(frames: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = -np.sort(-rng.uniform(0, 1, (frames, columns)), axis=1)
    xy = rng.uniform(0, 700, (frames, columns, 2))
    way = followed(np.arange(frames) / 30, xy, scores, OFF)
    above = scores[:, 0] > 0.5
    assert np.array_equal(way.visible, above)
    assert np.array_equal(way.candidate, np.where(above, 0, -1))


@given(flight=flights(), scale=st.sampled_from([0.25, 3.0]), slower=st.sampled_from([1.0, 0.5]))
def test_the_picture_s_size_is_no_matter(
    flight: tuple[FloatArray, FloatArray], scale: float, slower: float
) -> None:
    time_s, ball = flight
    rng = np.random.default_rng(len(ball))
    xy = np.stack([ball, rng.uniform(0, 700, ball.shape)], axis=1)
    scores = rng.uniform(0.3, 0.9, xy.shape[:2])
    way = followed(time_s, xy, scores)
    size = Size(round(1280 * scale), round(720 * scale))
    other = track(time_s, xy * scale, scores, DEFAULT, threshold=0.5, frame_size=size)
    assert np.array_equal(way.candidate, other.candidate)


def test_a_faint_candidate_counts_on_a_track_and_not_alone() -> None:
    frames = 21
    time_s, ball = np.arange(frames) / 30, np.stack([100 + 10.0 * np.arange(frames)] * 2, axis=1)[:, None]
    scores = np.full((frames, 1), 0.9)
    scores[10] = 0.45
    assert followed(time_s, ball, scores).visible.all()
    strict = followed(time_s, ball, scores, dataclasses.replace(DEFAULT, hysteresis=0.0))
    assert np.flatnonzero(~strict.visible).tolist() == [10]
    alone = np.zeros((frames, 1))
    alone[10] = 0.6
    assert not followed(time_s, ball, alone).visible.any()
    alone[10] = 0.97
    assert followed(time_s, ball, alone).visible.sum() == 1


def test_of_two_balls_one_is_followed() -> None:
    frames = 60
    time_s = np.arange(frames) / 30
    left = np.stack([100 + 8.0 * np.arange(frames), np.full(frames, 200.0)], axis=1)
    right = np.stack([1100 - 8.0 * np.arange(frames), np.full(frames, 500.0)], axis=1)
    xy = np.stack([left, right], axis=1)
    # Whichever is a little surer in a frame stands first, as candidates do.
    rng = np.random.default_rng(1)
    scores = np.stack([rng.uniform(0.6, 0.9, frames), rng.uniform(0.55, 0.85, frames)], axis=1)
    order = np.argsort(-scores, axis=1)
    xy, scores = np.take_along_axis(xy, order[..., None], 1), np.take_along_axis(scores, order, 1)
    way = followed(time_s, xy, scores)
    assert (way.candidate > 0).any()
    assert way.y.tolist() == [200.0] * frames


def test_a_spot_beside_a_rally_is_no_ball() -> None:
    frames = 120
    time_s, rows = np.arange(frames) / 30, np.arange(frames)
    ball = np.stack([100 + 9.0 * rows, 300 + 200 * np.sin(rows / 12)], axis=1)
    xy = np.stack([ball, np.tile([640.0, 60.0], (frames, 1))], axis=1)
    scores = np.tile([0.8, 0.7], (frames, 1))
    # The ball leaves the picture, and the spot is the surest that is left.
    xy[80:, 0], scores[80:, 0] = np.nan, 0.0
    without = dataclasses.replace(DEFAULT, lock_on_s=None)
    assert np.flatnonzero(followed(time_s, xy, scores, without).visible)[-1] == frames - 1
    way = followed(time_s, xy, scores)
    assert np.array_equal(np.flatnonzero(way.visible), np.arange(80))
    assert (way.candidate[:80] == 0).all()


def test_a_ball_that_waits_is_one_among_false_ones() -> None:
    """For four seconds, with something surer somewhere in every third frame; then it is served."""
    frames, served = 180, 120
    time_s, rng = np.arange(frames) / 30, np.random.default_rng(0)
    after = np.arange(frames - served)[:, None]
    ball = np.tile([640.0, 400.0], (frames, 1))
    ball[served:] += after * [9.0, -5.0]
    xy = np.stack([ball, rng.uniform([0, 0], [1280, 720], (frames, 2))], axis=1)
    scores = np.tile([0.8, 0.0], (frames, 1))
    scores[::3, 1] = 0.95
    way = followed(time_s, xy, scores)
    assert (way.candidate == 0).mean() > 0.95


@pytest.mark.parametrize(
    ("time_s", "xy", "scores"),
    [
        ([0.0, 1.0], np.zeros((2, 1, 2)), np.zeros((2, 2))),
        ([0.0], np.zeros((2, 1, 2)), np.zeros((2, 1))),
        ([1.0, 0.0], np.zeros((2, 1, 2)), np.zeros((2, 1))),
        ([0.0, np.nan], np.zeros((2, 1, 2)), np.zeros((2, 1))),
    ],
)
def test_what_does_not_fit_together_is_refused(
    time_s: list[float], xy: FloatArray, scores: FloatArray
) -> None:
    with pytest.raises(ValueError, match=r"expected \[N\]|backwards"):
        track(time_s, xy, scores, DEFAULT, threshold=0.5, frame_size=HD)


@pytest.mark.parametrize(
    ("plain", "named"),
    [
        ({"hysterisis": 1}, "hysterisis"),
        ({"start_cost": -1.0}, "start_cost"),
        ({"lock_on_s": 0}, "lock_on_s"),
        ({"fill_frames": 3, "max_gap": 2}, "no track has a gap of more than max_gap: 2"),
    ],
)
def test_settings_are_checked(plain: dict[str, object], named: str) -> None:
    with pytest.raises(UserError) as error:
        from_plain(TrajectoryConfig, plain)
    assert named in " ".join(error.value.problems)
