"""A closer look keeps the ball where it is."""

from __future__ import annotations

import numpy as np
import pytest

from tracknet.datasets.augmentations import IDENTITY, draw_augmentation
from tracknet.datasets.zoom import zoomed
from tracknet.utils.geometry import Size, transform_points
from tracknet.utils.settings import AugmentConfig, ZoomConfig

SIZE = Size(160, 96)


def test_the_ball_stays_and_the_rest_moves_away_from_it() -> None:
    points = np.array([[40.0, 20.0], [44.0, 22.0], [np.nan, np.nan]])
    factors = []
    for seed in range(50):
        found = zoomed(IDENTITY, ZoomConfig(1.0, 2.0), SIZE, points, np.random.default_rng(seed))
        np.testing.assert_allclose(transform_points(found.matrix, (42.0, 21.0)), (42.0, 21.0), atol=1e-9)
        factors.append(found.matrix[0, 0])
        assert found.whole is None and found.matrix[0, 0] == found.matrix[1, 1]
        # No border comes into the picture.
        corners = transform_points(found.matrix, [(-0.5, -0.5), (SIZE.width - 0.5, SIZE.height - 0.5)])
        assert (corners[0] <= -0.499).all() and (corners[1] >= np.array(SIZE) - 0.501).all()
    assert min(factors) >= 1.0 and max(factors) <= 2.0
    assert 1.3 < np.exp(np.log(factors).mean()) < 1.55


@pytest.mark.parametrize("augmented", [False, True])
def test_no_ball_leaves_the_picture(augmented: bool) -> None:
    lost = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        # Three frames of a ball, up to 40 px apart, anywhere in the picture.
        points = (
            rng.uniform((0, 0), np.array(SIZE) - 1.0) + rng.uniform(-40, 40, (1, 2)) * np.arange(3)[:, None]
        )
        points[(points < 0).any(axis=1) | (points > np.array(SIZE) - 1.0).any(axis=1)] = np.nan
        drawn = draw_augmentation(AugmentConfig(), SIZE, rng) if augmented else IDENTITY
        before = transform_points(drawn.matrix, points)
        there = SIZE.contains_each(*before.T)
        found = zoomed(drawn, ZoomConfig(1.0, 4.0), SIZE, points, rng)
        after = transform_points(found.matrix, points)[there]
        assert SIZE.contains_each(*after.T).all(), seed
        # Without the limit many would be lost.
        free = transform_points(zoomed(drawn, ZoomConfig(1.0, 4.0), SIZE, points[:0], rng).matrix, points)[
            there
        ]
        lost += not SIZE.contains_each(*free.T).all()
    assert lost > 30


def test_it_comes_before_what_is_drawn_otherwise() -> None:
    drawn = draw_augmentation(AugmentConfig(), SIZE, np.random.default_rng(0))
    points = np.array([[100.0, 50.0]])
    found = zoomed(drawn, ZoomConfig(1.0, 3.0), SIZE, points, np.random.default_rng(1))
    np.testing.assert_allclose(transform_points(found.matrix, points), transform_points(drawn.matrix, points))
    assert found.colour is drawn.colour


def test_without_a_ball_or_a_draw() -> None:
    nothing = np.full((3, 2), np.nan)
    found = zoomed(IDENTITY, ZoomConfig(1.0, 2.0), SIZE, nothing, np.random.default_rng(0))
    assert np.isfinite(found.matrix).all() and found.matrix[0, 0] > 1
    assert zoomed(IDENTITY, ZoomConfig(0.0, 2.0), SIZE, nothing, np.random.default_rng(0)) is IDENTITY
