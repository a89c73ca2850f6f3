"""What the workers leave to the model's device comes out as theirs: same draws, same labels, pixels within 2 levels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from tests.datasets.conftest import AUGMENT_CONFIGS, SmallBuild, lose_row
from tracknet.datasets.augmentations import SAME_COLOUR, draw_augmentation
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.faults import FrameFault
from tracknet.datasets.late_transforms import is_identity, transform_frames
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import training_stream
from tracknet.datasets.stream import WindowStream
from tracknet.datasets.topology import Topology
from tracknet.utils.config import load_config
from tracknet.utils.geometry import Size
from tracknet.utils.settings import AugmentConfig, LoaderConfig

CPU = torch.device("cpu")
LOADER = LoaderConfig(workers=0, lanes=4, run_length=4)
# Of OpenCV's rounding, in grey levels.
LARGEST = 2


def pictures(seed: int, size: Size) -> np.ndarray:
    """Two windows of two frames, each with edges and a gradient: uint8 `[2, 2, H, W, 3]`."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (2, 2, -(-size.height // 8), -(-size.width // 8), 3))
    frames = coarse.repeat(8, axis=2).repeat(8, axis=3)[:, :, : size.height, : size.width]
    return np.clip(frames + np.arange(size.width)[:, None] // 2, 0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    config=AUGMENT_CONFIGS,
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([Size(96, 48), Size(65, 33)]),
)
# Almost all of it outside the picture, whose one colour becomes a half in one channel.
@example(
    config=AugmentConfig(
        flip_prob=0.0,
        scale=0.0,
        shift=1.0,
        rotate_deg=0.0,
        brightness=0.085,
        contrast=0.0,
        saturation=0.11328125,
        hue_deg=0.5,
        prob=1.0,
        warp_prob=0.0,
    ),
    seed=0,
    size=Size(96, 48),
)
def test_pixels_are_those_of_the_workers(config: AugmentConfig, seed: int, size: Size) -> None:
    frames = pictures(seed, size)
    drawn = [draw_augmentation(config, size, np.random.default_rng([seed, n])) for n in range(2)]
    expected = np.stack([[one.apply(frame) for frame in w] for one, w in zip(drawn, frames, strict=True)])
    found = transform_frames(
        torch.from_numpy(frames).permute(0, 1, 4, 2, 3),
        torch.from_numpy(np.stack([one.matrix for one in drawn])),
        torch.from_numpy(np.stack([SAME_COLOUR if one.colour is None else one.colour for one in drawn])),
    )
    assert found.dtype == torch.uint8
    error = np.abs(found.permute(0, 1, 3, 4, 2).numpy().astype(int) - expected)
    # A colour map multiplies what the resampling rounds.
    colours = [SAME_COLOUR if one.colour is None else one.colour for one in drawn]
    gain = max(1.0, np.abs(np.stack(colours)[..., :3]).sum(axis=-1).max())
    assert error.max() <= LARGEST * gain
    # Outside the picture all is one colour, which is rounded alike or nowhere: no mean can be said of it.
    extent = (size.width, size.height)
    inside = [cv2.warpPerspective(np.ones(extent[::-1], np.uint8), one.matrix, extent) for one in drawn]
    assert (error * np.stack(inside)[:, None, :, :, None]).mean() < 0.2 * gain
    for one, w, workers in zip(drawn, found, expected, strict=True):
        if one.whole is not None and one.colour is None:
            np.testing.assert_array_equal(w.permute(0, 2, 3, 1).numpy(), workers)


