"""The events model's view of a path: times, gaps, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.inference.event_features import (
    AFTER,
    BEFORE,
    LOST_S,
    NUM_FEATURES,
    OFFSETS_S,
    STEP_S,
    describe_moments,
    sample_paths,
)
from tracknet.utils.geometry import Size

SIZE = Size(1280, 720)


def wave(time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 640 + 300 * np.sin(2 * time_s), 360 + 200 * np.abs(np.cos(3 * time_s))


def test_samples_lie_on_lines_between_sightings() -> None:
    time_s = np.array([0.0, 0.1, 0.2, 0.3, 2.0])
    x, y, seen, held = sample_paths(time_s, 100 * time_s, -50 * time_s, np.array([0.3]))
    assert x.shape == (1, len(OFFSETS_S))
    at_s = 0.3 + OFFSETS_S
    np.testing.assert_allclose(x[0], 100 * at_s.clip(0), atol=1e-9)
    np.testing.assert_allclose(y[0], -50 * at_s.clip(0), atol=1e-9)
    # A tenth of a second apart is no unbroken path: seen where there is a sighting.
    assert np.flatnonzero(seen[0]).tolist() == [BEFORE + k for k in (-9, -6, -3, 0)]
    assert np.array_equal(held[0], at_s <= 0.3 + LOST_S)


@pytest.mark.parametrize("rate", [24, 25, 30, 50, 60, 120])
def test_an_unbroken_path_is_seen_at_every_usual_rate(rate: int) -> None:
    time_s = np.arange(2 * rate) / rate
    _, _, seen, held = sample_paths(time_s, time_s, time_s, np.array([0.9, 1.0, 1.013]))
    assert seen.all()
    assert held.all()


def test_one_lost_frame_is_not_seen() -> None:
    time_s = np.delete(np.arange(60) * STEP_S, 33)
    _, _, seen, _ = sample_paths(time_s, time_s, time_s, np.array([30 * STEP_S]))
    assert np.flatnonzero(~seen[0]).tolist() == [BEFORE + 3]


@given(st.floats(-2000, 2000), st.floats(-2000, 2000), st.integers(1, 20), st.floats(0, 5000))
def test_place_size_and_beginning_do_not_count(dx: float, dy: float, zoom: int, start_s: float) -> None:
    time_s = np.arange(40) / 30
    x, y = wave(time_s)
    plain = describe_moments(time_s, x, y, time_s, Size(320, 180))
    moved_s = time_s + start_s
    large = Size(320 * zoom, 180 * zoom)
    other = describe_moments(moved_s, (x + dx) * zoom, (y + dy) * zoom, moved_s, large)
    np.testing.assert_allclose(other, plain, atol=2e-3)


def test_one_sighting_is_enough() -> None:
    features = describe_moments(np.array([1.0]), np.array([5.0]), np.array([6.0]), np.array([1.0]), SIZE)
    assert features.shape == (1, NUM_FEATURES)
    assert features.dtype == np.float32
    # Nothing but the one flag of the sighting itself.
    assert np.flatnonzero(features[0]).tolist() == [NUM_FEATURES - 1 - AFTER]


def test_what_is_far_in_time_changes_nothing() -> None:
    time_s = np.arange(90) / 30
    x, y = wave(time_s)
    moment = np.array([1.5])
    near = describe_moments(time_s, x, y, moment, SIZE)
    x[[*range(30), *range(60, 90)]] += 400
    assert np.array_equal(describe_moments(time_s, x, y, moment, SIZE), near)
