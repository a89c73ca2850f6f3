"""Fusion, decoder, detail stem: alignment, skips, reachable sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tracknet.models.decoders.detail_stem import DetailStem, nearest_level
from tracknet.models.decoders.upsampling_decoder import UpsamplingDecoder, UpsamplingStage, check_reachable
from tracknet.models.fusion import build_fusion
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import DecoderConfig, FusionConfig

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("stride", "level"), [(8, 2), (7, 2), (4, 1), (3.5, 1), (3, 0), (2, 0), (1.75, 0), (1, 0), (16, 2)]
)
def test_the_skip_is_the_nearest_stride(stride: float, level: int) -> None:
    assert nearest_level(stride, (2, 4, 8)) == level


@pytest.mark.parametrize(
    ("patch", "upsample", "levels"),
    [
        (16, (2, 2, 2), [2, 1, 0]),
        (14, (2, 2, 2), [2, 1, 0]),
        (8, (2, 2), [1, 0]),
        (16, (4,), [1]),
        (16, (2, 2, 2, 2), [2, 1, 0, 0]),
    ],
)
def test_only_the_levels_that_join_are_built(
    patch: int, upsample: tuple[int, ...], levels: list[int]
) -> None:
    config = DecoderConfig(channels=("C", *(8 for _ in upsample)), upsample=upsample, detail_channels=4)
    decoder = UpsamplingDecoder(config, in_channels=16, patch_size=patch, num_frames=3)
    assert decoder.skip_levels == levels
    assert decoder.stem is not None
    assert decoder.stem.widths == tuple(4 * 2**level for level in range(max(levels) + 1))


@pytest.mark.parametrize(("in_channels", "patch"), [(0, 16), (12, 16), (12, 14)])
def test_a_map_of_the_pictures_own_size_joins_the_last_stage(in_channels: int, patch: int) -> None:
    config = DecoderConfig(
        channels=("C", 8, 8, 8, 8), upsample=(2, 2, 2, 2), detail_channels=4, detail_levels=4, detail_finest=1
    )
    decoder = UpsamplingDecoder(config, in_channels=in_channels, patch_size=patch, num_frames=3)
    assert decoder.stem is not None
    if patch == 16:
        assert decoder.skip_levels == [3, 2, 1, 0]
    strides = (1, 2, 4, 8, 16) if in_channels == 0 else (1, 2, 4, 8)
    assert decoder.stem.strides == strides
    assert decoder.stem.widths == tuple(4 * width for width in (1, 1, 2, 4, 8)[: len(strides)])
    pixels = torch.randn(2, 3, 3, 2 * patch, 3 * patch, requires_grad=True)
    fine = decoder(torch.randn(2, in_channels, 2, 3), pixels)
    assert fine.shape == (2, 8, 32, 48)
    assert decoder.stem(pixels)[0].shape[-2:] == pixels.shape[-2:]


@pytest.mark.parametrize("kernel", [3, 4])
def test_the_map_of_the_pictures_own_size_sees_cells_from_their_centre(kernel: Any) -> None:
    config = DecoderConfig(detail_channels=4, detail_kernel=kernel, detail_finest=1)
    stem = DetailStem(config, num_frames=1, levels=1)
    still = torch.zeros(1, 1, 3, 16, 16)
    moved = still.clone()
    moved[0, 0, :, 5, 9] = 3.0
    with torch.no_grad():
        stem.levels[0][0].weight.fill_(1.0)
        seen = stem.levels[0][0](moved[:, 0])[0, 0]
    assert torch.nonzero(seen).tolist() == [[y, x] for y in (4, 5, 6) for x in (8, 9, 10)]


def test_further_convolutions_add_to_what_they_read_and_one_is_what_it_was() -> None:
    def built(count: int) -> UpsamplingDecoder:
        torch.manual_seed(0)
        config = DecoderConfig(channels=("C", 8, 8), upsample=(2, 2), detail_channels=4, convolutions=count)
        return UpsamplingDecoder(config, in_channels=12, patch_size=8, num_frames=2).eval()

    one, three = built(1), built(3)
    assert "stages.0.conv.0.weight" in one.state_dict()
    assert "stem.levels.0.0.weight" in one.state_dict()
    # A level or stage of three: the first convolution, and two that are silenced here.
    kept = {
        name.replace("conv.0.", "conv.")
        .replace("levels.0.0.", "levels.0.")
        .replace("levels.1.0.", "levels.1."): value
        for name, value in three.state_dict().items()
        if ".block." not in name
    }
    one.load_state_dict(kept)
    with torch.no_grad():
        for name, parameter in three.named_parameters():
            if ".block." in name:
                parameter.zero_()
    features, pixels = torch.randn(1, 12, 3, 4), torch.randn(1, 2, 3, 24, 32)
    torch.testing.assert_close(three(features, pixels), one(features, pixels))
    assert sum(".block.0." in name for name in three.state_dict()) == 2 * (2 + 2)


@pytest.mark.parametrize("kind", ["deconv", "interpolate"])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_upsampling_keeps_places(kind: Any, factor: int) -> None:
    """A lone cell's energy comes out centred where the scaling rule puts it: no half-cell drift."""
    torch.manual_seed(0)
    stage = UpsamplingStage(1, 1, 0, factor, kind=kind, convolutions=1)
    up = stage.up if kind == "deconv" else stage.up[0]
    with torch.no_grad():
        up.weight.fill_(1.0)
        up.bias.zero_()
        coarse = torch.zeros(1, 1, 9, 9)
        coarse[0, 0, 3, 5] = 1.0
        fine = stage.up(coarse)[0, 0]
    ys, xs = torch.meshgrid(torch.arange(9.0 * factor), torch.arange(9.0 * factor), indexing="ij")
    assert fine.shape == (9 * factor, 9 * factor)
    assert ((fine * xs).sum() / fine.sum()).item() == pytest.approx((5 + 0.5) * factor - 0.5, abs=1e-4)
    assert ((fine * ys).sum() / fine.sum()).item() == pytest.approx((3 + 0.5) * factor - 0.5, abs=1e-4)


