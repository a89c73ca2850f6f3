"""Adapters begin as nothing, are all that is trained, and are saved as plain weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.models.conftest import TINY
from tracknet.models.backbones.build import build_vit_backbone
from tracknet.models.backbones.lora import plain_weights
from tracknet.models.backbones.vit_backbone import ViTBackbone
from tracknet.models.model import TrackNet
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import BackboneConfig, LoraConfig

torch.set_num_threads(1)


@pytest.fixture
def peft() -> None:
    pytest.importorskip("peft", reason='peft is not installed: pip install -e ".[lora]"')


def adapted(model: TrackNet, config: LoraConfig) -> TrackNet:
    """With adapters that do something."""
    assert isinstance(model.backbone, ViTBackbone)
    model.backbone.adapt(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    return model


def test_without_peft_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="needs peft") as caught:
        build_vit_backbone(
            BackboneConfig(name="vit", pretrained=False, config=TINY["vit"], lora=LoraConfig()), Size(64, 32)
        )
    assert 'pip install "peft' in str(caught.value.remedy)


@pytest.mark.usefixtures("peft")
@pytest.mark.parametrize("kind", sorted(TINY))
def test_untrained_adapters_change_nothing_and_are_all_that_learns(
    kind: str, tiny_model: Callable[..., TrackNet], some_frames: Callable[..., torch.Tensor]
) -> None:
    model = tiny_model(kind)
    model.eval()
    frames = some_frames(model)
    with torch.no_grad():
        before = model(frames)
    model.backbone.adapt(LoraConfig(rank=3))
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(frames), before)
    learns = {name: p.shape for name, p in model.backbone.named_parameters() if p.requires_grad}
    # A and B of queries and values, of the one layer: [3, 32] and [32, 3].
    assert sorted(tuple(shape) for shape in learns.values()) == [(3, 32)] * 2 + [(32, 3)] * 2
    assert all("lora_" in name for name in learns)
    assert any(p.requires_grad for p in model.decoder.parameters())
    model.backbone.set_frozen(True)
    assert not any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.usefixtures("peft")
@pytest.mark.parametrize("kind", sorted(TINY))
@pytest.mark.parametrize("half", [False, True])
def test_what_is_saved_is_a_plain_model_that_needs_no_peft(
    kind: str,
    half: bool,
    tiny_model: Callable[..., TrackNet],
    some_frames: Callable[..., torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tracknet.models import persistence

    model = tiny_model(kind)
    names = set(model.state_dict())
    frames = some_frames(model)[0]
    model.eval()
    with torch.no_grad():
        plain = model.encode_frames(frames)
    mlp = {"dinov3_vit": "down_proj"}.get(kind, "fc2")
    model = adapted(model, LoraConfig(rank=2, alpha=6, targets=("q_proj", "o_proj", mlp))).eval()
    with torch.no_grad():
        expected = model.encode_frames(frames)
    assert (expected - plain).abs().max() > 0.1
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    persistence.save(model, tmp_path / "model", half=half)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    monkeypatch.setitem(sys.modules, "peft", None)
    loaded = TrackNet.from_pretrained(tmp_path / "model")
    assert set(loaded.state_dict()) == set(plain_weights(model)) == names
    with torch.no_grad():
        assert torch.allclose(loaded.encode_frames(frames), expected, atol=0.02 if half else 1e-5)


@pytest.mark.usefixtures("peft")
def test_layers_that_there_are_not_are_named() -> None:
    config = BackboneConfig(
        name="vit", pretrained=False, config=TINY["vit"], lora=LoraConfig(targets=("q_proj", "qproj"))
    )
    with pytest.raises(UserError, match=r"no linear layer qproj \(did you mean q_proj\?\)") as caught:
        build_vit_backbone(config, Size(64, 32))
    assert "fc1, fc2, k_proj, o_proj, q_proj, v_proj" in str(caught.value.remedy)
