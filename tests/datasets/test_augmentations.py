"""Pictures and points move together, the same way every time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.datasets.conftest import AUGMENT_CONFIGS
from tracknet.datasets.augmentations import IDENTITY, STAYS, Augmentation, WholeMove, draw_augmentation
from tracknet.datasets.plan import window_rng
from tracknet.utils.geometry import Size, similarity, transform_points
from tracknet.utils.settings import AugmentConfig

SIZE = Size(160, 96)
BORDER = (124, 116, 104)
STRONG = AugmentConfig(scale=0.4, shift=0.2, rotate_deg=60.0, warp_prob=1.0)
NO_COLOUR = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue_deg": 0.0}
GEOMETRY = replace(STRONG, **NO_COLOUR)
COLOUR = AugmentConfig(flip_prob=0.0, scale=0.0, shift=0.0, rotate_deg=0.0)


def dot(x: float, y: float, sigma_px: float = 3.0) -> np.ndarray:
    """A smooth white dot on the border's colour, so that nothing but the dot differs from it."""
    ys, xs = np.mgrid[: SIZE.height, : SIZE.width]
    alpha = np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma_px**2))[..., None]
    return np.round(np.array(BORDER) + alpha * (255.0 - np.array(BORDER))).astype(np.uint8)


def centroid(picture: np.ndarray) -> np.ndarray:
    mass = np.abs(picture.astype(np.float64) - BORDER).sum(axis=2)
    ys, xs = np.mgrid[: SIZE.height, : SIZE.width]
    return np.array([(mass * xs).sum(), (mass * ys).sum()]) / mass.sum()


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE.height, SIZE.width, 3), dtype=np.uint8)


def draw(config: AugmentConfig, seed: int) -> Augmentation:
    return draw_augmentation(config, SIZE, np.random.default_rng(seed))


def test_a_dots_centroid_moves_as_the_matrix_says() -> None:
    rng = np.random.default_rng(0)
    inside, flips = 0, 0
    for seed in range(150):
        augmentation = draw(GEOMETRY, seed)
        point = rng.uniform([20, 20], [139, 75])
        moved = transform_points(augmentation.matrix, point)
        if not ((moved > 18) & (moved < np.array(SIZE) - 19)).all():
            continue
        found = centroid(augmentation.apply(dot(*point)))
        assert np.hypot(*(found - moved)) < 0.1, (seed, point, moved, found)
        inside += 1
        flips += np.linalg.det(augmentation.matrix) < 0
    # Enough of both kinds, or nothing was tested.
    assert inside > 80
    assert 0.3 < flips / inside < 0.7


@pytest.mark.parametrize("flip_prob", [0.0, 1.0])
def test_the_flip_alone_moves_a_dot_exactly(flip_prob: float) -> None:
    augmentation = draw(AugmentConfig(flip_prob=flip_prob, prob=0.0), 1)
    assert augmentation.whole == WholeMove(flip_prob == 1.0, 0, 0)
    assert augmentation.colour is None
    expected = (159 - 41.25, 30.5) if flip_prob else (41.25, 30.5)
    np.testing.assert_allclose(transform_points(augmentation.matrix, (41.25, 30.5)), expected, atol=1e-12)
    np.testing.assert_allclose(centroid(augmentation.apply(dot(41.25, 30.5))), expected, atol=0.02)


@given(st.booleans(), st.integers(-175, 175), st.integers(-105, 105), st.integers(159, 161))
@example(flip=True, x=0, y=0, width=160)
@example(flip=True, x=-159, y=95, width=160)
@example(flip=True, x=160, y=0, width=160)
def test_a_whole_move_equals_the_warp(flip: bool, x: int, y: int, width: int) -> None:
    size = Size(width, 96)
    picture = np.random.default_rng(3).integers(0, 256, (96, width, 3), dtype=np.uint8)
    whole = Augmentation(similarity(size, shift_px=(x, y), flip=flip), None, WholeMove(flip, x, y))
    np.testing.assert_array_equal(whole.apply(picture), replace(whole, whole=None).apply(picture))