@pytest.mark.parametrize("skip", ["none", "detail"])
@pytest.mark.parametrize("first", ["C", 12])
def test_widths_and_sizes(skip: Any, first: Any) -> None:
    config = DecoderConfig(channels=(first, 10, 6), upsample=(2, 4), skip=skip, detail_channels=4)
    decoder = UpsamplingDecoder(config, in_channels=20, patch_size=14, num_frames=2)
    fine = decoder(torch.randn(2, 20, 3, 5), torch.randn(2, 2, 3, 42, 70))
    assert fine.shape == (2, decoder.out_channels, 24, 40) == (2, 6, 24, 40)
    assert isinstance(decoder.project, torch.nn.Identity) is (first == "C")


@pytest.mark.parametrize("kernel", [3, 4])
def test_the_stem_sees_a_single_pixel_move(kernel: Any) -> None:
    config = DecoderConfig(detail_channels=8, detail_kernel=kernel)
    stem = DetailStem(config, num_frames=3, levels=3).eval()
    still = torch.zeros(1, 3, 3, 32, 64)
    moved = still.clone()
    moved[0, 2, :, 10, 20] = 3.0
    maps, others = stem(moved), stem(still)
    assert [tuple(level.shape[1:]) for level in maps] == [(8, 16, 32), (16, 8, 16), (32, 4, 8)]
    change = (maps[0] - others[0]).abs().amax(dim=1)[0]
    assert divmod(int(change.argmax()), 32) in {(5, 10), (5, 9), (4, 10), (4, 9)}


def test_one_frame_has_no_differences() -> None:
    stem = DetailStem(DecoderConfig(detail_channels=4), num_frames=1, levels=1)
    assert not stem.with_differences
    assert stem(torch.zeros(2, 1, 3, 8, 8))[0].shape == (2, 4, 4, 4)


@pytest.mark.parametrize(("seen", "channels"), [("frames", 9), ("frames_and_differences", 15)])
def test_what_the_stem_sees(seen: Any, channels: int) -> None:
    stem = DetailStem(DecoderConfig(detail_channels=4, detail_input=seen), num_frames=3, levels=2)
    assert next(stem.parameters()).shape[1] == channels
    assert [tuple(level.shape) for level in stem(torch.zeros(2, 3, 3, 16, 8))] == [(2, 4, 8, 4), (2, 8, 4, 2)]


