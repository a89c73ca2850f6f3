"""Pictures for a report: marks where the numbers say, small files, and nothing drawn for what is not there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gaussians import draw_gaussian
from tracknet.reporting.overlays import PREDICTION_RGB, TRUTH_RGB
from tracknet.reporting.pictures import frame_picture
from tracknet.utils.images import decode_image

GREY = np.full((288, 512, 3), 128, np.uint8)


def greenest(picture: np.ndarray) -> np.ndarray:
    """The middle (x, y) of what is green."""
    ys, xs = np.nonzero((picture.astype(int) @ [-1, 2, -1]) > 120)
    return np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / 2


def test_marks_glow_and_close_ups():
    heatmap = np.zeros((72, 128), np.float32)
    draw_gaussian(heatmap, 74.625, 49.625, 1.5)  # at (300, 200) in the frame
    made = frame_picture("k", GREY, heatmap * 0.3, (100.0, 60.0), (300.0, 200.0))
    whole = decode_image(made.frame_jpeg)
    assert (whole.shape, made.size) == ((288, 512, 3), (512, 288))
    assert greenest(whole) == pytest.approx([100, 60], abs=1)
    # A weak peak is scaled up: the glow is seen.
    assert np.abs(whole[203, 303].astype(int) - 128).max() > 60
    squares = decode_image(made.close_up_jpeg)
    assert squares.shape == (200, 400, 3)
    plain, glowing = squares[:, :200], squares[:, 200:]
    assert greenest(plain) == pytest.approx([99.5, 99.5], abs=1)
    assert np.abs(plain[115:, 130:].astype(int) - 128).max() < 8
    assert glowing[99, 99] @ [1, 0, -1] > 0.6 * np.dot(PREDICTION_RGB, [1, 0, -1])
    assert len(made.frame_jpeg) + len(made.close_up_jpeg) < 40_000


def test_nothing_is_drawn_for_what_is_not_there():
    nowhere = (float("nan"), float("nan"))
    made = frame_picture("k", GREY, None, nowhere, None)
    for jpeg in (made.frame_jpeg, made.close_up_jpeg):
        assert np.abs(decode_image(jpeg).astype(int) - 128).max() <= 2


def test_a_large_frame_is_made_smaller_and_its_marks_with_it():
    made = frame_picture("k", np.full((720, 1280, 3), 128, np.uint8), None, (640.0, 360.0), None)
    whole = decode_image(made.frame_jpeg)
    assert whole.shape == (288, 512, 3)
    assert greenest(whole) == pytest.approx([255.9, 143.9], abs=1)
    assert TRUTH_RGB[1] > 200
