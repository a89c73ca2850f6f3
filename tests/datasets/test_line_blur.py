"""What a blur along a line does to a dot."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.datasets.line_blur import line_kernel

motions = st.floats(-12.0, 12.0)


def blurred_dot(dx: float, dy: float, *, trailing: bool) -> np.ndarray:
    picture = np.zeros((61, 61), np.float32)
    picture[30, 30] = 1.0
    return cv2.filter2D(picture, -1, line_kernel(dx, dy, trailing=trailing))


def centroid(picture: np.ndarray) -> np.ndarray:
    ys, xs = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(picture * xs).sum(), (picture * ys).sum()]) / picture.sum()


@settings(max_examples=40, deadline=None)
@given(dx=motions, dy=motions)
def test_the_middle_of_a_centred_streak_is_where_the_dot_was(dx: float, dy: float) -> None:
    picture = blurred_dot(dx, dy, trailing=False)
    assert picture.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(centroid(picture), (30, 30), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(dx=motions, dy=motions)
def test_a_trailing_streak_lies_behind_the_dot(dx: float, dy: float) -> None:
    picture = blurred_dot(dx, dy, trailing=True)
    assert picture.sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(centroid(picture), (30 - dx / 2, 30 - dy / 2), atol=1e-4)


def test_a_streak_is_as_long_as_the_motion() -> None:
    row = blurred_dot(8.0, 0.0, trailing=False)[30]
    assert np.flatnonzero(row > 0.05).tolist() == list(range(26, 35))
    row = blurred_dot(8.0, 0.0, trailing=True)[30]
    assert np.flatnonzero(row > 0.05).tolist() == list(range(22, 31))


def test_no_motion_changes_nothing() -> None:
    assert blurred_dot(0.0, 0.0, trailing=False)[30, 30] == 1.0