@pytest.mark.parametrize(("kernel", "off_px"), [(3, (0.5, 1.5, 3.5)), (4, (0.0, 0.0, 0.0))])
def test_how_far_off_its_centre_a_cell_of_the_stem_sees(kernel: Any, off_px: tuple[float, ...]) -> None:
    """By the scaling rule cell j of stride s is centred at pixel (j + 0.5) * s - 0.5."""
    stem = DetailStem(DecoderConfig(detail_channels=4, detail_kernel=kernel), num_frames=1, levels=3)
    with torch.no_grad():
        for parameter in stem.parameters():
            parameter.fill_(1.0)
    for level, off in enumerate(off_px):
        convolutions = torch.nn.Sequential(*(block[0] for block in list(stem.levels)[: level + 1]))
        pixels = torch.zeros(1, 3, 64, 64, requires_grad=True)
        cell = convolutions(pixels)[0, 0, 3, 3]
        (seen,) = torch.autograd.grad(cell, pixels)
        weight = seen[0].sum(dim=(0, 1))
        centre = float((weight * torch.arange(64.0)).sum() / weight.sum())
        assert (3 + 0.5) * 2 ** (level + 1) - 0.5 - centre == pytest.approx(off, abs=1e-4)


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_without_a_backbone_it_starts_from_the_stem(levels: int) -> None:
    config = DecoderConfig(channels=("C", 6), upsample=(2,), detail_channels=4, detail_levels=levels)
    decoder = UpsamplingDecoder(config, in_channels=0, patch_size=2**levels, num_frames=2)
    assert decoder.stem is not None
    assert len(decoder.stem.levels) == levels
    fine = decoder(torch.zeros(2, 0, 64 // 2**levels, 32 // 2**levels), torch.randn(2, 2, 3, 64, 32))
    assert fine.shape == (2, 6, 64 // 2 ** (levels - 1), 32 // 2 ** (levels - 1))


@pytest.mark.parametrize("kind", ["concat", "attention"])
def test_fusion_tells_frames_apart(kind: Any) -> None:
    torch.manual_seed(0)
    fusion = build_fusion(FusionConfig(kind=kind), 16, 3)
    features = torch.randn(2, 3, 16, 4, 5)
    fused = fusion(features)
    assert fused.shape == (2, 16, 4, 5)
    assert not torch.allclose(fused, fusion(features.flip(1)), atol=1e-3)
    # Each location on its own: a change in one cell stays there.
    changed = features.clone()
    changed[:, 0, :, 1, 2] += 1.0
    touched = (fusion(changed) - fused).abs().sum(dim=(0, 1)) > 1e-5
    assert touched.nonzero().tolist() == [[1, 2]]


@pytest.mark.parametrize("kind", ["concat", "attention"])
def test_one_frame_is_not_fused(kind: Any) -> None:
    features = torch.randn(2, 1, 16, 4, 5)
    fusion = build_fusion(FusionConfig(kind=kind), 16, 1)
    assert torch.equal(fusion(features), features[:, 0])
    assert not list(fusion.parameters())


def test_a_reachable_size_passes() -> None:
    check_reachable(Size(256, 144), Size(32, 18), (2, 2, 2), Size(512, 288))
    check_reachable(Size(512, 288), Size(32, 18), (2, 2, 2), Size(512, 288), subpixel=2)


def test_what_the_head_makes_of_a_cell_is_counted() -> None:
    with pytest.raises(UserError) as caught:
        check_reachable(Size(256, 144), Size(32, 18), (2, 2, 2), Size(512, 288), subpixel=2)
    for text in (
        "has 32x18 patches",
        "model.head.subpixel=2 makes 512x288",
        "or model.decoder.upsample=[2,2] with 3 widths",
    ):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "grid", "offered"),
    [
        (Size(128, 72), Size(32, 18), ["[256,144]", "upsample=[2,2]", "3 widths"]),
        (Size(256, 144), Size(36, 20), ["[288,160]", "[144,80] with [2,2]"]),
        (Size(32, 18), Size(32, 18), ["upsample=[1]", "2 widths"]),
        (Size(16, 9), Size(32, 18), ["[256,144]"]),
    ],
)
def test_an_unreachable_size_names_the_reachable_ones(asked: Size, grid: Size, offered: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_reachable(asked, grid, (2, 2, 2), Size(512, 288))
    for text in offered:
        assert text in str(caught.value)
