"""What models without a ViT must do: the stem-and-decoder net, and the field's baselines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tracknet.models.baselines import BASELINES
from tracknet.models.baselines.wasb import Stage, WASBNet
from tracknet.models.mirrored import mirrored_average
from tracknet.models.model import TrackNet
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.processor import IMAGENET_MEAN, read_processor
from tracknet.utils.settings import BackboneConfig, DecoderConfig, HeadConfig, HeatmapConfig, ModelConfig

MakeFrames = Callable[..., torch.Tensor]

NONE = BackboneConfig(name="none")
SMALL = DecoderConfig(
    channels=("C", 8, 8, 8), upsample=(2, 2, 2), kind="interpolate", detail_channels=4, detail_levels=4
)
VARIANTS: dict[str, dict[str, Any]] = {
    "detail": {"decoder": SMALL},
    "detail, frames alone": {
        "decoder": DecoderConfig(channels=("C", 8), upsample=(4,), detail_channels=4, detail_input="frames"),
    },
    "detail, symmetric": {
        "decoder": DecoderConfig(channels=(8, 8, 8), upsample=(2, 2), detail_channels=4, detail_kernel=4)
    },
    "detail, full size": {
        "decoder": DecoderConfig(channels=("C", 8, 8, 8), upsample=(2, 2, 2), detail_channels=4)
    },
    "detail, sub-pixel": {
        "decoder": DecoderConfig(channels=("C", 8, 8), upsample=(2, 2), detail_channels=4),
    },
    "tracknet_v2": {"architecture": "tracknet_v2"},
    "wasb": {"architecture": "wasb"},
}
# Heatmap cells per input pixel.
SCALE = {"detail": 0.5, "detail, frames alone": 0.5, "detail, symmetric": 0.5}
INPUT = Size(64, 32)


def build(variant: str, *, maps: Any = "all", frames: int = 3) -> TrackNet:
    scale = SCALE.get(variant, 1.0)
    config = ModelConfig(
        backbone=NONE,
        head=HeadConfig(maps=maps, subpixel=2 if variant == "detail, sub-pixel" else 1),
        heatmap=HeatmapConfig(size=Size(int(INPUT.width * scale), int(INPUT.height * scale)), sigma=1.0),
        **VARIANTS[variant],
    )
    torch.manual_seed(0)
    return TrackNet(config, input_size=INPUT, num_frames=frames)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("frames_count", "maps"), [(1, "one"), (3, "one"), (3, "all"), (5, "all")])
def test_every_variant_learns_saves_and_loads(
    some_frames: MakeFrames, variant: str, frames_count: int, maps: str, tmp_path: Path
) -> None:
    model = build(variant, maps=maps, frames=frames_count).train()
    frames = some_frames(model)
    logits = model(frames)
    size = model.config.heatmap.size
    assert logits.dtype == torch.float32
    assert logits.shape == (2, len(model.map_frames), size.height, size.width)
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()

    model.eval()
    loaded = TrackNet.from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert not any(module.training for module in loaded.modules())
    with torch.no_grad():
        expected = model(frames)
        assert torch.equal(loaded(frames), expected)
        features = model.encode_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        assert features.shape[:3] == (2, frames_count, 0)
        assert torch.equal(model.decode_features(features, frames), expected)
    points, scores = model.decode(expected)
    assert (points.shape, scores.shape) == ((2, model.num_maps, 2), (2, model.num_maps))


@pytest.mark.parametrize("variant", ["detail", "tracknet_v2", "wasb"])
def test_it_exports_and_mirrors(some_frames: MakeFrames, variant: str) -> None:
    model = build(variant).eval()
    frames = some_frames(model)
    with torch.no_grad():
        program = torch.export.export(model, (frames,))
        assert torch.allclose(program.module()(frames), model(frames), atol=1e-5)
        assert mirrored_average(model, frames).shape == model(frames).shape
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(frames).dtype == torch.float32


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in BASELINES])
def test_a_ball_is_learned_where_it_is(some_frames: MakeFrames, variant: str) -> None:
    """One window by heart: the place that is decoded is the place that was drawn, on both axes."""
    model = build(variant, maps="one").train()
    frames = some_frames(model, 1)
    cells = torch.tensor([0.7, 0.3]) * torch.tensor(
        [model.config.heatmap.size.width, model.config.heatmap.size.height]
    )
    ys, xs = torch.meshgrid(
        torch.arange(model.config.heatmap.size.height),
        torch.arange(model.config.heatmap.size.width),
        indexing="ij",
    )
    target = torch.exp(-((xs - cells[0]) ** 2 + (ys - cells[1]) ** 2) / 2)[None, None]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(frames), target, reduction="sum").backward()
        optimizer.step()
    points, scores = model.decode(model(frames).detach())
    scale = INPUT.width / model.config.heatmap.size.width
    wanted = (cells + 0.5) * scale - 0.5
    assert (points[0, 0] - wanted).abs().max() < 1.0
    assert scores.item() > 0.3


@pytest.mark.parametrize(("name", "parameters"), [("tracknet_v2", 11_334_147), ("wasb", 1_288_179)])
def test_the_baselines_are_as_large_as_published(name: str, parameters: int) -> None:
    """11.3 M, and 1.5 M less what computes the coarser maps of WASB's last exchange, which nothing reads."""
    config = load_config(model=name)
    model = TrackNet(config.model, input_size=Size(512, 288), num_frames=3)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.map_frames == (0, 1, 2)
    assert model.config.heatmap.size == model.input_size
    if name == "wasb":
        assert isinstance(model.decoder, WASBNet)
        whole = Stage((16, 32, 64, 128), 4)
        last = model.decoder.stages[-1]
        unread = sum(p.numel() for p in whole.parameters()) - sum(p.numel() for p in last.parameters())
        assert parameters + unread == 1_481_427


