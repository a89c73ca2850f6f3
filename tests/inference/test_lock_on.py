"""A spot that stays while a ball moves elsewhere is false; one that stays alone, or not for long, is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tracknet.inference.lock_on import Spots

FloatArray = npt.NDArray[np.float64]
FPS = 30.0
RADIUS = 3.0


def scene(
    frames: int, *, ball_frames: slice, spot_frames: slice, spot_at: tuple[float, float] = (500.0, 80.0)
) -> tuple[FloatArray, FloatArray]:
    """A ball that flies as the first candidate, and a spot with jitter as the second."""
    rng = np.random.default_rng(0)
    rows = np.arange(frames)
    xy = np.full((frames, 2, 2), np.nan)
    ball = np.stack([100 + 11.0 * rows, 300 + 200 * np.sin(rows / 15)], axis=1)
    xy[ball_frames, 0] = ball[ball_frames]
    xy[spot_frames, 1] = (np.array(spot_at) + rng.uniform(-2, 2, (frames, 2)))[spot_frames]
    return rows / FPS, xy


def found(time_s: FloatArray, xy: FloatArray, least_s: float = 2.0) -> npt.NDArray[np.bool_]:
    """Which candidates are false, with the first one, where it is there, known to fly."""
    spots = Spots.find(time_s, xy, radius=RADIUS, least_s=least_s)
    return spots.beside(np.isfinite(xy[:, :1, 0]).any(axis=1))


# Wherever the spot lies in the cells that it is looked for in.
@pytest.mark.parametrize("spot_at", [(500.0, 80.0), (504.0, 84.0), (510.0, 84.0), (504.0, 90.0), (0.0, 0.0)])
def test_a_spot_beside_a_rally_is_false(spot_at: tuple[float, float]) -> None:
    every = slice(0, 90)
    spot = found(*scene(90, ball_frames=every, spot_frames=every, spot_at=spot_at))
    assert not spot[:, 0].any()
    assert spot[:, 1].all()


def test_it_may_be_hidden_for_a_while_and_flicker() -> None:
    time_s, xy = scene(120, ball_frames=slice(0, 120), spot_frames=slice(0, 120))
    xy[40:50, 1], xy[::4, 1] = np.nan, np.nan
    spot = found(time_s, xy)
    assert np.array_equal(spot[:, 1], np.isfinite(xy[:, 1, 0]))


def test_a_ball_that_waits_for_the_serve_is_left_alone() -> None:
    # Four seconds in one place, then it flies off; nothing else moves before.
    waits = scene(180, ball_frames=slice(0, 0), spot_frames=slice(0, 120))
    assert not found(*waits).any()
    time_s, xy = waits
    xy[120:, 1] = [[500 + 12.0 * n, 80 + 6.0 * n] for n in range(60)]
    assert not found(time_s, xy).any()


def test_one_that_stays_for_less_is_left_alone() -> None:
    short = scene(90, ball_frames=slice(0, 90), spot_frames=slice(10, 50))
    assert not found(*short, least_s=2.0).any()
    assert found(*short, least_s=1.0)[10:50, 1].all()


def test_a_place_where_balls_often_pass_is_no_spot() -> None:
    time_s, xy = scene(300, ball_frames=slice(0, 300), spot_frames=slice(0, 300))
    xy[np.arange(300) % 5 != 0, 1] = np.nan
    assert not found(time_s, xy).any()


def test_of_nothing_nothing_is_false() -> None:
    for shape in ((0, 3), (5, 0), (5, 3)):
        spot = found(np.arange(shape[0]) / FPS, np.full((*shape, 2), np.nan))
        assert spot.shape == shape
        assert not spot.any()
