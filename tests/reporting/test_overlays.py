"""Pictures: marks and glow are where the numbers say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gaussians import draw_gaussian
from tracknet.reporting.overlays import PREDICTION_RGB, TRUTH_RGB, heat_over, mark, overlay, sheet

GREY = np.full((72, 128, 3), 128, np.uint8)


def test_glow_is_centred_on_the_scaled_point():
    heatmap = np.zeros((18, 32), np.float32)
    draw_gaussian(heatmap, 10.25, 7.5, 1.0)
    change = np.abs(heat_over(GREY, heatmap).astype(float) - 128).sum(-1)
    ys, xs = np.mgrid[0:72, 0:128]
    # Cells to pixels at a factor of 4: (x + 0.5) * 4 - 0.5.
    assert (change * xs).sum() / change.sum() == pytest.approx(42.5, abs=0.3)
    assert (change * ys).sum() / change.sum() == pytest.approx(31.5, abs=0.3)


def test_an_empty_map_changes_nothing():
    assert np.array_equal(heat_over(GREY, np.zeros((18, 32), np.float32)), GREY)


def test_marks_are_around_the_point_and_nothing_for_none():
    picture = GREY.copy()
    mark(picture, (40.0, 30.0), TRUTH_RGB, radius_px=6)
    ys, xs = np.nonzero((picture != 128).any(-1))
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == pytest.approx((34, 46, 24, 36), abs=1)
    for point in (None, (float("nan"), float("nan"))):
        picture = GREY.copy()
        mark(picture, point, TRUTH_RGB, radius_px=6)
        assert np.array_equal(picture, GREY)


def test_overlay_shows_the_frame_and_three_close_ups_around_the_truth():
    heatmap = np.zeros((18, 32), np.float32)
    draw_gaussian(heatmap, 22.125, 12.125, 1.0)  # at (90, 50) in the frame
    points = {"true_xy_px": (90.0, 50.0), "predicted_xy_px": (60.0, 30.0)}
    picture = overlay(GREY, target=heatmap, prediction=heatmap * 0.4, caption="x", **points).astype(int)
    assert picture.shape == (72, 128 + 3 * 72, 3)
    # Antialiasing takes a level or two off.
    assert picture[30, 60] == pytest.approx(PREDICTION_RGB, abs=3)
    assert (picture[:, :128] @ [-1, 2, -1]).max() > 100
    frame, target, prediction = (picture[:, start : start + 72] for start in (128, 200, 272))
    middle = (slice(30, 42), slice(30, 42))
    assert np.all(frame[middle] == 128)
    assert np.abs(target[middle] - 128).sum() > 2 * np.abs(prediction[middle] - 128).sum() > 0
    assert (frame @ [-1, 2, -1]).max() > 100


def test_overlay_without_a_ball_looks_at_the_prediction():
    empty = np.zeros((18, 32), np.float32)
    nowhere = (float("nan"), float("nan"))
    picture = overlay(
        GREY, target=empty, prediction=empty, true_xy_px=nowhere, predicted_xy_px=(5.0, 5.0), caption=""
    ).astype(int)
    assert picture[36, 128 + 36] == pytest.approx(PREDICTION_RGB, abs=90)


def test_sheet_places_pictures_row_by_row():
    page = sheet([np.full((4, 6, 3), value, np.uint8) for value in (10, 20, 30)], columns=2, gap_px=1)
    assert page.shape == (9, 13, 3)
    assert page[0, 0, 0] == 10
    assert page[0, 7, 0] == 20
    assert page[5, 0, 0] == 30