def test_the_small_net_is_small() -> None:
    config = load_config(model="detail_small")
    model = TrackNet(config.model, input_size=Size(512, 288), num_frames=3)
    assert sum(p.numel() for p in model.parameters()) == 207_281
    assert not list(model.backbone.parameters())
    assert not list(model.fusion.parameters())


def test_its_card_says_what_it_is(tmp_path: Path) -> None:
    for variant, text in (("detail", "convolutions alone"), ("wasb", "| wasb |")):
        folder = build(variant).save_pretrained(tmp_path / variant)
        assert text in (folder / "README.md").read_text()


def test_no_processor_is_asked_for() -> None:
    spec = read_processor(NONE, Size(512, 288))
    assert (spec.size, spec.mean) == (Size(512, 288), IMAGENET_MEAN)


@pytest.mark.parametrize("name", BASELINES)
def test_another_heatmap_than_the_inputs_is_refused(name: Any) -> None:
    config = ModelConfig(architecture=name, backbone=NONE, heatmap=HeatmapConfig(size=Size(32, 16)))
    with pytest.raises(UserError, match=r"set model.heatmap.size=\[64,32\]"):
        TrackNet(config, input_size=INPUT, num_frames=3)


def test_an_input_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.resize=\[64,32\]") as refused:
        TrackNet(ModelConfig(backbone=NONE, decoder=SMALL), input_size=Size(64, 40), num_frames=3)
    assert refused.value.what == (
        "width and height must be multiples of this model's stride 16, and the input size is 64x40"
    )


def test_a_heatmap_that_is_not_reached_is_told_in_cells_of_the_stride() -> None:
    config = ModelConfig(backbone=NONE, decoder=SMALL, heatmap=HeatmapConfig(size=Size(40, 24)))
    with pytest.raises(UserError, match="the input 64x32 has 4x2 cells of the stride 16, and") as refused:
        TrackNet(config, input_size=INPUT, num_frames=3)
    assert "patches" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["model.architecture=wasb"], "wasb has no backbone: set model.backbone.name=none"),
        (["model.backbone.name=none", "model.decoder.skip=none"], "sees with its detail stem"),
        (
            ["model.architecture=wasb", "model.head.subpixel=2"],
            "draws at its input's size as it is: set it to 1",
        ),
        (["model.head.subpixel=0"], "must be at least 1"),
    ],
)
def test_settings_that_contradict_are_refused(overrides: list[str], text: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(model="vit_tiny", overrides=overrides)
    assert text in str(caught.value)


def test_a_model_saved_before_there_were_these_settings_is_read(
    tiny_model: Callable[..., TrackNet], some_frames: MakeFrames, tmp_path: Path
) -> None:
    """Keys that a config.json lacks mean what models were made of then: differences, three levels, one depth ..."""
    model = tiny_model().eval()
    path = model.save_pretrained(tmp_path / "model") / "config.json"
    saved = json.loads(path.read_text())
    del saved["model"]["architecture"]
    for key in ("detail_input", "detail_kernel", "detail_levels"):
        del saved["model"]["decoder"][key]
    for part, key in (("backbone", "layers"), ("fusion", "layers"), ("head", "subpixel")):
        del saved["model"][part][key]
    path.write_text(json.dumps(saved))
    frames = some_frames(model)
    with torch.no_grad():
        assert torch.equal(TrackNet.from_pretrained(path.parent)(frames), model(frames))
