"""Attention along time is torch's own, also where a batch has more locations than one of its calls takes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tracknet.models import fusion
from tracknet.models.fusion import AttentionFusion


def test_parts_of_the_locations_are_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = AttentionFusion(channels=16, num_frames=3)
    torch.nn.init.normal_(layer.out.weight)
    features = torch.randn(2, 3, 16, 3, 5, requires_grad=True)  # 30 locations
    attention, calls = F.scaled_dot_product_attention, []

    def counted(query: torch.Tensor, *args: torch.Tensor) -> torch.Tensor:
        calls.append(len(query))
        return attention(query, *args)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    made = []
    # At once; with a border within the first window, and a last part of one location.
    for most, sizes in ((30, [30]), (29, [29, 1]), (8, [8, 8, 8, 6])):
        calls.clear()
        features.grad = None
        monkeypatch.setattr(fusion, "_MOST_AT_ONCE", most)
        out = layer(features)
        out.square().sum().backward()
        assert calls == sizes
        made.append((out.detach(), features.grad))
    for out, gradient in made[1:]:
        assert torch.allclose(out, made[0][0], rtol=0, atol=1e-6)
        assert torch.allclose(gradient, made[0][1], rtol=1e-5, atol=1e-6)  # type: ignore[arg-type]


def test_no_call_has_more_sequences_and_heads_than_a_grid() -> None:
    # 120 windows of 32x18 tokens, 512x288 in patches of 16.
    layer = AttentionFusion(channels=8, num_frames=2)
    assert fusion._MOST_AT_ONCE * layer.heads <= 65_535
    with torch.no_grad():
        torch.nn.init.normal_(layer.out.weight)
        features = torch.randn(120, 2, 8, 18, 32)
        fused = layer(features)
        # The window whose locations lie on both sides of the first border.
        window = fusion._MOST_AT_ONCE // (18 * 32)
        assert fusion._MOST_AT_ONCE % (18 * 32)
        assert torch.allclose(fused[window], layer(features[window : window + 1])[0], rtol=0, atol=1e-6)
