"""What every variant of the model must do, over all of them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tracknet.models.model import TrackNet
from tracknet.utils.settings import BackboneConfig

MakeModel = Callable[..., TrackNet]
MakeFrames = Callable[..., torch.Tensor]

KINDS = ("vit", "dinov2", "dinov3_vit")
TIMES = [
    {"frames": 1, "fusion": "concat"},
    {"frames": 3, "fusion": "concat"},
    {"frames": 3, "fusion": "attention"},
]
VARIANTS: list[dict[str, Any]] = [
    {"kind": kind, "patch": patch, **time, "maps": maps, "skip": skip, "up": up}
    for kind, patch, time, maps, skip, up in itertools.product(
        KINDS, (8, 14, 16), TIMES, ("one", "all"), ("none", "detail"), ("deconv", "interpolate")
    )
]
# Several layers of the ViT are read.
VARIANTS += [
    {"kind": kind, **time, "depth": 3, "layers": (1, 3), "layer_fusion": fusion}
    for kind, time, fusion in itertools.product(KINDS, TIMES, ("concat", "sum"))
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values())))
def test_every_variant_learns_saves_and_loads(
    tiny_model: MakeModel, some_frames: MakeFrames, variant: dict[str, Any], tmp_path: Path
) -> None:
    model, frames_count = tiny_model(**variant), variant["frames"]
    frames = some_frames(model)
    logits = model(frames)
    size = model.config.heatmap.size
    assert logits.dtype == torch.float32
    assert logits.shape == (2, model.num_maps, size.height, size.width)
    assert model.num_maps == (frames_count if variant.get("maps") == "all" else 1) == len(model.map_frames)

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("freeze", [False, True])
def test_frozen_means_frozen(tiny_model: MakeModel, some_frames: MakeFrames, kind: str, freeze: bool) -> None:
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


def test_dinov3_jitters_only_while_it_trains(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    free, frozen = tiny_model("dinov3_vit").train(), tiny_model("dinov3_vit", freeze=True).train()
    frames = some_frames(free)[:, 0]
    assert not torch.equal(free.encode_frames(frames), free.encode_frames(frames))
    assert torch.equal(frozen.encode_frames(frames), frozen.encode_frames(frames))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "more",
    [{}, {"depth": 2, "layers": (1, 2)}, {"depth": 3, "layers": (1, 3), "subpixel": 2}],
    ids=["plain", "layers", "layers and sub-pixel"],
)
def test_gradient_checkpointing_changes_no_gradient(
    tiny_model: MakeModel, some_frames: MakeFrames, kind: str, more: dict[str, Any]
) -> None:
    """It runs the tapped layers twice, and the taps keep the first run's tokens."""
    gradients = []
    for enabled in (False, True):
        model = tiny_model(kind, **more).train()
        model.gradient_checkpointing(enabled)
        layers = [m for m in model.backbone.vit.modules() if getattr(m, "gradient_checkpointing", False)]
        assert bool(layers) is enabled
        torch.manual_seed(1)  # DINOv3 jitters its position embeddings while it trains.
        model(some_frames(model)).square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        copy.deepcopy(model)  # nothing of the backward pass is kept, which could not be copied
    assert gradients[0].keys() == gradients[1].keys()
    assert any(name.startswith("depth_fusion") for name in gradients[0]) is ("layers" in more)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-7), name


@pytest.mark.parametrize("fusion", ["concat", "attention"])
@pytest.mark.parametrize("skip", ["none", "detail"])
@pytest.mark.parametrize("up", ["deconv", "interpolate"])
def test_under_bf16_autocast_logits_are_float32_and_near(
    tiny_model: MakeModel, some_frames: MakeFrames, fusion: str, skip: str, up: str
) -> None:
    model = tiny_model(fusion=fusion, skip=skip, up=up)
    frames = some_frames(model)
    exact = model(frames)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(frames)
    logits.square().mean().backward()
    assert logits.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert (logits - exact).abs().max() < 0.1


def test_any_memory_layout_gives_the_same(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    model = tiny_model().eval()
    frames = some_frames(model)
    hwc = frames.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert hwc.stride() != frames.stride()
    with torch.no_grad():
        assert torch.allclose(model(hwc), model(frames), atol=1e-5)


def test_normalisation_is_the_processors(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
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
def test_which_frame_a_map_is_about(
    tiny_model: MakeModel, frames: int, maps: str, anchor: str, expected: tuple[int, ...]
) -> None:
    assert tiny_model(frames=frames, maps=maps, anchor=anchor).map_frames == expected


def test_decode_gives_input_pixels(tiny_model: MakeModel) -> None:
    model = tiny_model()  # 64x32 pixels, 16x8 cells: a cell is 4 pixels
    logits = torch.full((1, 1, 8, 16), -9.0)
    logits[0, 0, 5, 9] = 2.0
    points, scores = model.decode(logits)
    assert points[0, 0].tolist() == pytest.approx([(9 + 0.5) * 4 - 0.5, (5 + 0.5) * 4 - 0.5], abs=1e-4)
    assert scores.item() == pytest.approx(torch.tensor(2.0).sigmoid().item())


def test_an_untrained_head_gives_its_prior(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    model = tiny_model().eval()
    with torch.no_grad():
        probability = model(some_frames(model)).sigmoid()
    assert probability.mean().item() == pytest.approx(0.01, rel=0.3)


def test_frames_that_do_not_fit_are_refused(tiny_model: MakeModel, some_frames: MakeFrames) -> None:
    model = tiny_model()
    frames = some_frames(model)
    with pytest.raises(TypeError, match="uint8"):
        model(frames.float())
    with pytest.raises(ValueError, match="64x32"):
        model(frames[..., :-1])
    with pytest.raises(ValueError, match="3 frames"):
        model(frames[:, :2])


def test_the_given_backbone_is_used(tiny_model: MakeModel) -> None:
    donor = tiny_model()
    model = TrackNet(
        replace(donor.config, backbone=BackboneConfig(name="owner/never-asked-for")),
        input_size=donor.input_size,
        num_frames=3,
        backbone=donor.backbone,
    )
    assert model.backbone is donor.backbone


@pytest.mark.parametrize(
    "variant",
    [{"fusion": "attention"}, *({"kind": kind, "depth": 2, "layers": (1, 2)} for kind in KINDS)],
    ids=["attention", *(f"{kind}, layers" for kind in KINDS)],
)
def test_it_exports_from_raw_frames(
    tiny_model: MakeModel, some_frames: MakeFrames, variant: dict[str, Any]
) -> None:
    model = tiny_model(**variant).eval()
    frames = some_frames(model)
    with torch.no_grad():
        program = torch.export.export(model, (frames,))
        assert torch.allclose(program.module()(frames), model(frames), atol=1e-5)
