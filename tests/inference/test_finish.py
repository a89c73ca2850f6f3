"""The ball's way and its events as columns of the rows of a whole source."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracknet.inference.finish import Finish, smoothed, with_events
from tracknet.inference.predictions import Predictions
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import TrajectoryConfig

FRAMES, THRESHOLD = 60, 0.5


def flight() -> Predictions:
    """A ball of 8 px a frame; frame 20 fires far away, frame 30 is faint, frames 40 and 41 see nothing."""
    places = np.stack([100.0 + 8 * np.arange(FRAMES), 300.0 - 2 * np.arange(FRAMES)], axis=1)
    candidates = np.stack([places, np.full_like(places, np.nan)], axis=1)
    scores = np.stack([np.full(FRAMES, 0.9), np.zeros(FRAMES)], axis=1)
    candidates[20] = [[1200.0, 700.0], places[20]]
    scores[20] = [0.95, 0.8]
    scores[30, 0] = 0.42
    candidates[40:42], scores[40:42] = np.nan, 0.0
    score = scores[:, 0]
    visible = score >= THRESHOLD
    x, y = np.where(visible[:, None], candidates[:, 0], np.nan).T
    return Predictions(
        frame=np.arange(FRAMES),
        time_s=np.arange(FRAMES) / 30,
        x=x,
        y=y,
        score=score,
        visible=visible,
        frame_size=Size(1280, 720),
        candidates_px=candidates,
        candidate_scores=scores,
        about={"source": "rally.mp4"},
    )


def test_the_ball_on_its_way_with_what_the_model_said_beside():
    raw = flight()
    way = smoothed(raw, TrajectoryConfig(fill_frames=2), THRESHOLD)
    assert (way.x[20], way.y[20], way.score[20]) == (260.0, 260.0, 0.8)
    assert way.visible[30] and way.score[30] == 0.42
    assert way.columns["filled"].nonzero()[0].tolist() == [40, 41]
    np.testing.assert_allclose(way.x[40:42], [420.0, 428.0])
    assert way.score[40] == 0.0
    for name in ("x", "y", "score", "visible"):
        np.testing.assert_array_equal(way.columns[f"{name}_raw"], getattr(raw, name))
    assert way.about["trajectory"]["fill_frames"] == 2
    assert list(way)[40].filled and not list(way)[39].filled


def test_nothing_asked_for_changes_nothing():
    raw = flight()
    assert Finish()(raw, THRESHOLD) is raw
    assert Finish().candidates == 0
    assert Finish(TrajectoryConfig(candidates=3)).candidates == 3


def test_events_are_marked_on_the_way(tmp_path: Path):
    raw = flight()
    # A bounce: down, and up again.
    y = 200.0 + 6 * np.abs(np.arange(FRAMES) - 30.0) * -1 + 180
    turned = replace(raw, x=100.0 + 8 * np.arange(FRAMES), y=y, visible=np.ones(FRAMES, bool))
    marked = with_events(turned, "tennis")
    events = marked.columns["event"]
    (at,) = np.flatnonzero(events)
    assert abs(at - 30) <= 2
    assert 0 < marked.columns["event_score"][at] <= 1
    assert marked.columns["event_score"][events == ""].max() == 0
    assert marked.about["events"] == "tennis"
    assert set(with_events(turned, "badminton").columns["event"]) == {"", "hit"}
    for form in ("csv", "parquet", "json"):
        again = Predictions.read(getattr(marked, f"to_{form}")(tmp_path / f"rally.{form}"))
        assert again.columns["event"].tolist() == events.tolist()
        np.testing.assert_allclose(again.columns["event_score"], marked.columns["event_score"], atol=1e-6)


def test_the_columns_of_a_way_survive_files(tmp_path: Path):
    way = smoothed(flight(), TrajectoryConfig(), THRESHOLD)
    for form in ("csv", "parquet", "json"):
        again = Predictions.read(getattr(way, f"to_{form}")(tmp_path / f"rally.{form}"))
        assert list(again.columns) == ["x_raw", "y_raw", "score_raw", "visible_raw", "filled"]
        assert again.columns["visible_raw"].dtype == bool
        np.testing.assert_allclose(again.columns["x_raw"], way.columns["x_raw"], atol=5e-3)


def test_frames_of_several_sizes_have_no_distances():
    with pytest.raises(RunError, match="several sizes"):
        smoothed(replace(flight(), frame_size=None), TrajectoryConfig(), THRESHOLD)
    with pytest.raises(RunError, match="several sizes"):
        with_events(replace(flight(), frame_size=None), "tennis")
