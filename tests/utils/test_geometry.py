"""The one scaling rule: its algebra, and OpenCV's agreement on drawn blobs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.utils.geometry import (
    FloatArray,
    Size,
    cells_to_frames,
    scaling,
    similarity,
    transform_points,
)

sizes = st.builds(Size, st.integers(1, 4000), st.integers(1, 3000))
points = st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000))


def blob(size: Size, x: float, y: float, sigma: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    ys, xs = np.mgrid[0 : size.height, 0 : size.width]
    return np.asarray(np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2)), dtype=np.float32)


def centroid(picture: np.ndarray[Any, Any]) -> tuple[float, float]:
    ys, xs = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    return float((picture * xs).sum() / picture.sum()), float((picture * ys).sum() / picture.sum())


@given(source=sizes, target=sizes, point=points)
def test_the_rule(source: Size, target: Size, point: tuple[float, float]) -> None:
    x, y = transform_points(scaling(source, target), point)
    sx, sy = target.width / source.width, target.height / source.height
    assert x == pytest.approx((point[0] + 0.5) * sx - 0.5, abs=1e-6 * max(1, sx))
    assert y == pytest.approx((point[1] + 0.5) * sy - 0.5, abs=1e-6 * max(1, sy))


@given(source=sizes, target=sizes)
def test_borders_and_centres_map_onto_each_other(source: Size, target: Size) -> None:
    def landmarks(size: Size) -> FloatArray:
        right, bottom = size.width - 0.5, size.height - 0.5
        return np.array([[-0.5, -0.5], [right, bottom], [(size.width - 1) / 2, (size.height - 1) / 2]])

    assert np.allclose(
        transform_points(scaling(source, target), landmarks(source)), landmarks(target), atol=1e-6
    )


@given(source=sizes, target=sizes, third=sizes)
def test_scaling_inverts_and_composes(source: Size, target: Size, third: Size) -> None:
    there, back = scaling(source, target), scaling(target, source)
    assert np.allclose(back @ there, np.eye(3), atol=1e-9)
    through = scaling(target, third) @ there
    assert np.allclose(through, scaling(source, third), rtol=1e-9, atol=1e-9)


@given(
    point=points,
    scale=st.floats(0.2, 5),
    angle=st.floats(-180, 180),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    flip=st.booleans(),
)
def test_similarity_keeps_shapes_and_inverts(
    point: tuple[float, float], scale: float, angle: float, shift: tuple[float, float], flip: bool
) -> None:
    size = Size(64, 36)
    matrix = similarity(size, scale=scale, rotation_deg=angle, shift_px=shift, flip=flip)
    assert np.linalg.det(matrix) == pytest.approx((-1 if flip else 1) * scale**2, rel=1e-9)
    centre = np.array([31.5, 17.5])
    assert np.allclose(transform_points(matrix, centre), centre + shift, atol=1e-9)
    moved = transform_points(matrix, point)
    distance = np.hypot(*(moved - centre - shift))
    assert distance == pytest.approx(scale * np.hypot(*(point - centre)), rel=1e-9, abs=1e-9)
    assert np.allclose(transform_points(np.linalg.inv(matrix), moved), point, atol=1e-6)


def test_flip_mirrors_pixel_centres_and_turns_are_clockwise() -> None:
    assert np.allclose(transform_points(similarity(Size(10, 6), flip=True), [0, 2]), [9, 2])
    assert np.allclose(transform_points(similarity(Size(11, 11), rotation_deg=90), [10, 5]), [5, 10])


@settings(max_examples=25, deadline=None)
@given(
    x=st.floats(24, 40),
    y=st.floats(20, 28),
    scale=st.floats(0.8, 1.3),
    angle=st.floats(-30, 30),
    flip=st.booleans(),
)
def test_opencv_warps_where_the_matrix_says(
    x: float, y: float, scale: float, angle: float, flip: bool
) -> None:
    size = Size(64, 48)
    matrix = similarity(size, scale=scale, rotation_deg=angle, shift_px=(1.5, -2.25), flip=flip)
    warped = cv2.warpAffine(blob(size, x, y, 2.0), matrix[:2], size, flags=cv2.INTER_LINEAR)
    # OpenCV places samples to 1/32 of a pixel.
    assert centroid(warped) == pytest.approx(tuple(transform_points(matrix, (x, y))), abs=0.05)


@settings(max_examples=25, deadline=None)
@given(x=st.floats(30, 90), y=st.floats(24, 48))
@pytest.mark.parametrize(
    ("target", "method"),
    [
        (Size(60, 36), cv2.INTER_AREA),
        (Size(40, 24), cv2.INTER_AREA),
        (Size(50, 30), cv2.INTER_AREA),
        (Size(240, 144), cv2.INTER_LINEAR),
        (Size(180, 100), cv2.INTER_LINEAR),
        (Size(120, 72), cv2.INTER_LINEAR),
    ],
)
def test_opencv_resizes_where_the_matrix_says(target: Size, method: int, x: float, y: float) -> None:
    source = Size(120, 72)
    resized = cv2.resize(blob(source, x, y, 3.0), target, interpolation=method)
    assert centroid(resized) == pytest.approx(
        tuple(transform_points(scaling(source, target), (x, y))), abs=0.02
    )


def test_missing_coordinates_stay_missing() -> None:
    matrix = similarity(Size(10, 10), rotation_deg=30, flip=True)
    moved = transform_points(matrix, [[np.nan, np.nan], [1.0, 2.0]])
    assert np.isnan(moved[0]).all()
    assert np.isfinite(moved[1]).all()


def test_cells_are_moved_each_to_a_frame_of_its_own_size() -> None:
    cells = np.array([[[0, 0], [9, 5]], [[0, 0], [9, 5]], [[0, 0], [np.nan, np.nan]]], np.float32)
    moved = cells_to_frames(cells, Size(10, 6), [Size(40, 12), Size(10, 6), Size(40, 12)])
    # Four pixels a cell across and two down, and pixels that are the cells.
    expected = [[[1.5, 0.5], [37.5, 10.5]], [[0, 0], [9, 5]], [[1.5, 0.5], [np.nan, np.nan]]]
    assert np.array_equal(moved, expected, equal_nan=True)
    assert moved.dtype == np.float64
    assert np.array_equal(
        cells_to_frames(cells[:, 1], Size(10, 6), [[10, 6]] * 3), cells[:, 1], equal_nan=True
    )
    assert cells_to_frames(np.empty((0, 2)), Size(10, 6), np.empty((0, 2), np.int32)).shape == (0, 2)


def test_sizes() -> None:
    assert str(Size(512, 288)) == "512x288"
    size = Size(4, 3)
    assert size.contains(-0.5, -0.5)
    assert size.contains(3.49, 2.49)
    assert not size.contains(3.5, 0)
    assert not size.contains(0, 2.5)
    assert not size.contains(-0.51, 0)
    assert not size.contains(float("nan"), 0)
    assert size.contains(np.float64(1.0), np.float64(1.0)) is True
    xs, ys = np.array([[-0.5, 3.5, np.nan]]), np.array([[2.49, 0.0, 0.0]])
    assert size.contains_each(xs, ys).tolist() == [[True, False, False]]
