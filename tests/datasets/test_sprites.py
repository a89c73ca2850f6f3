"""A ball is taken off one picture and put on another, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.datasets.balls import SIZE, WHITE, cover_of, scenery, seen_at, with_ball
from tracknet.datasets.reader import Frame
from tracknet.datasets.sprites import Sprite, erase, lift

PLACE = (60.3, 41.8)
BACKGROUND = scenery(1)


def lifted(frame: Frame, background: Frame = BACKGROUND, place: tuple[float, float] = PLACE) -> Sprite | None:
    return lift(frame, background, place, reach=10, ball_px=5.0)


def ball() -> Sprite:
    found = lifted(with_ball(BACKGROUND, *PLACE))
    assert found is not None
    return found


def test_the_cover_and_the_colour_are_found() -> None:
    sprite = ball()
    assert sprite.place == pytest.approx(PLACE)
    assert sprite.brighter
    x, y = sprite.corner
    height, width = sprite.cover.shape
    true = cover_of(*PLACE)[y : y + height, x : x + width]
    # The colour is that of the brightest spots, which the background shines through a little.
    assert np.abs(sprite.cover - true).max() < 0.15
    assert np.abs(sprite.colour - WHITE).max() < 35


def test_what_is_behind_it_is_shown_again() -> None:
    frame = with_ball(BACKGROUND, *PLACE)
    erase(frame, BACKGROUND, ball())
    assert np.abs(frame.astype(int) - BACKGROUND).max() <= 2


def test_put_down_elsewhere_it_is_the_ball_that_would_be_there() -> None:
    other = scenery(7)
    frame = other.copy()
    moved = ball().moved(30, -12)
    moved.put_down(frame)
    expected = with_ball(other, PLACE[0] + 30, PLACE[1] - 12)
    assert moved.place == pytest.approx((PLACE[0] + 30, PLACE[1] - 12))
    assert np.abs(frame.astype(int) - expected).max() < 30
    # No rim of the old background: nothing changes beyond the ball.
    far = cover_of(*moved.place) == 0
    assert np.abs(frame.astype(int) - other)[far].max() <= 3
    assert seen_at(frame, other) == pytest.approx(moved.place, abs=0.15)


@pytest.mark.parametrize(("x", "y"), [(True, False), (False, True), (True, True)])
def test_mirrored_it_is_where_its_label_says(x: bool, y: bool) -> None:
    sprite = ball().mirrored(x=x, y=y)
    assert sprite.place == pytest.approx((-PLACE[0] if x else PLACE[0], -PLACE[1] if y else PLACE[1]))
    back = sprite.moved(100 if x else 0, 90 if y else 0)
    frame = BACKGROUND.copy()
    back.put_down(frame)
    assert seen_at(frame, BACKGROUND) == pytest.approx(back.place, abs=0.15)
    again = sprite.mirrored(x=x, y=y)
    assert again.corner == ball().corner
    assert np.array_equal(again.cover, ball().cover)


@pytest.mark.parametrize("trailing", [False, True])
def test_a_streak_keeps_the_place(trailing: bool) -> None:
    sprite = ball().streaked(6.0, 2.0, trailing=trailing)
    assert sprite.place == pytest.approx(PLACE)
    assert sprite.cover.sum() == pytest.approx(ball().cover.sum(), rel=1e-3)
    frame = BACKGROUND.copy()
    sprite.put_down(frame)
    middle = (PLACE[0] - 3.0, PLACE[1] - 1.0) if trailing else PLACE
    assert seen_at(frame, BACKGROUND) == pytest.approx(middle, abs=0.6)


def test_at_the_border_what_lies_beyond_is_left_out() -> None:
    sprite = ball()
    frame = BACKGROUND.copy()
    sprite.moved(-60, -41).put_down(frame)
    assert frame.shape == (SIZE.height, SIZE.width, 3)
    assert frame[1, 1].max() > 200
    sprite.moved(-500, 0).put_down(frame)
    near_border = lifted(with_ball(BACKGROUND, 6.2, 5.1), place=(6.2, 5.1))
    assert near_border is not None and near_border.place == pytest.approx((6.2, 5.1))


def grey(level: int) -> Frame:
    return np.full_like(BACKGROUND, level)


def test_it_must_stand_out_to_the_side_that_it_did() -> None:
    sprite = ball()
    assert sprite.shows_on(grey(100))
    # Off white, it is darker than this.
    assert not sprite.shows_on(grey(255))
    assert not sprite.shows_on(np.full_like(BACKGROUND, 0) + sprite.colour.astype(np.uint8))


def test_what_is_no_ball_alone_is_not_lifted() -> None:
    assert lifted(BACKGROUND.copy()) is None
    faint = with_ball(BACKGROUND, *PLACE, colour=tuple(BACKGROUND[42, 60].astype(float) + 15))
    assert lifted(faint) is None
    # Something else moved beside it.
    beside = with_ball(BACKGROUND, *PLACE)
    beside[30:55, 66:90] = 255
    assert lifted(beside) is None
    # A racket: more than can be seen of it hangs on to the ball.
    racket = with_ball(BACKGROUND, *PLACE)
    racket[40:43, 58:80] = 255
    assert lifted(racket) is None
    # The label is somewhere else.
    assert lifted(with_ball(BACKGROUND, PLACE[0] + 7, PLACE[1])) is None
