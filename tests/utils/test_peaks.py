"""The best few peaks of a heatmap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gaussians import draw_gaussian
from tracknet.utils.heatmap import DECODERS, logits_of
from tracknet.utils.peaks import _highest_around, find_peaks

HEIGHT, WIDTH = 40, 64
SIGMA = 1.5


def heatmap(points: list[tuple[float, float, float]]) -> torch.Tensor:
    """Gaussians at (x, y), of a height each."""
    whole = np.zeros((HEIGHT, WIDTH))
    for x, y, height in points:
        one = np.zeros_like(whole)
        draw_gaussian(one, x, y, SIGMA)
        whole = np.maximum(whole, one * height)
    return logits_of(torch.from_numpy(whole))[None]


@given(
    columns=st.permutations([8, 24, 40, 56]),
    shift=st.tuples(st.floats(-0.49, 0.49), st.floats(-0.49, 0.49)),
    decoder=st.sampled_from(["soft_argmax", "dark"]),
)
def test_gaussians_are_found_best_first_to_a_fraction_of_a_cell(
    columns: list[int], shift: tuple[float, float], decoder: str
):
    heights = [0.9, 0.7, 0.5, 0.3]
    truth = [
        (column + shift[0], 20 + shift[1], height) for column, height in zip(columns, heights, strict=True)
    ]
    xy, score = find_peaks(heatmap(truth), 4, SIGMA, decoder)
    np.testing.assert_allclose(xy[0].numpy(), [point[:2] for point in truth], atol=0.15)
    # The highest cell is off the centre by up to half a cell on each axis.
    assert (score[0].numpy() <= np.array(heights) + 1e-6).all()
    assert (score[0].numpy() >= np.array(heights) * np.exp(-0.25 / SIGMA**2) - 1e-6).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 8),
    decoder=st.sampled_from(sorted(DECODERS)),
    size=st.tuples(st.integers(3, 20), st.integers(3, 20)),
)
def test_the_first_is_what_the_decoder_says(seed: int, count: int, decoder: str, size: tuple[int, int]):
    logits = torch.randn(3, *size, generator=torch.Generator().manual_seed(seed)) * 4
    xy, score = find_peaks(logits, count, SIGMA, decoder)
    assert xy.shape == (3, count, 2)
    torch.testing.assert_close(xy[:, 0], DECODERS[decoder](logits, SIGMA))
    torch.testing.assert_close(score[:, 0], logits.amax((1, 2)).sigmoid())
    assert (score.diff(dim=1) <= 0).all()
    there = score > 0
    assert (xy.isnan().any(-1) == ~there).all()


@pytest.mark.parametrize("corner", [(0, 0), (63, 0), (0, 39), (63, 39), (1, 20)])
def test_a_second_peak_at_the_border_is_on_the_map(corner: tuple[int, int]):
    xy, score = find_peaks(heatmap([(30, 20, 0.9), (*corner, 0.5)]), 3, SIGMA, "soft_argmax")
    np.testing.assert_allclose(xy[0, 1].numpy(), corner, atol=0.1)
    assert score[0, 1] == pytest.approx(0.5, abs=1e-5)


@given(
    reach=st.integers(1, 9),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    dim=st.sampled_from([1, 2]),
)
def test_the_highest_around_every_cell(reach: int, size: tuple[int, int], dim: int):
    values = torch.randn(2, *size, generator=torch.Generator().manual_seed(reach))
    found = _highest_around(values, reach, dim)
    assert found.shape == values.shape
    length = size[dim - 1]
    for place in range(length):
        around = values.narrow(
            dim, max(0, place - reach), min(length, place + reach + 1) - max(0, place - reach)
        )
        assert torch.equal(found.select(dim, place), around.amax(dim))


def test_peaks_are_apart():
    xy, score = find_peaks(heatmap([(30, 20, 0.9), (32, 20, 0.8)]), 2, SIGMA, "dark")
    distance = float((xy[0, 1] - xy[0, 0]).norm())
    assert not distance <= 2.5 * SIGMA  # none at all, or another
    assert score[0, 1] < 0.1
