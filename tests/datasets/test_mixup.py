"""Two windows over each other, and what the loss makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tracknet.datasets.mixup import draw_share, mix_pairs
from tracknet.utils.settings import MixupConfig


def batch(weights: list[list[float]]) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(0)
    count, maps = np.shape(weights)
    return {
        "frames": rng.integers(0, 256, (count, 3, 6, 8, 3), dtype=np.uint8),
        "heatmaps": rng.random((count, maps, 6, 8)).astype(np.float16),
        "weights": np.array(weights, np.float32),
    }


def test_frames_are_mixed_in_their_shares() -> None:
    arrays = batch([[1.0]] * 5)
    old = {name: array.copy() for name, array in arrays.items()}
    mix_pairs(arrays, [(0, 0.75), (2, 1.0)])
    first, second = old["frames"][:2].astype(float)
    assert np.abs(arrays["frames"][0] - (0.75 * first + 0.25 * second)).max() <= 0.51
    assert np.abs(arrays["frames"][1] - (0.75 * second + 0.25 * first)).max() <= 0.51
    # A share of 1 changes nothing, and the fifth has no partner.
    for name, array in arrays.items():
        np.testing.assert_allclose(array[2:].astype(float), old[name][2:].astype(float), atol=1e-3)


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.5, 2.0), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_the_loss_is_that_of_both_windows_in_their_shares(a: float, b: float, loss: str) -> None:
    """Its gradient: the two differ by what does not depend on the prediction. A masked window says nothing."""
    arrays, share = batch([[a], [b]]), 0.7
    maps = [torch.tensor(m.astype(np.float64)) for m in arrays["heatmaps"]]
    mix_pairs(arrays, [(0, share)])

    def cost(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if loss == "mse":
            return (logits.sigmoid() - target).square().sum()
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")

    logits = torch.randn(1, 6, 8, dtype=torch.float64, generator=torch.manual_seed(1)).requires_grad_()
    expected = share * a * cost(logits, maps[0]) + (1 - share) * b * cost(logits, maps[1])
    mixed = torch.tensor(arrays["heatmaps"][0].astype(np.float64))
    found = float(arrays["weights"][0, 0]) * cost(logits, mixed)
    (one,), (other,) = (torch.autograd.grad(value, logits) for value in (expected, found))
    np.testing.assert_allclose(other, one, atol=2e-3)
    assert arrays["weights"][0, 0] == pytest.approx(share * a + (1 - share) * b)


def test_two_masked_windows_stay_masked() -> None:
    arrays = batch([[0.0], [0.0]])
    mix_pairs(arrays, [(0, 0.6)])
    assert arrays["weights"].tolist() == [[0.0], [0.0]]
    assert np.isfinite(arrays["heatmaps"]).all()


def test_shares() -> None:
    rng = np.random.default_rng(2)
    shares = [draw_share(MixupConfig(prob=0.5, alpha=0.4), rng) for _ in range(400)]
    assert min(shares) >= 0.5 and max(shares) <= 1.0
    assert 0.4 < np.mean(np.array(shares) == 1.0) < 0.6
    assert all(draw_share(MixupConfig(), np.random.default_rng(n)) == 1.0 for n in range(20))
    even = [draw_share(MixupConfig(prob=1.0, alpha=50.0), rng) for _ in range(50)]
    assert max(even) < 0.75