@pytest.mark.parametrize("seed", range(20))
def test_what_is_not_warped_moves_by_whole_pixels(seed: int) -> None:
    config = replace(GEOMETRY, scale=0.1, rotate_deg=3.0)
    warped, moved = draw(config, seed), draw(replace(config, warp_prob=0.0), seed)
    assert warped.whole is None and moved.whole is not None
    # The same flip and, but for the fraction of a pixel, the same shift of the centre.
    centre = (np.array(SIZE) - 1) / 2
    shifts = [transform_points(one.matrix, centre) - centre for one in (warped, moved)]
    assert np.abs(shifts[1] - shifts[0]).max() <= 0.5
    np.testing.assert_allclose(shifts[1], moved.whole[1:], atol=1e-9)
    assert moved.whole.flip == (np.linalg.det(warped.matrix) < 0) == (moved.matrix[0, 0] == -1)
    np.testing.assert_array_equal(np.abs(moved.matrix[:2, :2]), np.eye(2))
    whole = moved.apply(noise())
    np.testing.assert_array_equal(whole, replace(moved, whole=None).apply(noise()))


@pytest.mark.parametrize("moves", ["nothing", "flip", "warp"])
def test_colours_come_after_the_move_and_into_the_place_given(moves: str) -> None:
    picture, place = noise(), np.zeros((2, *noise().shape), np.uint8)
    matrix = {"nothing": np.eye(3), "flip": similarity(SIZE, flip=True)}.get(moves, draw(STRONG, 1).matrix)
    whole = {"nothing": STAYS, "flip": WholeMove(True, 0, 0)}.get(moves)
    both = replace(draw(colour_of(hue_deg=15.0, contrast=0.2), 0), matrix=matrix, whole=whole)
    expected = cv2.transform(replace(both, colour=None).apply(picture), both.colour)
    result = both.apply(picture, out=place[1])
    np.testing.assert_array_equal(result, expected)
    assert np.shares_memory(result, place[1])
    np.testing.assert_array_equal(place[1], expected)
    assert not place[0].any()
    np.testing.assert_array_equal(picture, noise())


def test_identity_changes_nothing() -> None:
    np.testing.assert_array_equal(IDENTITY.apply(noise()), noise())


def test_a_colour_transform_of_no_strength_changes_nothing() -> None:
    augmentation = draw(replace(COLOUR, **dict.fromkeys(NO_COLOUR, 1e-09)), 0)
    assert augmentation.colour is not None
    np.testing.assert_array_equal(augmentation.apply(noise()), noise())


def test_colour_leaves_the_points_and_the_geometry_leaves_the_colour() -> None:
    for seed in range(20):
        np.testing.assert_allclose(draw(COLOUR, seed).matrix, np.eye(3), atol=1e-12)
        assert draw(COLOUR, seed).whole == STAYS
        assert draw(GEOMETRY, seed).colour is None


def flat(*rgb: int) -> np.ndarray:
    return np.full((4, 4, 3), rgb, np.uint8)


def colour_of(**strength: float) -> AugmentConfig:
    return replace(COLOUR, **{**NO_COLOUR, **strength})


def test_what_each_colour_setting_does() -> None:
    shifts, gains, greys, spreads = [], [], [], []
    for seed in range(200):
        low, high = (
            draw(colour_of(brightness=0.2), seed).apply(flat(n, n, n)).astype(int) for n in (90, 140)
        )
        assert (high - low == 50).all()
        shifts.append(low[0, 0, 0] - 90)
        low, high = (
            draw(colour_of(contrast=0.2), seed).apply(flat(n, n, n)).astype(float) for n in (100, 155)
        )
        assert np.abs((low + high) / 2 - 127.5).max() <= 0.5
        gains.append((high - low).mean() / 55)
        saturated = draw(colour_of(saturation=0.2), seed)
        greys.append(np.abs(saturated.apply(flat(77, 77, 77)).astype(int) - 77).max())
        red = saturated.apply(flat(180, 100, 100)).astype(int)[0, 0]
        spreads.append((red[0] - red[1]) / 80)
    # Brightness is a share of full scale, contrast and saturation are factors about 1.
    assert (min(shifts), max(shifts)) == pytest.approx((-51, 51), abs=2)
    assert (min(gains), max(gains)) == pytest.approx((0.8, 1.2), abs=0.03)
    assert max(greys) == 0
    assert (min(spreads), max(spreads)) == pytest.approx((0.8, 1.2), abs=0.03)


