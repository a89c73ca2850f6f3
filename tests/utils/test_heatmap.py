"""Drawing a point and finding it again are an inverse pair, anywhere on the map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.gaussians import draw_gaussian
from tracknet.utils import heatmap as heatmaps
from tracknet.utils.settings import HeatmapConfig

torch.set_num_threads(1)
WIDTH, HEIGHT = 24, 17

on_x, on_y = st.floats(-0.5, WIDTH - 0.5), st.floats(-0.5, HEIGHT - 0.5)


def drawn(x: float, y: float, sigma: float, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    heatmap = np.zeros((HEIGHT, WIDTH), dtype)
    draw_gaussian(heatmap, x, y, sigma)
    return heatmap


def as_logits(heatmap: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.logit(torch.from_numpy(heatmap).double().clamp(1e-6, 1 - 1e-6)).float()


def whole_gaussian(x: float, y: float, sigma: float) -> np.ndarray[Any, Any]:
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-30, WIDTH + 30), y=st.floats(-30, HEIGHT + 30), sigma=st.floats(0.2, 8))
def test_the_window_leaves_out_only_what_is_negligible(x: float, y: float, sigma: float) -> None:
    assert np.abs(drawn(x, y, sigma) - whole_gaussian(x, y, sigma)).max() <= np.exp(-8) + 1e-6


@pytest.mark.parametrize("centre", [(float("nan"), 3.0), (3.0, float("inf"))])
def test_a_centre_that_is_nowhere_is_refused(centre: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="finite centres"):
        heatmaps.draw_gaussians([np.zeros((HEIGHT, WIDTH), np.float32)], np.array([centre]), 1.0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_drawing_is_in_place_by_maximum_in_any_float_type(dtype: Any) -> None:
    heatmap = drawn(5.3, 6.1, 2.0, dtype)
    draw_gaussian(heatmap, 9.9, 6.0, 2.0)
    expected = np.maximum(whole_gaussian(5.3, 6.1, 2.0), whole_gaussian(9.9, 6.0, 2.0))
    assert heatmap.dtype == dtype
    assert np.abs(heatmap - expected).max() < 1e-3


@settings(max_examples=100, deadline=None)
@given(
    centres=st.lists(st.tuples(st.floats(-12, WIDTH + 12), st.floats(-12, HEIGHT + 12)), max_size=4),
    sigma=st.floats(0.2, 8),
)
def test_float16_is_rounded_as_the_conversion_rounds(
    centres: list[tuple[float, float]], sigma: float
) -> None:
    """Also where its numbers are subnormal, which is where it is done by hand."""
    exact, half = (np.zeros((len(centres), HEIGHT, WIDTH), dtype) for dtype in (np.float64, np.float16))
    for maps in (exact, half):
        heatmaps.draw_gaussians(list(maps), np.array(centres).reshape(-1, 2), sigma)
    np.testing.assert_array_equal(half.view(np.uint16), exact.astype(np.float16).view(np.uint16))


def test_many_at_once_are_those_drawn_one_by_one() -> None:
    centres = np.random.default_rng(0).uniform(-3, 26, (40, 2))
    maps = np.zeros((len(centres), HEIGHT, WIDTH), np.float16)
    heatmaps.draw_gaussians(list(maps), centres, 1.5)
    np.testing.assert_array_equal(maps, [drawn(x, y, 1.5, np.float16) for x, y in centres])
    # Some lie outside, with and without a tail that reaches in.
    assert 0 < (maps.max(axis=(1, 2)) == 0).sum() < 20


def test_drawing_into_a_view_of_a_batch() -> None:
    batch = np.zeros((2, 3, HEIGHT, WIDTH), np.float32)
    draw_gaussian(batch[1, 2], 4.0, 5.0, 1.0)
    assert batch[1, 2, 5, 4] == 1.0
    assert not batch[0].any()
    assert not batch[1, :2].any()


@settings(max_examples=150, deadline=None)
@given(x=on_x, y=on_y, sigma=st.floats(0.7, 5))
@example(x=-0.5, y=-0.5, sigma=0.7)
@example(x=WIDTH - 0.5, y=HEIGHT - 0.5, sigma=5.0)
@example(x=4.5, y=6.5, sigma=2.0)
def test_dark_is_exact_everywhere(x: float, y: float, sigma: float) -> None:
    found = heatmaps.decode_dark(as_logits(drawn(x, y, sigma)), sigma)
    assert found.tolist() == pytest.approx([x, y], abs=0.01)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(1, WIDTH - 2), y=st.floats(1, HEIGHT - 2))
def test_dark_with_the_smallest_sigma_needs_a_cell_of_margin(x: float, y: float) -> None:
    assert heatmaps.decode_dark(as_logits(drawn(x, y, 0.5)), 0.5).tolist() == pytest.approx([x, y], abs=0.05)


@settings(max_examples=150, deadline=None)
@given(x=on_x, y=on_y, sigma=st.floats(0.5, 5))
@example(x=-0.5, y=-0.5, sigma=5.0)
@example(x=0.0, y=HEIGHT - 0.5, sigma=0.5)
def test_soft_argmax_is_exact_everywhere(x: float, y: float, sigma: float) -> None:
    found = heatmaps.decode_soft_argmax(as_logits(drawn(x, y, sigma)), sigma)
    assert found.tolist() == pytest.approx([x, y], abs=0.01)


@settings(max_examples=60, deadline=None)
@given(x=on_x, y=on_y, sigma=st.floats(0.5, 5))
def test_argmax_is_within_half_a_cell(x: float, y: float, sigma: float) -> None:
    found = heatmaps.decode_argmax(as_logits(drawn(x, y, sigma)), sigma)
    assert np.abs(found.numpy() - [x, y]).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("name", "limit"), [("argmax", 0.5), ("soft_argmax", 0.15), ("dark", 0.15)])
@pytest.mark.parametrize("scale", [0.3, 0.9])
def test_a_weak_and_noisy_blob(name: str, limit: float, scale: float) -> None:
    """Mean error in cells under 2 % noise, on a floor of 1 %: what a trained model gives."""
    rng = np.random.default_rng(0)
    points = rng.uniform([2, 2], [WIDTH - 3, HEIGHT - 3], (200, 2))
    maps = np.stack([scale * drawn(x, y, 2.0) for x, y in points])
    noisy = np.clip(maps * rng.normal(1, 0.02, maps.shape) + 0.01, 1e-6, 1 - 1e-6).astype(np.float32)
    found = heatmaps.DECODERS[name](as_logits(noisy), 2.0).numpy()
    assert np.hypot(*(found - points).T).mean() < limit


@pytest.mark.parametrize("name", heatmaps.DECODERS)
def test_shapes_dtypes_and_batches(name: str) -> None:
    decode = heatmaps.DECODERS[name]
    logits = torch.stack([as_logits(drawn(x, 5.0, 1.5)) for x in (3.0, 8.0, 20.0, 11.0, 0.0, 23.0)])
    together = decode(logits.reshape(2, 3, HEIGHT, WIDTH), 1.5)
    assert together.shape == (2, 3, 2)
    assert together.dtype == torch.float32
    assert torch.allclose(
        together.reshape(-1, 2), torch.stack([decode(one, 1.5) for one in logits]), atol=1e-4
    )
    assert decode(logits.bfloat16(), 1.5).dtype == torch.float32


@pytest.mark.parametrize("name", heatmaps.DECODERS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 3)])
@pytest.mark.parametrize("value", [-30.0, 0.0, 30.0])
def test_flat_and_tiny_maps_give_a_point_on_the_map(name: str, shape: tuple[int, int], value: float) -> None:
    found = heatmaps.DECODERS[name](torch.full(shape, value), 2.0)
    assert torch.isfinite(found).all()
    assert -1 <= found[0] <= shape[1]
    assert -1 <= found[1] <= shape[0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(heatmaps.DECODERS)))
def test_noise_never_throws_the_point_away_from_the_peak(seed: int, name: str) -> None:
    logits = 5 * torch.randn(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    peak = heatmaps.decode_argmax(logits, 1.0)
    assert (heatmaps.DECODERS[name](logits, 1.0) - peak).abs().max() <= 2.5


def test_the_score_is_the_highest_probability() -> None:
    logits = torch.full((2, 1, 4, 5), -3.0)
    logits[1, 0, 2, 2] = 1.0
    assert heatmaps.peak_score(logits).flatten().tolist() == pytest.approx([0.04743, 0.73106], abs=1e-4)


def test_every_configured_decoder_exists() -> None:
    choices = HeatmapConfig.__annotations__["decode"]
    assert all(repr(name).strip("'") in choices for name in heatmaps.DECODERS)
    assert choices.count(",") + 1 == len(heatmaps.DECODERS)


def test_blob_score_by_hand() -> None:
    """Two blobs above 0.5 that touch by a corner make one; a third, larger one does not hold the highest cell."""
    probability = torch.full((1, 2, 6, 8), 0.01)
    probability[0, 0, 1, 1], probability[0, 0, 2, 2] = 0.9, 0.6
    probability[0, 0, 4, 4:8] = 0.8
    probability[0, 1, 3, 3], probability[0, 1, 3, 4] = 0.5, 0.4
    scores = heatmaps.blob_score(torch.logit(probability))
    assert scores.shape == (1, 2)
    assert scores[0] == pytest.approx([1.5, 0.5], abs=1e-5)


def test_blob_score_ranks_every_blob_above_every_map_without() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 12, 16, generator=generator) * 2 - 4
    peaks, blobs = heatmaps.peak_score(logits).numpy(), heatmaps.blob_score(logits)
    some = peaks > 0.5
    assert 0 < some.sum() < 40
    assert blobs[some].min() > 0.5
    np.testing.assert_allclose(blobs[~some], peaks[~some])
    assert (blobs >= peaks - 1e-6).all()
