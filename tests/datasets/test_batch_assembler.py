"""What a training step gets: pictures, targets, weights, and the way back to the frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.datasets.conftest import CELLS, STORED, table_of
from tracknet.datasets.augmentations import Augmentation
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.reader import CachedFrames, Frame
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import make_windows
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.heatmap import decode_dark
from tracknet.utils.settings import AugmentConfig, SequenceConfig

FRAME = Size(160, 90)
MOVES = AugmentConfig(scale=0.3, shift=0.3, rotate_deg=25.0)
NO_COLOUR = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue_deg": 0.0}


class Painted:
    """Frames of one colour each: row `r` is (r, 2 r, 255 - r)."""

    def __init__(self) -> None:
        self.reads: Counter[int] = Counter()

    def read(self, row: int) -> Frame:
        self.reads[row] += 1
        frame = np.empty((STORED.height, STORED.width, 3), np.uint8)
        frame[:] = (row, 2 * row, 255 - row)
        frame.flags.writeable = False
        return frame


def table_with(xy: list[tuple[float, float] | None], visibility: list[int]) -> FrameTable:
    points = np.array([(np.nan, np.nan) if p is None else p for p in xy], np.float64)
    table = table_of(list(range(len(xy))), size=FRAME)
    return replace(table, xy_px=points, visibility=np.array(visibility, np.int8))


def assemble(
    table: FrameTable, spec: SampleSpec, windows: list[int] | None = None, *, epoch: int = 0
) -> Batch:
    ids = np.arange(len(table)) if windows is None else np.array(windows)
    assembler = BatchAssembler(table, make_windows(table, spec.sequence), spec)
    return assembler.assemble(Painted(), ids, epoch=epoch)


@pytest.mark.parametrize("length", [1, 3, 4])
@pytest.mark.parametrize("maps", ["one", "all"])
def test_shapes_and_types(plain_spec: SampleSpec, length: int, maps: str) -> None:
    sequence = SequenceConfig(length)
    count = length if maps == "all" else 1
    positions = tuple(range(length)) if maps == "all" else (length // 2,)
    batch = assemble(
        table_of([0, 1, 2, 3, 4, 5]), replace(plain_spec, sequence=sequence, map_frames=positions), [1, 4]
    )
    found = {name: (tuple(getattr(batch, name).shape), getattr(batch, name).dtype) for name in TENSORS}
    assert found == {
        "frames": ((2, length, 3, 48, 96), torch.uint8),
        "heatmaps": ((2, count, 24, 48), torch.float16),
        "weights": ((2, count), torch.float32),
        "xy_px": ((2, count, 2), torch.float32),
        "visibility": ((2, count), torch.uint8),
        "to_frame": ((2, 3, 3), torch.float64),
        "late_matrix": ((2, 3, 3), torch.float64),
        "late_colour": ((2, 3, 4), torch.float64),
        "rows": ((2, count), torch.int64),
        "valid": ((2,), torch.bool),
        "padded": ((2,), torch.bool),
    }
    assert len(batch) == 2


def test_each_frame_is_where_its_window_says(plain_spec: SampleSpec) -> None:
    batch = assemble(table_of([0, 1, 2], [0, 1, 2]), plain_spec)
    expected = [[0, 0, 1], [0, 1, 2], [1, 2, 2], [3, 3, 4], [3, 4, 5], [4, 5, 5]]
    for channel, value in enumerate([lambda r: r, lambda r: 2 * r, lambda r: 255 - r]):
        pixels = batch.frames[:, :, channel].flatten(2)
        assert (pixels == pixels[..., :1]).all()
        assert pixels[..., 0].tolist() == [[value(row) for row in rows] for rows in expected]
    assert batch.padded.tolist() == [True, False, True, True, False, True]
    assert batch.rows.tolist() == [[0], [1], [2], [3], [4], [5]]
    assert batch.valid.all()


def test_a_repeated_frame_is_read_once(plain_spec: SampleSpec) -> None:
    table, source = table_of([0]), Painted()
    spec = replace(plain_spec, sequence=SequenceConfig(5), map_frames=(2,))
    BatchAssembler(table, make_windows(table, spec.sequence), spec).assemble(source, np.array([0]))
    assert source.reads == {0: 1}


def test_without_augmentation_the_peak_is_at_the_scaled_label(plain_spec: SampleSpec) -> None:
    spec = replace(plain_spec, sigma_cells=1.5)
    points = [(40.25, 30.5), (100.0, 60.75), (0.0, 0.0), (159.0, 89.0)]
    batch = assemble(table_with(points, [1] * 4), spec)
    found = decode_dark(torch.logit(batch.heatmaps.float().clamp(1e-6, 1 - 1e-6)), 1.5).squeeze(1)
    expected = (np.array(points) + 0.5) * [48 / 160, 24 / 90] - 0.5
    np.testing.assert_allclose(found[:2], expected[:2], atol=0.02)
    # Those at the corners are less than half a cell outside the outermost centres.
    np.testing.assert_allclose(found[2:], expected[2:], atol=0.1)
    assert batch.heatmaps.amax() <= 1.0
    # The nearest cell is at most half a diagonal from the peak.
    assert batch.heatmaps.amax(dim=(2, 3)).min() > np.exp(-0.5 * 0.5 / 1.5**2) - 1e-3


def dots_of(points: np.ndarray) -> list[np.ndarray]:
    """Stored frames with a white dot where the label, in frame pixels, says."""
    pictures = []
    for x, y in transform_points(scaling(FRAME, STORED), points):
        picture = np.zeros((STORED.height, STORED.width, 3), np.uint8)
        ys, xs = np.mgrid[: STORED.height, : STORED.width]
        picture[:] = np.round(255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 2.5**2)))[..., None]
        pictures.append(picture)
    return pictures


def test_pictures_and_targets_are_augmented_together(spec: SampleSpec) -> None:
    """The dot in the augmented picture, the peak of the target and the way back agree."""
    rng = np.random.default_rng(1)
    points = rng.uniform([30, 20], [130, 70], (40, 2))
    table, pictures = table_with([(x, y) for x, y in points], [1] * 40), dots_of(points)

    class Dots:
        def read(self, row: int) -> Frame:
            return pictures[row]

    moves = replace(MOVES, shift=0.1, **NO_COLOUR)
    spec = replace(spec, augment=moves, sigma_cells=1.5, sequence=SequenceConfig(1), map_frames=(0,))
    assembler = BatchAssembler(table, make_windows(table, spec.sequence), spec)
    batch = assembler.assemble(Dots(), np.arange(40), epoch=2)
    peaks = decode_dark(torch.logit(batch.heatmaps.float().clamp(1e-6, 1 - 1e-6)), 1.5)[:, 0].numpy()
    peaks_input = transform_points(scaling(CELLS, STORED), peaks)
    compared = 0
    for window in range(40):
        back = transform_points(batch.to_frame[window].numpy(), peaks_input[window])
        assert np.hypot(*(back - points[window])) < 0.2
        x, y = peaks_input[window]
        if not (10 < x < STORED.width - 11 and 10 < y < STORED.height - 11):
            continue
        white = (batch.frames[window, 0].float().mean(0).numpy() - 40).clip(0)
        # The border that comes into the picture is grey: only the dot is above it.
        patch = white[int(y) - 8 : int(y) + 10, int(x) - 8 : int(x) + 10]
        mass = np.where(patch > 100, patch, 0)
        ys, xs = np.mgrid[: mass.shape[0], : mass.shape[1]]
        dot = np.array([(mass * xs).sum(), (mass * ys).sum()]) / mass.sum() + [int(x) - 8, int(y) - 8]
        assert np.hypot(*(dot - (x, y))) < 0.25
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("augment", [None, MOVES])
def test_to_frame_maps_input_points_back(spec: SampleSpec, augment: AugmentConfig | None) -> None:
    spec = replace(spec, augment=augment)
    table = table_of(list(range(20)), size=FRAME)
    batch = assemble(table, spec, epoch=1)
    from tracknet.datasets.augmentations import IDENTITY, draw_augmentation
    from tracknet.datasets.plan import window_rng

    for window, matrix in enumerate(batch.to_frame.numpy()):
        drawn = IDENTITY
        if augment is not None:
            drawn = draw_augmentation(augment, STORED, window_rng(spec.seed, 1, window))
        frame_points = np.array([[0.0, 0.0], [159.0, 89.0], [12.25, 70.5]])
        stored = (frame_points + 0.5) * [96 / 160, 48 / 90] - 0.5
        back = transform_points(matrix, transform_points(drawn.matrix, stored))
        np.testing.assert_allclose(back, frame_points, atol=1e-6)


def test_frames_of_several_sizes_share_a_batch(plain_spec: SampleSpec) -> None:
    table = table_of([0], [0])
    table = replace(table, source_size=np.array([[160, 90], [1280, 720]], np.int32))
    batch = assemble(table, plain_spec)
    centre = (np.array(STORED) - 1) / 2
    for matrix, size in zip(batch.to_frame.numpy(), ((160, 90), (1280, 720)), strict=True):
        np.testing.assert_allclose(transform_points(matrix, centre), (np.array(size) - 1) / 2, atol=1e-9)


def test_weights_follow_the_visibility(plain_spec: SampleSpec) -> None:
    table = table_with([None, (50, 40), (60, 50), (70, 60)], [0, 1, 2, 3])
    batch = assemble(table, replace(plain_spec, class_weights=(0.125, 1.0, 0.5, 0.25)))
    assert batch.weights.tolist() == [[0.125], [1.0], [0.5], [0.25]]
    assert batch.visibility.tolist() == [[0], [1], [2], [3]]
    assert [bool(n) for n in batch.heatmaps.amax(dim=(1, 2, 3))] == [False, True, True, True]
    assert torch.isnan(batch.xy_px[0]).all()
    assert batch.xy_px[1:].tolist() == [[[50.0, 40.0]], [[60.0, 50.0]], [[70.0, 60.0]]]


def test_all_maps_have_their_own_frames_ball_and_weight(plain_spec: SampleSpec) -> None:
    table = table_with([(50, 40), None, (60, 50)], [1, 0, 2])
    spec = replace(plain_spec, map_frames=(0, 1, 2), class_weights=(0.0, 1.0, 0.5, 1.0))
    batch = assemble(table, spec, [1])
    assert batch.rows.tolist() == [[0, 1, 2]]
    assert batch.weights.tolist() == [[1.0, 0.0, 0.5]]
    peaks = [np.unravel_index(int(m.argmax()), (24, 48)) for m in batch.heatmaps[0]]
    assert peaks[0] == (round(40.5 * 24 / 90 - 0.5), round(50.5 * 48 / 160 - 0.5))
    assert peaks[2] == (round(50.5 * 24 / 90 - 0.5), round(60.5 * 48 / 160 - 0.5))
    assert batch.heatmaps[0, 1].abs().max() == 0


@pytest.mark.parametrize("absent_weight", [0.0, 1.0])
def test_a_ball_that_augmentation_moves_out_is_absent(spec: SampleSpec, absent_weight: float) -> None:
    # Without a flip a ball at the right border leaves the picture when that moves right by more than a pixel.
    moves = AugmentConfig(flip_prob=0.0, scale=0.0, rotate_deg=0.0, shift=0.4)
    table = table_with([(155.0, 45.0)] * 60, [1] * 60)
    spec = replace(spec, augment=moves, class_weights=(absent_weight, 0.75, 1.0, 1.0))
    batch = assemble(table, spec)
    in_input = [transform_points(np.linalg.inv(matrix), (155.0, 45.0)) for matrix in batch.to_frame.numpy()]
    inside = torch.tensor([STORED.contains(x, y) for x, y in in_input])
    assert 10 < inside.sum() < 50
    assert (batch.weights[inside] == 0.75).all()
    assert (batch.weights[~inside] == absent_weight).all()
    drawn = batch.heatmaps.amax(dim=(1, 2, 3)) > 0
    assert torch.equal(drawn, inside)
    # What is true of the frame stays true.
    assert (batch.visibility == 1).all()
    assert (batch.xy_px[:, 0, 0] == 155.0).all()


def test_augmentation_depends_on_seed_epoch_and_window_alone(spec: SampleSpec) -> None:
    table = table_of(list(range(12)))
    whole = assemble(table, spec, epoch=3)
    alone = assemble(table, spec, [7], epoch=3)
    assert_equal(Batch.cat([take(whole, 7)]), alone)
    for other in (assemble(table, spec, [7], epoch=4), assemble(table, replace(spec, seed=1), [7], epoch=3)):
        assert not torch.equal(other.to_frame, alone.to_frame)
    assert len(np.unique(whole.to_frame.numpy().round(9), axis=0)) == 12


def test_windows_of_a_piece_are_augmented_alike_and_each_frame_is_read_and_warped_once(
    spec: SampleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    warps: list[int] = []
    apply = Augmentation.apply

    def counted(self: Augmentation, frame: Frame, out: Frame | None = None) -> Frame:
        warps.append(int(frame[0, 0, 0]))
        return apply(self, frame, out)

    monkeypatch.setattr(Augmentation, "apply", counted)
    assert spec.augment is not None
    spec = replace(spec, augment=replace(spec.augment, per="run"))
    table, ids = table_of(list(range(12))), np.arange(2, 8)
    draws = np.array([2, 2, 2, 2, 6, 6])
    assembler = BatchAssembler(table, make_windows(table, spec.sequence), spec)
    source = CachedFrames(Painted(), 20)
    batch = assembler.assemble(source, ids, epoch=3, draws=draws)
    matrices = batch.to_frame.numpy()
    assert all(np.array_equal(matrices[i], matrices[0]) for i in range(4))
    assert np.array_equal(matrices[4], matrices[5])
    assert not np.allclose(matrices[0], matrices[4])
    # Windows 2..5 have frames 1..6, windows 6..7 frames 5..8: each once in its own version.
    assert warps == [1, 2, 3, 4, 5, 6, 5, 6, 7, 8]
    assert source.decodes == 10
    # As without a cache, and for the piece's first window as drawn for itself.
    assert_equal(assembler.assemble(Painted(), ids, epoch=3, draws=draws), batch)
    assert_equal(take(batch, 0), assembler.assemble(Painted(), ids[:1], epoch=3))
    per_window = replace(spec, augment=replace(spec.augment, per="window"))
    other = BatchAssembler(table, make_windows(table, spec.sequence), per_window)
    assert_equal(other.assemble(Painted(), ids, epoch=3, draws=draws), batch)


def take(batch: Batch, index: int) -> Batch:
    names = list(TENSORS)
    return replace(batch, **{name: getattr(batch, name)[index : index + 1] for name in names})


def assert_equal(one: Batch, other: Batch) -> None:
    assert (one.step, one.faults) == (other.step, other.faults)
    for name in TENSORS:
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype, name
        assert torch.equal(torch.nan_to_num(a, nan=-1e6), torch.nan_to_num(b, nan=-1e6)), name


def test_pictures_are_those_of_opencvs_warp(spec: SampleSpec) -> None:
    """The whole transform once more, from the matrix that the batch hands out."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (STORED.height, STORED.width, 3), dtype=np.uint8)

    class One:
        def read(self, row: int) -> Frame:
            return picture

    table = table_of([0], size=FRAME)
    spec = replace(spec, augment=AugmentConfig(scale=0.2, shift=0.1, rotate_deg=10, **NO_COLOUR))
    batch = BatchAssembler(table, make_windows(table, spec.sequence), spec).assemble(One(), np.array([0]))
    matrix = np.linalg.inv(batch.to_frame[0].numpy()) @ scaling(STORED, FRAME)
    expected = cv2.warpAffine(picture, matrix[:2], tuple(STORED), borderValue=(124, 116, 104))
    found = batch.frames[0, 0].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1
