"""A batch at another size is what it would have been at that size from the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.datasets.conftest import CELLS, STORED, SmallBuild, lose_row
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.frames import RawFrames
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import training_stream
from tracknet.datasets.sized_batches import at_size, resize_frames
from tracknet.datasets.stream import WindowStream
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.settings import LoaderConfig, MixupConfig, SizesConfig

LOADER = LoaderConfig(workers=0, lanes=4, run_length=4)
SIZES = SizesConfig(factors=(0.75, 1.0, 1.5))
SMALLER, ITS_CELLS = Size(80, 32), Size(40, 16)
SIGMA = 1.25


def stream_of(build: SmallBuild, spec: SampleSpec) -> WindowStream:
    return training_stream(build.open(), spec, LOADER, batch_size=8, seed=spec.seed)


def batches(stream: WindowStream, loader: LoaderConfig = LOADER) -> Iterator[Batch]:
    return StreamLoader(stream, loader).epoch(1)


def mixed(spec: SampleSpec) -> SampleSpec:
    """Every pair of windows is mixed, and half of the balls leave the picture."""
    assert spec.augment is not None
    augment = replace(spec.augment, mixup=MixupConfig(prob=0.7), shift=0.6, warp_prob=1.0)
    return replace(spec, augment=augment, sigma_cells=SIGMA)


@pytest.mark.parametrize(
    ("size", "cells"), [(STORED, CELLS), (SMALLER, ITS_CELLS), (Size(144, 80), Size(72, 40))]
)
@pytest.mark.parametrize("mixes", [False, True])
def test_targets_are_those_that_workers_draw_at_that_size(
    small_build: SmallBuild, spec: SampleSpec, size: Size, cells: Size, mixes: bool
) -> None:
    spec = mixed(spec) if mixes else replace(spec, sigma_cells=SIGMA)
    theirs = stream_of(small_build, replace(spec, heatmap_size=cells))
    late = stream_of(small_build, replace(spec, sizes=SIZES))
    balls = 0
    for one, other in zip(batches(theirs), batches(late), strict=True):
        assert other.heatmaps.shape == (8, 1, 0, 0)
        made = at_size(other, size, cells, SIGMA)
        # To the bit: weights of mixed windows, masks and the empty maps of balls that left too.
        assert made.heatmaps.numpy().tobytes() == one.heatmaps.numpy().tobytes()
        for name in set(TENSORS) - {"frames", "heatmaps", "to_frame"}:
            assert torch.equal(getattr(made, name).nan_to_num(-1), getattr(one, name).nan_to_num(-1)), name
        assert made.frames.shape == (8, 3, 3, size.height, size.width)
        assert (made.balls, made.mix) == (None, None)
        if size == STORED:
            assert made.frames is other.frames and torch.equal(made.to_frame, one.to_frame)
        balls += int((made.heatmaps.amax((-2, -1)) > 0.5).sum())
    assert balls > 20


def test_a_batch_is_that_of_raw_frames_of_that_size(small_build: SmallBuild, plain_spec: SampleSpec) -> None:
    """The other way round: labels scaled, and frames resized from the source, to that size at once."""
    spec = replace(plain_spec, sigma_cells=SIGMA)
    direct = RawFrames(small_build.clips(), replace(spec, input_size=SMALLER, heatmap_size=ITS_CELLS))
    stored = RawFrames(small_build.clips(), replace(spec, sizes=SIZES))
    for index in range(0, len(direct), 7):
        one, made = direct[index], at_size(stored[index], SMALLER, ITS_CELLS, SIGMA)
        np.testing.assert_allclose(made.heatmaps.float(), one.heatmaps.float(), atol=1e-3)
        np.testing.assert_allclose(made.to_frame, one.to_frame, atol=1e-9)
        # Two resizes against one: the dots of three pixels are a little softer.
        assert (made.frames.float() - one.frames.float()).abs().mean() < 3.0


@pytest.mark.parametrize("mode", ["threads", "processes"])
def test_workers_hand_over_where_the_balls_are(small_build: SmallBuild, spec: SampleSpec, mode: str) -> None:
    late = replace(mixed(spec), sizes=SIZES)
    loader = replace(LOADER, workers=2, mode=mode)  # type: ignore[arg-type]
    count = 0
    for one, other in zip(
        batches(stream_of(small_build, late)), batches(stream_of(small_build, late), loader), strict=True
    ):
        for name in ("balls", "mix", "weights"):
            assert getattr(one, name).numpy().tobytes() == getattr(other, name).numpy().tobytes()
        count += 1
    assert count == 8


def test_a_window_that_lacks_a_frame_has_an_empty_map_of_no_weight(
    small_build: SmallBuild, plain_spec: SampleSpec
) -> None:
    stream = stream_of(small_build, replace(plain_spec, sizes=SIZES))
    lose_row(stream, 12)
    masked = 0
    for batch in batches(stream, replace(LOADER, on_bad_frame="skip")):
        made = at_size(batch, SMALLER, ITS_CELLS, SIGMA)
        assert (made.weights[~made.valid] == 0).all()
        assert (made.heatmaps[~made.valid] == 0).all()
        masked += int((~made.valid).sum())
    assert masked == 3


@given(
    x=st.floats(12, 83),
    y=st.floats(12, 35),
    size=st.sampled_from([Size(72, 36), Size(80, 32), Size(128, 64)]),
)
def test_a_dot_is_found_where_geometry_says(x: float, y: float, size: Size) -> None:
    ys, xs = np.mgrid[: STORED.height, : STORED.width]
    dot = 30 + 220 * np.exp(-0.5 * ((xs - x) ** 2 + (ys - y) ** 2) / 2.0**2)
    frame = torch.from_numpy(dot.round().astype(np.uint8))[None, None, None].repeat(1, 1, 3, 1, 1)
    seen = resize_frames(frame, size)[0, 0, 1].double() - 30
    seen[seen < 6] = 0
    found = [
        float((seen * torch.arange(n)[shape]).sum() / seen.sum())
        for n, shape in ((size.width, (None,)), (size.height, (slice(None), None)))
    ]
    expected = transform_points(scaling(STORED, size), np.array([x, y]))
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.mark.parametrize("size", [Size(72, 36), Size(131, 70)])
def test_pixels_are_those_of_other_devices_within_a_level(size: Size) -> None:
    """CPUs compute in fixed point; and 50 frames are resampled in two goes."""
    frames = torch.randint(0, 256, (10, 5, 48, 96, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
    frames = frames.permute(0, 1, 4, 2, 3)
    found = resize_frames(frames, size)
    assert (found.dtype, found.shape) == (torch.uint8, (10, 5, 3, *reversed(size)))
    exact = F.interpolate(
        frames.flatten(0, 1).float(), tuple(reversed(size)), mode="bilinear", antialias=True
    )
    assert (found.flatten(0, 1).float() - exact).abs().max() <= 1.5
    # As the stored frames: channels innermost.
    assert found.stride()[2] == 1


def test_shrinking_does_not_alias() -> None:
    """Stripes of one pixel become grey at half the size, wherever they begin."""
    stripes = torch.zeros((1, 1, 3, 48, 96), dtype=torch.uint8)
    stripes[..., ::2] = 200
    for frames in (stripes, stripes.roll(1, -1)):
        half = resize_frames(frames, Size(48, 24))[..., 2:-2].int()
        assert (half - 100).abs().max() <= 2


def test_only_sizes_that_are_used_are_part_of_the_plan(small_build: SmallBuild, spec: SampleSpec) -> None:
    """Runs from before there were any can be resumed."""
    off, on = (stream_of(small_build, one).describe_plan() for one in (spec, replace(spec, sizes=SIZES)))
    assert not any("sizes" in key for key in off)
    assert on.pop("sample.sizes") == {"factors": [0.75, 1.0, 1.5], "order": "mixed", "full_share": 0.1}
    assert on == off
