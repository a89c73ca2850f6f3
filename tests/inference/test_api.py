"""`tracknet.track` and `tracknet.predict`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import tracknet
from tests.videos import pictures, write_video
from tracknet.inference import api
from tracknet.inference.frame_source import open_frames
from tracknet.inference.source_contract import FrameSource
from tracknet.utils.errors import RunError, UserError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "match.mp4", pictures(20))


def test_track_gives_what_predict_collects(model_folder: Path, video: Path):
    model = tracknet.TrackNet.from_pretrained(model_folder)
    balls = list(tracknet.track(video, model, device="cpu", batch_size=4))
    predictions = tracknet.predict(str(video), str(model_folder), device="cpu")
    assert [ball.frame for ball in balls] == predictions.frame.tolist() == list(range(20))
    np.testing.assert_allclose([ball.x for ball in balls], predictions.x, atol=2e-2)
    assert all(ball.visible and len(ball.candidates) > 1 for ball in balls)
    first = balls[0]
    assert (first.candidates[0].x, first.candidates[0].score) == (first.x, first.score)
    assert predictions.about["source"] == str(video)
    assert predictions.frame_size == (160, 90)


def test_only_a_part_and_another_threshold(model_folder: Path, video: Path):
    part = tracknet.predict(video, model_folder, frames=(5, 9), threshold=1.0, candidates=2, device="cpu")
    assert part.frame.tolist() == [5, 6, 7, 8]
    assert not part.visible.any()
    assert part.candidates_px is not None and part.candidates_px.shape == (4, 2, 2)
    rest = tracknet.predict(video, model_folder, frames=(15, None), device="cpu")
    assert rest.frame.tolist() == [15, 16, 17, 18, 19]


def test_whoever_stops_early_leaves_nothing_running(model_folder: Path, video: Path):
    before = threading.active_count()
    balls = tracknet.track(video, model_folder, device="cpu", batch_size=1)
    assert next(balls).frame == 0
    assert threading.active_count() > before
    balls.close()
    assert threading.active_count() <= before


def test_what_cannot_be_had_is_said_at_once(model_folder: Path, video: Path):
    with pytest.raises(UserError, match="no file or folder"):
        tracknet.track("none.mp4", model_folder, device="cpu")
    with pytest.raises(UserError, match="no model"):
        tracknet.track(video, Path("nowhere/at/all"), device="cpu")


def test_what_makes_no_sense_is_refused(model_folder: Path, video: Path):
    with pytest.raises(UserError, match="no such sport"):
        tracknet.predict(video, model_folder, events="golf", device="cpu")  # type: ignore[arg-type]
    for frames in ((9, 3), (-3, 5)):
        with pytest.raises(UserError, match=f"no frame lies in {frames[0]}:{frames[1]}: ") as wrong:
            tracknet.predict(video, model_folder, frames=frames, device="cpu")
        assert "--" not in str(wrong.value)  # no option of a command
    with pytest.raises(RunError, match="has no frame in 900:"):
        tracknet.predict(video, model_folder, frames=(900, None), smooth=True, device="cpu")
    with pytest.raises(UserError, match="from 0 to 1"):
        tracknet.predict(video, model_folder, threshold=7, device="cpu")
    for size in (0, -3):
        with pytest.raises(UserError, match=f"a batch size of {size}: at least 1"):
            tracknet.predict(video, model_folder, batch_size=size, device="cpu")
    with pytest.raises(UserError, match="-1 candidates"):
        tracknet.track(video, model_folder, candidates=-1, device="cpu")


def test_arguments_that_are_none_are_told_with_the_remedy():
    """Before anything is loaded: there is no such model."""
    for fps in (0, -5, float("nan"), float("inf"), "25"):
        with pytest.raises(UserError, match="fps must be above 0 and finite, got "):
            tracknet.predict("a.mp4", "none", fps=fps)  # type: ignore[arg-type]
    for timeout_s in (0, -1, float("inf"), float("nan"), "30"):
        with pytest.raises(UserError, match="timeout_s must be above 0 and finite, got ") as wrong:
            tracknet.predict("a.mp4", "none", timeout_s=timeout_s)  # type: ignore[arg-type]
        assert wrong.value.remedy == "None waits for ever"
    for frames in ((1,), (), 5, (0, 9, 2), slice(0, 9, 2), ("0", "3"), (None, 3), (0, True), "5", "a:b"):
        with pytest.raises(UserError, match="is no range"):
            tracknet.track("a.mp4", "none", frames=frames)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^frames 5 is no range"):
        tracknet.track("a.mp4", "none", frames="5")
    for source in (["a.mp4", "b.mp4"], None, 1.5, True, -1):
        with pytest.raises(UserError, match="is no source"):
            tracknet.predict(source, "none")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "frames", [[0, 3], "0:3", ":3", slice(3), slice(0, 3, 1), (np.int64(0), np.int64(3))]
)
def test_ranges_in_every_form_that_says_one(model_folder: Path, video: Path, frames: Any):
    assert tracknet.predict(video, model_folder, frames=frames, device="cpu").frame.tolist() == [0, 1, 2]


def test_a_cameras_pictures_are_not_gathered_into_batches(
    monkeypatch: pytest.MonkeyPatch, model_folder: Path, video: Path
):
    """A live picture is wanted now."""
    asked, at_once = [], []

    def opened(spec: str | Path, **how: Any) -> FrameSource:
        asked.append(spec)
        source = open_frames(video, **how)
        source.live = spec == "0"
        return source

    monkeypatch.setattr(api, "open_frames", opened)
    model = tracknet.TrackNet.from_pretrained(model_folder)
    model.head.register_forward_hook(lambda head, inputs, logits: at_once.append(len(logits)))
    assert [ball.frame for ball in tracknet.track(0, model, device="cpu")] == list(range(20))
    assert asked == ["0"]
    assert set(at_once) == {1}
    at_once.clear()
    assert len(list(tracknet.track(video, model, device="cpu"))) == 20
    assert max(at_once) > 1


@pytest.mark.parametrize("leave", ["closed", "dropped"])
def test_balls_that_nobody_asked_for_keep_no_camera(
    leave: str, monkeypatch: pytest.MonkeyPatch, model_folder: Path
):
    camera = Mock(live=True)
    monkeypatch.setattr(api, "open_frames", lambda spec, **how: camera)
    balls = tracknet.track(0, model_folder, device="cpu")
    camera.close.assert_not_called()
    if leave == "closed":
        balls.close()
    del balls
    camera.close.assert_called_once()


def test_the_source_is_not_drawn_over(model_folder: Path, video: Path):
    before = video.read_bytes()
    found = tracknet.predict(video, model_folder, frames=(0, 3), device="cpu")
    with pytest.raises(UserError, match="is the source itself"):
        found.draw(video)
    with pytest.raises(UserError, match="is an MP4"):
        found.draw(video.with_suffix(".avi"))
    assert video.read_bytes() == before
