"""The head: what an untrained one says, and where the cells of a sub-pixel one lie."""

from __future__ import annotations

import pytest
import torch

from tracknet.models.heads.heatmap_head import HeatmapHead


@pytest.mark.parametrize("subpixel", [1, 2, 3])
def test_an_untrained_head_gives_its_prior_in_every_cell(subpixel: int) -> None:
    torch.manual_seed(0)
    head = HeatmapHead(8, 3, 0.05, subpixel)
    logits = head(torch.randn(2, 8, 4, 6))
    assert (logits.shape, logits.dtype) == ((2, 3, 4 * subpixel, 6 * subpixel), torch.float32)
    assert logits.sigmoid().mean().item() == pytest.approx(0.05, rel=0.05)


def test_the_cells_of_a_cell_lie_within_it() -> None:
    """Channel `m * 4 + 2 * dy + dx` is map m at row `2 y + dy`, column `2 x + dx`."""
    head = HeatmapHead(8, 2, 0.01, 2)
    features = torch.randn(1, 8, 3, 5)
    with torch.no_grad():
        flat, maps = head.conv(features), head(features)
    for m, dy, dx in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 1, 1)):
        assert torch.equal(maps[:, m, dy::2, dx::2], flat[:, 4 * m + 2 * dy + dx])


def test_one_cell_per_cell_is_the_head_as_it_was() -> None:
    assert {name: tuple(value.shape) for name, value in HeatmapHead(8, 3, 0.01).state_dict().items()} == {
        "conv.weight": (3, 8, 1, 1),
        "conv.bias": (3,),
    }
