"""How frames become one map: attention along time in parts, and the anchor frame alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tracknet.models import fusion
from tracknet.models.fusion import AttentionFusion
from tracknet.models.model import TrackNet


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


@pytest.mark.parametrize("maps", ["one", "all"])
def test_the_anchor_alone_has_tokens(
    tiny_model: Callable[..., TrackNet], some_frames: Callable[..., torch.Tensor], maps: str, tmp_path: Path
) -> None:
    model = tiny_model(fusion="anchor", skip="none", maps=maps).eval()
    frames = some_frames(model)
    assert model.fused_frames == range(1, 2)
    seen: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    logits = model(frames)
    assert seen == [len(frames)]  # once a window, not three times
    others, anchor = frames.clone(), frames.clone()
    others[:, (0, 2)] = 255 - others[:, (0, 2)]
    anchor[:, 1] = 255 - anchor[:, 1]
    assert torch.equal(model(others), logits)
    assert not torch.allclose(model(anchor), logits, atol=1e-4)
    # Prediction encodes each frame once, and training from stored features has all of them.
    features = model.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
    assert torch.allclose(model.decode_features(features, frames), logits, atol=1e-5)
    loaded = TrackNet.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert torch.equal(loaded(frames), logits)
    with pytest.raises(ValueError, match="a window has 3 frames, got 2"):
        model.decode_features(features[:, :2], frames)


def test_the_anchor_may_be_the_last_frame(
    tiny_model: Callable[..., TrackNet], some_frames: Callable[..., torch.Tensor]
) -> None:
    middle = tiny_model(fusion="anchor", skip="none").eval()
    last = TrackNet(
        middle.config,
        input_size=middle.input_size,
        num_frames=3,
        anchor="last",
        backbone=middle.backbone,
    ).eval()
    last.load_state_dict(middle.state_dict())
    frames = some_frames(middle)
    assert last.fused_frames == range(2, 3)
    assert torch.equal(last(frames), middle(frames[:, (0, 2, 1)]))
