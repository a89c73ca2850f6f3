"""Prediction gives what evaluation gives on the same frames, whatever the window, and does each frame's work once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.inference.conftest import untrained
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream
from tracknet.inference.points import PointBlock, read_points
from tracknet.inference.predictor import InputFrame, Predictor
from tracknet.inference.window_logits import WindowLogits
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision, resolve_device
from tracknet.training.evaluation import evaluation_spec, predict_split
from tracknet.training.metrics import Predictions as Evaluated
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import LoaderConfig

CPU = Precision.resolve("off", resolve_device("cpu"))


def noise(count: int, *, first: int = 0, size: Size = Size(96, 48)) -> list[InputFrame]:
    rng = np.random.default_rng(3)
    return [
        InputFrame(
            first + number,
            number / 30,
            rng.integers(0, 256, (size.height, size.width, 3), dtype=np.uint8),
            Size(1280, 720),
        )
        for number in range(count)
    ]


def points(predictor: Predictor, frames: list[InputFrame]) -> list[PointBlock]:
    heatmap = predictor.model.config.heatmap
    blocks = (read_points(block, heatmap, candidates=3) for block in predictor.heatmaps(frames))
    return [block for block in blocks if block is not None]


def joined(blocks: list[PointBlock], name: str) -> np.ndarray:
    return np.concatenate([getattr(block, name) for block in blocks])


def stored_frames(shards: ShardSet) -> Iterator[InputFrame]:
    """The frames of a split as they are stored; the second clip's numbers do not go on from the first's."""
    table = shards.table
    reader = ShardReader(shards)
    for row in range(len(table)):
        number = int(table.clip_id[row]) * 1000 + int(table.frame[row])
        size = Size(*table.source_size[row].tolist())
        yield InputFrame(number, 0.0, reader.read(row), size)


def evaluated(model: TrackNet, shards: ShardSet, **how: object) -> Evaluated:
    loader = StreamLoader(
        evaluation_stream(shards, evaluation_spec(model), batch_size=5), LoaderConfig(workers=0)
    )
    try:
        return predict_split(model, loader, CPU, decoders=["dark"], **how)["dark"]  # type: ignore[arg-type]
    finally:
        loader.close()


@pytest.mark.parametrize(
    ("window", "how"),
    [
        ({"frames": 1, "maps": "one"}, {}),
        ({"frames": 3, "maps": "one"}, {"flip": True}),
        ({"frames": 3, "maps": "one", "anchor": "last", "stride": 2}, {}),
        ({"frames": 3, "maps": "all"}, {}),
        ({"frames": 3, "maps": "all", "anchor": "last"}, {"overlap": "max"}),
        ({"frames": 5, "maps": "all", "stride": 3}, {"overlap": "weighted", "flip": True}),
        ({"frames": 4, "maps": "all"}, {"overlap": "none"}),
    ],
)
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_the_same_as_evaluation(small_shards: Path, window: dict, how: dict, batch: int):
    model, shards = untrained(**window), open_split(small_shards, "val")
    truth = evaluated(model, shards, **how)
    predictor = Predictor(model, device="cpu", batch_size=batch, **how)
    blocks = points(predictor, list(stored_frames(shards)))
    assert len(joined(blocks, "frame")) == len(truth.score) == 32
    np.testing.assert_allclose(joined(blocks, "score"), truth.score, atol=2e-5)
    np.testing.assert_allclose(joined(blocks, "xy_px"), truth.xy_px, atol=2e-2)
    # The maps do differ from frame to frame, so that a shift by one would show.
    assert np.abs(np.diff(truth.score)).mean() > 2e-4


def test_each_frame_goes_through_the_backbone_once(monkeypatch: pytest.MonkeyPatch):
    model = untrained(frames=5)
    seen: list[int] = []
    encode = model.backbone.forward
    monkeypatch.setattr(
        model.backbone, "forward", lambda pixels: (seen.append(len(pixels)), encode(pixels))[1]
    )
    points(Predictor(model, device="cpu", batch_size=4), noise(30))
    assert sum(seen) == 30


def test_held_are_a_batch_and_a_window_whatever_the_length():
    model = untrained(frames=5, stride=2)
    run = WindowLogits(model, CPU, flip=False, batch_size=4)
    held = []
    for _ in range(25):
        frames = torch.zeros(4, 3, 48, 96, dtype=torch.uint8)
        for _ in run.add(frames):
            pass
        assert run._frames is not None
        held.append(run._frames.untyped_storage().nbytes() // (3 * 48 * 96))
    assert max(held) <= 4 + (5 - 1) * 2


def test_no_window_reaches_over_a_gap():
    predictor = Predictor(untrained(frames=3), device="cpu", batch_size=4)
    frames = noise(14)
    gap = frames[:6] + frames[8:]
    blocks = points(predictor, gap)
    apart = points(predictor, frames[:6]) + points(predictor, frames[8:])
    assert joined(blocks, "frame").tolist() == [*range(6), *range(8, 14)]
    np.testing.assert_allclose(joined(blocks, "score"), joined(apart, "score"), atol=2e-5)
    whole = joined(points(predictor, frames), "score")
    assert np.abs(np.delete(whole, [6, 7]) - joined(blocks, "score")).max() > 1e-4


def test_fewer_frames_than_a_window_and_none():
    predictor = Predictor(untrained(frames=5), device="cpu", batch_size=4)
    assert joined(points(predictor, noise(2)), "frame").tolist() == [0, 1]
    assert points(predictor, []) == []


def test_a_model_that_cannot_be_split_gives_the_same():
    model = untrained(frames=3)

    class Whole:
        """What an exported file offers."""

        input_size, sequence, map_frames = model.input_size, model.sequence, model.map_frames
        num_maps, score_threshold, config = model.num_maps, model.score_threshold, model.config

        def __call__(self, frames: torch.Tensor) -> torch.Tensor:
            return model(frames)

    ours, theirs = (points(Predictor(m, device="cpu", flip=True), noise(11)) for m in (model, Whole()))
    np.testing.assert_allclose(joined(ours, "score"), joined(theirs, "score"), atol=2e-5)
    np.testing.assert_allclose(joined(ours, "xy_px"), joined(theirs, "xy_px"), atol=2e-2)


def test_places_are_in_each_frames_own_pixels():
    predictor = Predictor(untrained(), device="cpu")
    frames = noise(4)
    other = [*frames[:2], *(InputFrame(f.number, f.time_s, f.pixels, Size(96, 48)) for f in frames[2:])]
    large, mixed = joined(points(predictor, frames), "xy_px"), joined(points(predictor, other), "xy_px")
    np.testing.assert_allclose(mixed[:2], large[:2])
    np.testing.assert_allclose((large[2:] + 0.5) * [96 / 1280, 48 / 720] - 0.5, mixed[2:])


def test_one_map_cannot_be_combined(make_model: Callable[..., TrackNet]):
    with pytest.raises(UserError, match="--overlap mean"):
        Predictor(make_model(maps="one"), device="cpu", overlap="mean")
