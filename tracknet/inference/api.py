"""Prediction in one call, for people who write Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict, Unpack, get_args

from tracknet import __version__
from tracknet.inference.ball import Ball
from tracknet.inference.events import Sport
from tracknet.inference.finish import Finish
from tracknet.inference.frame_source import DEFAULT_FPS, FrameSource, open_frames
from tracknet.inference.heatmap_model import HeatmapModel, load_model
from tracknet.inference.pipeline import ALL_FRAMES, FrameRange, predict_points
from tracknet.inference.points import PointRows, balls_of
from tracknet.inference.predictions import Predictions
from tracknet.inference.predictor import Predictor
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.settings import TrajectoryConfig

CANDIDATES = 5


class Settings(TypedDict, total=False):
    """How a model is used; see `predictor.Predictor`."""

    device: str
    amp: str
    batch_size: int
    threshold: float | None
    overlap: str | None
    flip: bool
    candidates: int


def track(
    source: str | Path,
    model: HeatmapModel | str | Path,
    *,
    frames: tuple[int, int | None] | None = None,
    fps: float = DEFAULT_FPS,
    **settings: Unpack[Settings],
) -> Iterator[Ball]:
    """The ball in each frame, one after the other, while the source is read.

        for ball in tracknet.track("match.mp4", model):
            print(ball.time_s, ball.x, ball.y, ball.score)

    Args:
        source: a video, a folder of pictures, a camera (`"0"`), a URL, `"-"`: see `frame_source.open_frames`.
        model: a model, or what `tracknet.scripts.predict` takes for one.
        frames: only these, `(first, end)`; `None` as end is the source's own.
        fps: of a folder's pictures, which have no time of their own.
        settings: how the model is used: device, amp, batch_size, threshold, overlap, flip, candidates.

    Raises:
        UserError: source or model cannot be had; `RunError` where the source breaks on the way.
    """
    predictor, opened, wanted = _prepare(source, model, frames, fps, settings)
    return _balls(predictor, opened, wanted)


def predict(
    source: str | Path,
    model: HeatmapModel | str | Path,
    *,
    frames: tuple[int, int | None] | None = None,
    fps: float = DEFAULT_FPS,
    smooth: bool | TrajectoryConfig = False,
    events: Sport | None = None,
    **settings: Unpack[Settings],
) -> Predictions:
    """The ball in every frame of a source that ends.

        predictions = tracknet.predict("match.mp4", model)
        predictions.to_csv("match.csv")

    Arguments and errors are those of `track`, and

    Args:
        source: see `track`; `model`, `frames`, `fps` and `settings` likewise.
        smooth: follow the ball through each frame's best candidates; see `finish.smoothed`.
        events: mark hits and bounces of this sport; see `finish.with_events`.
    """
    if events is not None and events not in get_args(Sport):
        raise UserError(
            f"events={events!r}: there is no such sport", remedy=f"choose from {', '.join(get_args(Sport))}"
        )
    trajectory = (TrajectoryConfig() if smooth else None) if isinstance(smooth, bool) else smooth
    finish = Finish(trajectory, events)
    settings = {**settings, "candidates": max(settings.get("candidates", CANDIDATES), finish.candidates)}
    predictor, opened, wanted = _prepare(source, model, frames, fps, settings)
    rows = PointRows()
    for block in predict_points(opened, predictor, wanted):
        rows.add(block)
    if not len(rows):
        opened.close()
        raise RunError(nothing_in(opened, wanted))
    about = {**describe(opened, predictor, model, wanted), "notes": opened.notes()}
    return finish(Predictions.of_points(rows.joined(), predictor.threshold, about), predictor.threshold)


def describe(
    source: FrameSource,
    predictor: Predictor,
    model: HeatmapModel | str | Path,
    wanted: FrameRange,
) -> dict[str, Any]:
    """What makes predictions, as `Predictions.about` keeps it."""
    return {
        "source": source.name,
        "frame_rate": source.frame_rate,
        "frames": str(wanted),
        "model": str(model) if isinstance(model, str | Path) else type(model).__name__,
        **predictor.about(),
        "created_by": f"tracknet {__version__}",
    }


def nothing_in(source: FrameSource, wanted: FrameRange) -> str:
    """Why a source gave no rows."""
    if wanted == ALL_FRAMES:
        return f"{source.name} gave no frame" + "".join(f"; {note}" for note in source.notes())
    return f"{source.name} has no frame in {wanted}"


def _prepare(
    source: str | Path,
    model: HeatmapModel | str | Path,
    frames: tuple[int, int | None] | None,
    fps: float,
    settings: Settings,
) -> tuple[Predictor, FrameSource, FrameRange]:
    device = settings.get("device", "auto")
    loaded = load_model(model, device=device) if isinstance(model, str | Path) else model
    chosen: Settings = {"candidates": CANDIDATES, **settings}
    predictor = Predictor(loaded, **chosen)
    wanted = FrameRange(*(frames or (0, None)))
    return predictor, open_frames(source, fps=fps), wanted


def _balls(predictor: Predictor, source: FrameSource, wanted: FrameRange) -> Iterator[Ball]:
    for block in predict_points(source, predictor, wanted):
        yield from balls_of(block, predictor.threshold)