class OnTheCpu(TorchDispatchMode):
    """Counts the float64 numbers that are computed on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == "cpu" and made.dtype == torch.float64:
            self.numbers += made.numel()
        return made


def test_the_device_makes_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a device without data: what the CPU computes are a few numbers a window."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no such device
    frames = torch.zeros((16, 3, 3, 288, 512), dtype=torch.uint8, device="meta")
    matrices = torch.eye(3, dtype=torch.float64).repeat(16, 1, 1)
    colours = torch.eye(3, 4, dtype=torch.float64).repeat(16, 1, 1)
    with OnTheCpu() as cpu:
        made = transform_frames(frames, matrices, colours)
    assert (made.shape, made.device.type) == (frames.shape, "meta")
    assert cpu.numbers < 16 * 100


def late(spec: SampleSpec) -> SampleSpec:
    return replace(spec, late=True)


def stream_of(build: SmallBuild, spec: SampleSpec, rank: int = 0, ranks: int = 1) -> WindowStream:
    topology = Topology(rank, ranks)
    return training_stream(build.open(), spec, LOADER, batch_size=8, seed=spec.seed, topology=topology)


def batches(stream: WindowStream, loader: LoaderConfig = LOADER, start: int = 0) -> Iterator[Batch]:
    return StreamLoader(stream, loader).epoch(1, start)


@pytest.mark.parametrize("per", ["window", "run"])
def test_the_same_batches_whoever_augments(small_build: SmallBuild, spec: SampleSpec, per: str) -> None:
    assert spec.augment is not None
    spec = replace(spec, augment=replace(spec.augment, per=per))
    workers, device = (stream_of(small_build, one) for one in (spec, late(spec)))
    assert workers.describe_plan() == device.describe_plan()
    raw = stream_of(small_build, replace(spec, augment=None))
    moved = 0
    for one, other, stored in zip(batches(workers), batches(device), batches(raw), strict=True):
        for name in set(TENSORS) - {"frames", "late_matrix", "late_colour"}:
            assert getattr(one, name).numpy().tobytes() == getattr(other, name).numpy().tobytes(), name
        assert torch.equal(other.frames, stored.frames)
        done, finished = one.to(CPU), other.to(CPU)
        assert torch.equal(done.frames, one.frames)
        error = (finished.frames.int() - one.frames.int()).abs()
        assert error.max() <= LARGEST
        moved += int((one.frames != stored.frames).any())
        # Once is enough.
        assert is_identity(finished.late_matrix, finished.late_colour)
        assert torch.equal(finished.to(CPU).frames, finished.frames)
    assert moved == device.num_steps


@pytest.mark.parametrize("mode", ["threads", "processes"])
def test_workers_and_a_resumption_change_nothing(
    small_build: SmallBuild, spec: SampleSpec, mode: str
) -> None:
    whole = [batch.to(CPU).frames for batch in batches(stream_of(small_build, late(spec)))]
    loader = replace(LOADER, workers=2, mode=mode)  # type: ignore[arg-type]
    resumed = [batch.to(CPU).frames for batch in batches(stream_of(small_build, late(spec)), loader, 3)]
    assert len(resumed) == len(whole) - 3 > 0
    assert all(torch.equal(one, other) for one, other in zip(whole[3:], resumed, strict=True))


def test_ranks_together_see_what_one_process_sees(small_build: SmallBuild, spec: SampleSpec) -> None:
    whole = [batch.to(CPU).frames for batch in batches(stream_of(small_build, late(spec)))]
    parts = [
        [batch.to(CPU).frames for batch in batches(stream_of(small_build, late(spec), rank, 4))]
        for rank in range(4)
    ]
    for number, frames in enumerate(whole):
        assert torch.equal(torch.cat([part[number] for part in parts]), frames)


def test_a_masked_window_stays_masked(small_build: SmallBuild, spec: SampleSpec) -> None:
    stream = stream_of(small_build, late(spec))
    lose_row(stream, 12)
    loader = replace(LOADER, on_bad_frame="skip")
    masked = 0
    for batch in batches(stream, loader):
        done = batch.to(CPU)
        assert torch.equal(done.valid, batch.valid)
        assert all(fault == FrameFault("bad", 12, "row 12 is damaged") for fault in done.faults)
        assert (done.weights[~done.valid] == 0).all()
        masked += int((~done.valid).sum())
    assert masked == 3


@pytest.mark.parametrize(
    ("by", "device", "expected"),
    [
        ("auto", "cpu", False),
        ("auto", "cuda", True),
        ("workers", "cuda", False),
        ("device", "cpu", True),
        ("auto", "mps", False),
    ],
)
def test_who_augments(by: str, device: str, expected: bool) -> None:
    config = load_config(overrides=[f"data.augment.by={by}"])
    assert SampleSpec.for_training(config, Size(512, 288), device).late is expected
    off = load_config(overrides=[f"data.augment.by={by}", "data.augment.enabled=false"])
    assert not SampleSpec.for_training(off, Size(512, 288), device).late
