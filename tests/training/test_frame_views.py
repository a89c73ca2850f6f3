"""Chosen frames again: the same heatmaps as in the whole evaluation, from a fraction of the frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SMALL
from tracknet.datasets.index import open_split
from tracknet.datasets.shard_set import ShardSet
from tracknet.training.frame_views import frame_views
from tracknet.training.model_evaluation import ModelRun, run_model
from tracknet.training.setup import prepare
from tracknet.utils.config import load_config


@pytest.fixture(scope="module")
def evaluated(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardSet, ModelRun]:
    """An untrained model over the validation frames: its maps differ from frame to frame all the same."""
    folder = tmp_path_factory.mktemp("model")
    config = load_config(
        data="tracknet", model="vit_tiny", training="cpu", overrides=[*SMALL, f"data.shards={small_shards}"]
    )
    prepare(config, say=lambda line: None).model.save_pretrained(folder / "model")
    shards = open_split(small_shards, "val")
    return shards, run_model(folder / "model", shards, batch_size=4, workers=0, device="cpu", amp="off")


def test_views_are_of_the_frames_asked_for(evaluated: tuple[ShardSet, ModelRun]):
    shards, made = evaluated
    rows = [17, 0, 3, 15, 31]  # first and last of a clip, and one without a ball
    views = frame_views(shards, made.predictions, rows, replace(made, batch_size=3))
    assert [view.key for view in views] == [shards.table.keys[row] for row in rows]
    for row, view in zip(rows, views, strict=True):
        assert view.frame.shape == (48, 96, 3)
        assert view.heatmap is not None
        assert view.heatmap.shape == (24, 48)
        assert float(view.heatmap.max()) == pytest.approx(made.predictions.score[row], rel=1e-4)
        # 160x90 frames are stored at 96x48: centres scale about half a pixel.
        x, y = made.predictions.xy_px[row]
        expected = ((x + 0.5) * 96 / 160 - 0.5, (y + 0.5) * 48 / 90 - 0.5)
        assert view.predicted_xy_px == pytest.approx(expected)
    assert np.isnan(views[2].true_xy_px).all()
    assert len({round(float(made.predictions.score[row]), 7) for row in rows}) == len(rows)


def test_without_a_model_there_are_frames_only(evaluated: tuple[ShardSet, ModelRun]):
    shards, made = evaluated
    (view,) = frame_views(shards, made.predictions, [5])
    assert view.heatmap is None
    assert view.frame.any()
    assert frame_views(shards, made.predictions, [], made) == []


def test_only_what_is_needed_goes_through_the_model(evaluated: tuple[ShardSet, ModelRun], monkeypatch):
    shards, made = evaluated
    seen = []
    forward = made.model.forward
    monkeypatch.setattr(
        made.model, "forward", lambda frames, *more: seen.append(len(frames)) or forward(frames, *more)
    )
    frame_views(shards, made.predictions, [8], replace(made, batch_size=1))
    # Two frames to either side of it hold every window of three that holds it.
    assert sum(seen) == 5
