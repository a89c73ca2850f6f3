"""What every variant of the model must do, over all of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tracknet.models.model import TrackNet
from tracknet.utils.geometry import Size
from tracknet.utils.settings import (
    BackboneConfig,
    DecoderConfig,
    FusionConfig,
    HeadConfig,
    HeatmapConfig,
    ModelConfig,
)

torch.set_num_threads(1)

TINY: dict[str, dict[str, Any]] = {
    "vit": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "dinov2": {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    "dinov3_vit": {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_register_tokens": 4,
        "pos_embed_rescale": 2.0,
    },
}


def tiny_model(
    kind: str = "vit",
    patch: int = 16,
    *,
    frames: int = 3,
    fusion: Any = "concat",
    maps: Any = "one",
    skip: Any = "detail",
    up: Any = "deconv",
    freeze: bool = False,
    anchor: Any = "middle",
) -> TrackNet:
    size = Size(56, 28) if patch == 14 else Size(64, 32)
    config = ModelConfig(
        backbone=BackboneConfig(
            name=kind, pretrained=False, freeze=freeze, config={**TINY[kind], "patch_size": patch}
        ),
        fusion=FusionConfig(kind=fusion),
        decoder=DecoderConfig(channels=("C", 16, 8), upsample=(2, 2), kind=up, skip=skip, detail_channels=4),
        head=HeadConfig(maps=maps),
        heatmap=HeatmapConfig(size=Size(size.width // patch * 4, size.height // patch * 4), sigma=1.0),
    )
    torch.manual_seed(0)
    return TrackNet(config, input_size=size, num_frames=frames, anchor=anchor)


def some_frames(model: TrackNet, batch: int = 2) -> torch.Tensor:
    shape = (batch, model.num_frames, 3, model.input_size.height, model.input_size.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


TIMES = [(1, "concat"), (3, "concat"), (3, "attention")]
VARIANTS = list(
    itertools.product(TINY, (8, 14, 16), TIMES, ("one", "all"), ("none", "detail"), ("deconv", "interpolate"))
)


@pytest.mark.parametrize(("kind", "patch", "time", "maps", "skip", "up"), VARIANTS)
def test_every_variant_learns_saves_and_loads(
    kind: str, patch: int, time: tuple[int, str], maps: str, skip: str, up: str, tmp_path: Path
) -> None:
    frames_count, fusion = time
    model = tiny_model(kind, patch, frames=frames_count, fusion=fusion, maps=maps, skip=skip, up=up)
    frames = some_frames(model)
    logits = model(frames)
    size = model.config.heatmap.size
    assert logits.dtype == torch.float32
    assert logits.shape == (2, model.num_maps, size.height, size.width)
    assert model.num_maps == (frames_count if maps == "all" else 1) == len(model.map_frames)

    # Through the peak, so that the gradient is no constant that a normalisation cancels.
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    groups = {
        name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert {"backbone", "decoder", "head"} <= groups

    model.eval()
    loaded = TrackNet.from_pretrained(model.save_pretrained(tmp_path / "model"))
    with torch.no_grad():
        expected = model(frames)
        assert torch.equal(loaded(frames), expected)
        features = model.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        assert torch.allclose(model.decode_features(features, frames), expected, atol=1e-5)
    points, scores = model.decode(expected)
    assert points.shape == (2, model.num_maps, 2)
    assert scores.shape == (2, model.num_maps)
    assert points.dtype == scores.dtype == torch.float32


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("freeze", [False, True])
def test_frozen_means_frozen(kind: str, freeze: bool) -> None:
    model = tiny_model(kind, freeze=freeze).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(some_frames(model)).square().mean().backward()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=10.0)
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.startswith("head.") for name in moved)
    assert any(name.startswith("backbone.") for name in moved) is not freeze
    modes = {module.training for module in model.backbone.modules()}
    assert modes == {not freeze}
    assert model.decoder.training
    if freeze:
        assert not any(p.requires_grad for p in model.backbone.parameters())
        assert not model.encode_frames(some_frames(model)[:, 0]).requires_grad
    model.eval()
    assert not any(module.training for module in model.modules())


def test_dinov3_jitters_only_while_it_trains() -> None:
    free, frozen = tiny_model("dinov3_vit").train(), tiny_model("dinov3_vit", freeze=True).train()
    frames = some_frames(free)[:, 0]
    assert not torch.equal(free.encode_frames(frames), free.encode_frames(frames))
    assert torch.equal(frozen.encode_frames(frames), frozen.encode_frames(frames))


@pytest.mark.parametrize("kind", TINY)
def test_gradient_checkpointing_changes_no_gradient(kind: str) -> None:
    gradients = []
    for enabled in (False, True):
        model = tiny_model(kind).train()
        if kind == "dinov3_vit":
            model.backbone.vit.config.pos_embed_rescale = None  # its jitter draws from the global generator
        model.gradient_checkpointing(enabled)
        assert model.backbone.vit.is_gradient_checkpointing is enabled
        model(some_frames(model)).square().mean().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("skip", ["none", "detail"])
@pytest.mark.parametrize("up", ["deconv", "interpolate"])
def test_under_bf16_autocast_logits_are_float32_and_near(fusion: str, skip: str, up: str) -> None:
    model = tiny_model(fusion=fusion, skip=skip, up=up)
    frames = some_frames(model)
    exact = model(frames)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(frames)
    logits.square().mean().backward()
    assert logits.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert (logits - exact).abs().max() < 0.1


def test_any_memory_layout_gives_the_same() -> None:
    model = tiny_model().eval()
    frames = some_frames(model)
    hwc = frames.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert hwc.stride() != frames.stride()
    with torch.no_grad():
        assert torch.allclose(model(hwc), model(frames), atol=1e-5)


def test_normalisation_is_the_processors() -> None:
    model = tiny_model()
    frames = some_frames(model)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (frames.float() / 255 - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(model._normalise(frames), expected, atol=1e-5)
    assert "mean" not in model.state_dict()


@pytest.mark.parametrize(
    ("frames", "maps", "anchor", "expected"),
    [
        (1, "one", "middle", (0,)),
        (3, "one", "middle", (1,)),
        (3, "one", "last", (2,)),
        (3, "all", "last", (0, 1, 2)),
        (4, "one", "middle", (2,)),
    ],
)
def test_which_frame_a_map_is_about(frames: int, maps: str, anchor: str, expected: tuple[int, ...]) -> None:
    assert tiny_model(frames=frames, maps=maps, anchor=anchor).map_frames == expected


def test_decode_gives_input_pixels() -> None:
    model = tiny_model()  # 64x32 pixels, 16x8 cells: a cell is 4 pixels
    logits = torch.full((1, 1, 8, 16), -9.0)
    logits[0, 0, 5, 9] = 2.0
    points, scores = model.decode(logits)
    assert points[0, 0].tolist() == pytest.approx([(9 + 0.5) * 4 - 0.5, (5 + 0.5) * 4 - 0.5], abs=1e-4)
    assert scores.item() == pytest.approx(torch.tensor(2.0).sigmoid().item())


def test_an_untrained_head_gives_its_prior() -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        probability = model(some_frames(model)).sigmoid()
    assert probability.mean().item() == pytest.approx(0.01, rel=0.3)


def test_frames_that_do_not_fit_are_refused() -> None:
    model = tiny_model()
    frames = some_frames(model)
    with pytest.raises(TypeError, match="uint8"):
        model(frames.float())
    with pytest.raises(ValueError, match="64x32"):
        model(frames[..., :-1])
    with pytest.raises(ValueError, match="3 frames"):
        model(frames[:, :2])


def test_the_given_backbone_is_used() -> None:
    donor = tiny_model()
    model = TrackNet(
        replace(donor.config, backbone=BackboneConfig(name="owner/never-asked-for")),
        input_size=donor.input_size,
        num_frames=3,
        backbone=donor.backbone,
    )
    assert model.backbone is donor.backbone


def test_it_exports_from_raw_frames() -> None:
    model = tiny_model(fusion="attention").eval()
    frames = some_frames(model)
    with torch.no_grad():
        program = torch.export.export(model, (frames,))
        assert torch.allclose(program.module()(frames), model(frames), atol=1e-5)