def test_the_hue_turns_about_the_luma() -> None:
    luma = np.array([0.299, 0.587, 0.114])
    before, turns = np.array([150, 110, 90]), []
    for seed in range(100):
        turned = draw(colour_of(hue_deg=20.0), seed)
        assert np.abs(turned.apply(flat(77, 77, 77)).astype(int) - 77).max() == 0
        after = turned.apply(flat(*before)).astype(float)[0, 0]
        assert luma @ after == pytest.approx(luma @ before, abs=0.6)
        turns.append(np.rad2deg(chroma_angle(after) - chroma_angle(before)))
    # Rounding to whole levels is worth 1 degree here.
    assert (min(turns), max(turns)) == pytest.approx((-20, 20), abs=2.0)


def chroma_angle(rgb: np.ndarray) -> float:
    return float(np.arctan2(rgb @ [0.2115, -0.5227, 0.3112], rgb @ [0.5959, -0.2746, -0.3213]))


def test_ranges_of_the_geometry() -> None:
    config = AugmentConfig(flip_prob=0.0, scale=0.25, shift=0.1, rotate_deg=10.0, warp_prob=1.0)
    scales, turns, shifts = [], [], []
    for seed in range(400):
        matrix = draw(config, seed).matrix
        scales.append(np.hypot(matrix[0, 0], matrix[1, 0]))
        turns.append(np.rad2deg(np.arctan2(matrix[1, 0], matrix[0, 0])))
        centre = (np.array(SIZE) - 1) / 2
        shifts.append(transform_points(matrix, centre) - centre)
    assert (min(scales), max(scales)) == pytest.approx((1 / 1.25, 1.25), abs=0.01)
    # Log-uniform: as many enlarged as shrunk.
    assert np.median(scales) == pytest.approx(1.0, abs=0.03)
    assert (min(turns), max(turns)) == pytest.approx((-10, 10), abs=0.3)
    assert np.abs(shifts).max(axis=0) == pytest.approx([16.0, 9.6], abs=0.3)


@pytest.mark.parametrize(
    ("flip_prob", "prob", "warp_prob"), [(0.0, 0.0, 1.0), (0.3, 0.6, 1.0), (1.0, 1.0, 1.0), (0.5, 0.8, 0.25)]
)
def test_probabilities(flip_prob: float, prob: float, warp_prob: float) -> None:
    config = replace(STRONG, flip_prob=flip_prob, prob=prob, warp_prob=warp_prob)
    drawn = [draw(config, seed) for seed in range(400)]
    assert np.mean([np.linalg.det(one.matrix) < 0 for one in drawn]) == pytest.approx(flip_prob, abs=0.07)
    assert np.mean([one.whole is None for one in drawn]) == pytest.approx(prob * warp_prob, abs=0.07)
    assert np.mean([one.colour is not None for one in drawn]) == pytest.approx(prob, abs=0.07)


@given(AUGMENT_CONFIGS, st.integers(0, 2**32 - 1))
def test_takes_the_same_number_of_values_whatever_is_drawn(config: AugmentConfig, seed: int) -> None:
    used, reference = np.random.default_rng(seed), np.random.default_rng(seed)
    draw_augmentation(config, SIZE, used)
    draw_augmentation(AugmentConfig(), SIZE, reference)
    assert used.bit_generator.state == reference.bit_generator.state


@given(AUGMENT_CONFIGS, st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(0, 20_000))
def test_equal_randomness_draws_equal_transforms(
    config: AugmentConfig, seed: int, epoch: int, window: int
) -> None:
    one, other = (draw_augmentation(config, SIZE, window_rng(seed, epoch, window)) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, other.matrix)
    assert (one.colour is None) == (other.colour is None)
    if one.colour is not None and other.colour is not None:
        np.testing.assert_array_equal(one.colour, other.colour)


def test_what_comes_into_the_picture_has_the_mean_colour() -> None:
    moved = Augmentation(similarity(SIZE, shift_px=(40.0, 0.0)), None, whole=None).apply(noise())
    np.testing.assert_array_equal(moved[:, :40], np.broadcast_to(BORDER, (96, 40, 3)))
    np.testing.assert_array_equal(moved[:, 40:], noise()[:, :120])


def test_the_picture_given_is_left_as_it_was() -> None:
    for seed in range(10):
        picture: Any = noise()
        picture.flags.writeable = False
        result = draw(STRONG, seed).apply(picture)
        assert (result.dtype, result.shape) == (np.uint8, picture.shape)
