"""Marks are where the numbers say, on frames of any size, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gaussians import draw_gaussian
from tracknet.reporting.ball_overlay import (
    BALL_RGB,
    EVENT_RGB,
    FILLED_RGB,
    TrailPoint,
    draw_ball,
    draw_event,
    draw_inset,
    draw_text,
    draw_trail,
)

NAN = float("nan")
Picture = np.ndarray


def grey(width: int = 1280, height: int = 720, value: int = 128) -> Picture:
    return np.full((height, width, 3), value, np.uint8)


def changed(picture: Picture, value: int = 128) -> tuple[int, int, int, int]:
    """Left, right, top, bottom of what was drawn."""
    ys, xs = np.nonzero((picture != value).any(-1))
    return int(xs.min()), int(xs.max()), int(ys.min()), int(ys.max())


@pytest.mark.parametrize(("width", "height"), [(426, 240), (1280, 720), (720, 1280), (3840, 2160)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_the_ring_is_around_the_ball_and_leaves_it_bare(width: int, height: int, value: int) -> None:
    picture = grey(width, height, value)
    x, y = width * 0.3, height * 0.6
    draw_ball(picture, x, y)
    left, right, top, bottom = changed(picture, value)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((x, y), abs=1)
    assert 4 <= (right - left) / 2 <= 0.04 * min(width, height)
    assert np.all(picture[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] == value)
    # Yellow with a dark rim: one of the two stands out on whatever is there.
    ring = picture[round(y), left : right + 1].astype(int)
    assert np.abs(ring - BALL_RGB).sum(-1).min() < 60
    if value:
        assert ring.sum(-1).min() < 3 * value / 2


def test_a_filled_place_has_a_ring_of_another_colour() -> None:
    picture = grey()
    draw_ball(picture, 300.0, 200.0, filled=True)
    assert np.abs(picture.astype(int) - FILLED_RGB).sum(-1).min() < 30
    assert np.abs(picture.astype(int) - BALL_RGB).sum(-1).min() > 200


def test_the_trail_fades_and_stops_at_the_ring() -> None:
    picture = grey()
    points = [TrailPoint(100.0 + 40 * i, 300.0, 1 - i / 10) for i in range(11)]
    draw_trail(picture, points)
    change = np.abs(picture[300].astype(int) - 128).sum(-1)
    assert 0 < change[155] < change[255] < change[355] < change[455]
    assert np.abs(picture[300, 455].astype(int) - BALL_RGB).max() < 30
    assert not change[491:].any()  # within the ring of radius 11
    assert changed(picture)[2] > 285


def test_the_trail_is_broken_where_the_ball_was_not_seen() -> None:
    picture = grey()
    xs = [100.0, 150.0, NAN, 250.0, 300.0]
    draw_trail(picture, [TrailPoint(x, 300.0, 0.2) for x in xs])
    drawn = (picture[300] != 128).any(-1)
    assert drawn[100:150].all()
    assert not drawn[160:240].any()
    assert drawn[255:285].all()


def test_filled_places_are_dots() -> None:
    picture = grey()
    points = [TrailPoint(100.0 + 60 * i, 300.0, 0.1, filled=i == 2) for i in range(5)]
    draw_trail(picture, points)
    drawn = (picture[300] != 128).any(-1)
    assert drawn[110:150].all()
    assert drawn[220]
    assert not drawn[230:270].any()
    assert np.abs(picture[300, 220].astype(int) - FILLED_RGB).max() < 40


def test_nothing_is_drawn_where_no_ball_is() -> None:
    picture = grey()
    draw_ball(picture, NAN, NAN)
    draw_trail(picture, [])
    draw_trail(picture, [TrailPoint(5, 5, 0)])
    draw_trail(picture, [TrailPoint(5, 5, 1), TrailPoint(90, 90, 1)])
    draw_event(picture, "hit", NAN, 3.0, 0.0)
    draw_event(picture, "hit", 30.0, 30.0, 1.0)
    draw_text(picture, "")
    assert np.all(picture == 128)


@pytest.mark.parametrize("kind", ["hit", "bounce"])
def test_an_event_widens_and_fades(kind: str) -> None:
    wide, strong = [], []
    for fade in (0.0, 0.5, 0.9):
        picture = grey()
        draw_event(picture, kind, 600.0, 400.0, fade)
        row = np.abs(picture[400].astype(int) - 128).sum(-1)
        wide.append(np.ptp(np.nonzero(row)[0]))
        strong.append(row.max())
        if not fade:
            assert np.abs(picture[400].astype(int) - EVENT_RGB[kind]).sum(-1).min() < 30
        assert changed(picture)[2] < 400 - 16 - 12  # the word above the ring
    assert wide == sorted(wide) and wide[0] < wide[2]
    assert strong == sorted(strong, reverse=True) and strong[2] < strong[0] / 2


@pytest.mark.parametrize(
    ("x", "y"), [(0, 0), (1279, 0), (0, 719), (1279.4, 719.4), (-300, 90), (5e9, 5e9), (-5e9, 10)]
)
def test_the_edges_and_beyond(x: float, y: float) -> None:
    picture = grey()
    draw_ball(picture, x, y)
    draw_event(picture, "bounce", x, y, 0.1)
    draw_trail(picture, [TrailPoint(640, 360, 0.1), TrailPoint(x, y, 0.0)])
    assert picture.shape == (720, 1280, 3)
    if abs(x) > 1e6:
        assert np.all(picture == 128)


def test_a_word_at_the_upper_edge_is_below_the_ring_and_whole() -> None:
    picture = grey()
    draw_event(picture, "bounce", 5.0, 5.0, 0.0)
    left, right, _, bottom = changed(picture)
    assert left == 0
    assert right > 50
    assert bottom > 5 + 16 + 10


def test_the_inset_has_the_heatmaps_shape_and_its_glow() -> None:
    heatmap = np.zeros((144, 256), np.float32)
    draw_gaussian(heatmap, 64.0, 108.0, 3.0)
    picture = grey()
    draw_inset(picture, heatmap)
    left, right, top, bottom = changed(picture)
    assert (right - left + 1) / (bottom - top + 1) == pytest.approx(256 / 144, abs=0.02)
    assert (1280 - 1 - right, top) == (8, 8)
    inside = picture[top + 2 : bottom - 1, left + 2 : right - 1].astype(int).sum(-1)
    y, x = np.unravel_index(inside.argmax(), inside.shape)
    assert ((x + 2) / (right - left + 1), (y + 2) / (bottom - top + 1)) == pytest.approx(
        (0.25, 0.75), abs=0.02
    )


@pytest.mark.parametrize(("width", "height"), [(426, 240), (1280, 720), (3840, 2160)])
@pytest.mark.parametrize("score", [0.4, 0.95])
def test_the_peak_of_the_inset_is_seen_at_a_glance(width: int, height: int, score: float) -> None:
    # As real maps are: a ball of 5 cells on a ground of 0.015, players of 0.08; the picture full of lines.
    heatmap = np.full((144, 256), 0.015, np.float32)
    heatmap[60:80, 40:50] = 0.08
    ball = np.zeros_like(heatmap)
    draw_gaussian(ball, 180.0, 40.0, 1.2)
    heatmap = np.maximum(heatmap, score * ball)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    with_ball, without = picture.copy(), picture.copy()
    draw_inset(with_ball, heatmap)
    draw_inset(without, np.minimum(heatmap, 0.08))
    _, right, top, bottom = changed_between(with_ball, picture)
    wide = round((bottom - top + 1) * 256 / 144)
    inset, calm = (drawn[top : bottom + 1, right - wide + 1 : right + 1] for drawn in (with_ball, without))
    x, y = 180.5 / 256 * wide, 40.5 / 144 * (bottom - top + 1)
    light = inset.astype(int).max(-1)
    # One bright spot, 1.1 % of the height wide at least (8 px at 720p), on ground below half the scale.
    bright = light > 130
    ys, xs = np.nonzero(bright[2:-2, 2:-2])
    assert (xs.mean() + 2, ys.mean() + 2) == pytest.approx((x, y), abs=0.02 * wide)
    assert 0.011 * height <= np.ptp(xs) + 1 <= 0.04 * height
    assert calm[2:-2, 2:-2].max() < 105
    # In colour, on grey.
    spot = inset[round(y), round(x)].astype(int)
    assert spot[0] - spot[2] > 80


def changed_between(picture: Picture, other: Picture) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero((picture != other).any(-1))
    return int(xs.min()), int(xs.max()), int(ys.min()), int(ys.max())


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (20, 9), (64, 64)])
def test_frames_of_a_few_pixels(size: tuple[int, int]) -> None:
    picture = grey(*size)
    draw_inset(picture, np.ones((9, 16), np.float32))
    draw_trail(picture, [TrailPoint(0, 0, 0.5), TrailPoint(1, 1, 0)])
    draw_event(picture, "hit", 0, 0, 0.2)
    draw_ball(picture, 0, 0)
    draw_text(picture, "0  0.00 s  0.99")
    assert picture.shape == (size[1], size[0], 3)


def test_text_grows_with_the_frame() -> None:
    heights = []
    for width, height in ((426, 240), (1280, 720), (3840, 2160)):
        picture = grey(width, height)
        draw_text(picture, "12  0.40 s  0.93")
        heights.append(changed(picture)[3] + 1)
        assert changed(picture)[1] < width * 0.45
    assert heights == [26, 28, 83]
