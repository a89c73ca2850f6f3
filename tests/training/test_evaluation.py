"""A model over a split: every frame once, from all windows that see it, from both sides of the mirror."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import SMALL
from tracknet.datasets.batch import Batch
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream
from tracknet.models.mirrored import mirrored_average
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision, resolve_device
from tracknet.training.evaluation import evaluation_spec, predict_split
from tracknet.training.frame_views import frame_views
from tracknet.training.metrics import Predictions
from tracknet.training.model_evaluation import run_model
from tracknet.training.setup import prepare
from tracknet.utils.config import load_config
from tracknet.utils.errors import UserError
from tracknet.utils.settings import LoaderConfig

CPU = Precision.resolve("off", resolve_device("cpu"))


@pytest.fixture(scope="module")
def material(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrackNet, Path, ShardSet]:
    """An untrained model with a map per frame of five, and two clips of 16 frames."""
    overrides = [*SMALL, f"data.shards={small_shards}", "model.head.maps=all", "data.sequence.length=5"]
    config = load_config(data="tracknet", model="vit_tiny", training="cpu", overrides=overrides)
    model = prepare(config, say=lambda line: None).model
    folder = tmp_path_factory.mktemp("model") / "model"
    model.save_pretrained(folder)
    return TrackNet.from_pretrained(folder), folder, open_split(small_shards, "val")


def predicted(
    model: TrackNet, shards: ShardSet, *, batch_size: int, workers: int = 0, **how: object
) -> Predictions:
    stream = evaluation_stream(shards, evaluation_spec(model), batch_size=batch_size)
    loader = StreamLoader(stream, LoaderConfig(workers=workers))
    try:
        return predict_split(model, loader, CPU, decoders=["dark"], **how)["dark"]  # type: ignore[arg-type]
    finally:
        loader.close()


@pytest.mark.parametrize("overlap", ["mean", "max", "weighted"])
def test_batches_and_workers_change_nothing(material: tuple[TrackNet, Path, ShardSet], overlap: str):
    model, _, shards = material
    one = predicted(model, shards, batch_size=1, overlap=overlap)
    eight = predicted(model, shards, batch_size=8, workers=2, overlap=overlap)
    assert one.frames.keys == eight.frames.keys == shards.table.keys
    np.testing.assert_allclose(one.xy_px, eight.xy_px, atol=1e-2)
    np.testing.assert_allclose(one.score, eight.score, atol=1e-6)
    np.testing.assert_allclose(one.blob_score, eight.blob_score, atol=1e-4)


def test_the_scores_are_those_of_the_windows_own_maps(material: tuple[TrackNet, Path, ShardSet]):
    model, _, shards = material
    windows: list[torch.Tensor] = []

    def keep(step: int, batch: Batch, logits: torch.Tensor) -> None:
        windows.append(logits[batch.valid].sigmoid())

    mean = predicted(model, shards, batch_size=7, on_batch=keep)
    maps = torch.cat(windows)  # [32, 5, h, w], windows anchored by their middle
    # Frame 6 of the first clip is the first of window 8, the middle of window 6, the last of window 4.
    inner = torch.stack([maps[8 - position, position] for position in range(5)]).mean(0)
    assert mean.score[6] == pytest.approx(float(inner.max()), abs=1e-6)
    # The first frame of the second clip has no window before its own.
    first = torch.stack([maps[16 + 2 - position, position] for position in range(3)]).mean(0)
    assert mean.score[16] == pytest.approx(float(first.max()), abs=1e-6)
    own = predicted(model, shards, batch_size=7, overlap="none")
    assert own.score == pytest.approx(maps[:, 2].amax((-2, -1)).numpy(), abs=1e-6)
    assert np.abs(own.score - mean.score).max() > 1e-4


def test_a_mirrored_film_gives_the_mirrored_average_exactly(material: tuple[TrackNet, Path, ShardSet]):
    model, _, _ = material
    frames = torch.randint(
        0, 256, (2, 5, 3, 48, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    average = mirrored_average(model, frames)
    torch.testing.assert_close(mirrored_average(model, frames.flip(-1)), average.flip(-1), atol=1e-5, rtol=0)
    with torch.no_grad():
        straight, mirror = (model(f).sigmoid() for f in (frames, frames.flip(-1)))
    half = (straight[0, 0, 5, 7] + mirror[0, 0, 5, 48 - 1 - 7]) / 2
    assert float(average[0, 0, 5, 7].sigmoid()) == pytest.approx(float(half), abs=1e-6)
    assert (straight - mirror.flip(-1)).abs().max() > 1e-4


def test_pictures_show_the_maps_that_were_scored(material: tuple[TrackNet, Path, ShardSet]):
    _, folder, shards = material
    made = run_model(
        folder, shards, batch_size=8, workers=0, device="cpu", amp="off", overlap="weighted", flip=True
    )
    assert (made.origin.overlap, made.origin.flip) == ("weighted", True)
    rows = [0, 9, 15, 16, 31]
    views = frame_views(shards, made.predictions, rows, replace(made, batch_size=3))
    shown = [float(view.heatmap.max()) for view in views if view.heatmap is not None]
    assert shown == pytest.approx(made.predictions.score[rows].tolist(), abs=1e-5)
    plain = run_model(folder, shards, batch_size=8, workers=0, device="cpu", amp="off")
    assert (plain.origin.overlap, plain.origin.flip) == ("mean", False)
    assert np.abs(plain.predictions.score - made.predictions.score).max() > 1e-5


def test_one_map_cannot_be_combined(material: tuple[TrackNet, Path, ShardSet]):
    model, _, shards = material
    model.num_maps, several = 1, model.num_maps
    try:
        with pytest.raises(UserError, match="--overlap max"):
            predicted(model, shards, batch_size=4, overlap="max")
    finally:
        model.num_maps = several
