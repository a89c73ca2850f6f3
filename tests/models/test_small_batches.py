"""What a network learns from and says of a window, alone and among others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.models.test_without_backbone import VARIANTS, build
from tracknet.models.baselines import BASELINES
from tracknet.models.model import TrackNet

MakeModel = Callable[..., TrackNet]
MakeFrames = Callable[..., torch.Tensor]

OURS = [name for name in VARIANTS if name not in BASELINES]


@pytest.mark.parametrize("variant", [*OURS, "vit"])
def test_while_it_trains_our_network_sees_a_window_as_if_alone(
    tiny_model: MakeModel, some_frames: MakeFrames, variant: str
) -> None:
    """Group normalisation is of one window: a batch of 1, of 8, or cut into ranks and micro-batches is the same."""
    model = (tiny_model() if variant == "vit" else build(variant)).train()
    assert not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    frames = some_frames(model, 3)
    together = model(frames)
    apart = torch.cat([model(frames[n : n + 1]) for n in range(3)])
    assert torch.allclose(together, apart, atol=1e-5)
    gradients = []
    for logits in (together, apart):
        model.zero_grad()
        logits.square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))
    assert not list(model.decoder.buffers())


@pytest.mark.parametrize("variant", BASELINES)
def test_the_baselines_batch_statistics_take_any_batch(some_frames: MakeFrames, variant: str) -> None:
    """As published: what they say of a window while they train depends on the others, afterwards on none."""
    model = build(variant).train()
    frames = some_frames(model, 2)
    together = model(frames)
    alone = model(frames[:1])
    assert not torch.allclose(together[:1], alone, atol=1e-4)
    before = {name: value.clone() for name, value in model.named_buffers() if "running" in name}
    alone.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())
    model(frames[:1])
    moved = [
        name for name, value in model.named_buffers() if name in before and (value != before[name]).any()
    ]
    assert len(moved) == len(before) > 0
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model(frames)[:1], model(frames[:1]), atol=1e-5)
