"""Prediction in one call, for people who write Python."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast, get_args

from tracknet import __version__
from tracknet.inference.ball import Ball
from tracknet.inference.events import Sport
from tracknet.inference.finish import Finish
from tracknet.inference.frame_source import DEFAULT_FPS, open_frames
from tracknet.inference.heatmap_model import HeatmapModel, load_model
from tracknet.inference.live_pace import paced
from tracknet.inference.pipeline import ALL_FRAMES, FrameRange, predict_points
from tracknet.inference.points import PointRows, balls_of
from tracknet.inference.predictions import Predictions
from tracknet.inference.predictor import Predictor, usual_batch
from tracknet.inference.source_contract import FrameSource, StreamLost
from tracknet.utils.bounds import is_above_0
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.settings import TrajectoryConfig
from tracknet.utils.video_container import DEFAULT_TIMEOUT_S

CANDIDATES = 5
Frames = tuple[int, int | None] | slice | str | None


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
    source: str | Path | int,
    model: HeatmapModel | str | Path,
    *,
    frames: Frames = None,
    fps: float = DEFAULT_FPS,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **settings: Unpack[Settings],
) -> Generator[Ball]:
    """The ball in each frame, one after the other, while the source is read.

        for ball in tracknet.track("match.mp4", model):
            print(ball.time_s, ball.x, ball.y, ball.score)

    The source is open from the call on, until its end or until this generator is closed.

    Args:
        source: a video, a folder of pictures, a camera (`0`), a URL, `"-"`: see `frame_source.open_frames`.
        model: a model, or what `tracknet.scripts.predict` takes for one.
        frames: only these, `(first, end)`, `slice(first, end)` or `"first:end"`; `None` as end is the source's own.
        fps: of a folder's pictures, which have no time of their own.
        timeout_s: how long opening a URL, and each wait for a frame of it, may take; `None` for ever.
        settings: how the model is used: device, amp, batch_size, threshold, overlap, flip, candidates.

    Raises:
        UserError: source or model cannot be had; `RunError` where the source breaks on the way.
    """
    predictor, opened, wanted = _prepare(source, model, frames, fps, timeout_s, settings)
    balls = _balls(predictor, opened, wanted)
    next(balls)
    return cast("Generator[Ball]", balls)


def predict(
    source: str | Path | int,
    model: HeatmapModel | str | Path,
    *,
    frames: Frames = None,
    fps: float = DEFAULT_FPS,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    smooth: bool | TrajectoryConfig = False,
    events: Sport | None = None,
    **settings: Unpack[Settings],
) -> Predictions:
    """The ball in every frame of a source that ends.

        predictions = tracknet.predict("match.mp4", model)
        predictions.to_csv("match.csv")

    Arguments are those of `track`, and

    Args:
        source: see `track`, also for `model`, `frames`, `fps`, `timeout_s` and `settings`.
        smooth: follow the ball through each frame's best candidates; see `finish.smoothed`.
        events: mark hits and bounces of this sport; see `finish.with_events`.

    Raises:
        UserError: as `track`.
        RunError: as `track`, and where there is no frame. A live source that is lost on the way
            is no error once it gave frames, which cannot be had again: `about["notes"]` of what came then says how it
            ended.
    """
    if events is not None and events not in get_args(Sport):
        raise UserError(
            f"events={events!r}: there is no such sport", remedy=f"choose from {', '.join(get_args(Sport))}"
        )
    trajectory = (TrajectoryConfig() if smooth else None) if isinstance(smooth, bool) else smooth
    finish = Finish(trajectory, events)
    settings = {**settings, "candidates": max(settings.get("candidates", CANDIDATES), finish.candidates)}
    predictor, opened, wanted = _prepare(source, model, frames, fps, timeout_s, settings)
    rows, lost = PointRows(), []
    try:
        for block in predict_points(opened, predictor, wanted):
            rows.add(block)
    except StreamLost as error:
        if not len(rows):
            raise
        lost.append(error.what)  # what came cannot be had again
    if not len(rows):
        opened.close()
        raise RunError(nothing_in(opened, wanted))
    about = {**describe(opened, predictor, model, wanted), "notes": [*opened.notes(), *lost]}
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
    source: str | Path | int,
    model: HeatmapModel | str | Path,
    frames: Frames,
    fps: float,
    timeout_s: float | None,
    settings: Settings,
) -> tuple[Predictor, FrameSource, FrameRange]:
    spec, wanted = _spec(source), _wanted(frames)
    if not is_above_0(fps):
        raise UserError(
            f"fps must be above 0 and finite, got {fps!r}", remedy=f"fps={DEFAULT_FPS:g} is the default"
        )
    if timeout_s is not None and not is_above_0(timeout_s):
        raise UserError(
            f"timeout_s must be above 0 and finite, got {timeout_s!r}", remedy="None waits for ever"
        )
    patience_s = None if timeout_s is None else float(timeout_s)
    device = settings.get("device", "auto")
    loaded = load_model(model, device=device) if isinstance(model, str | Path) else model
    opened = open_frames(spec, fps=float(fps), timeout_s=patience_s)
    chosen: Settings = {"candidates": CANDIDATES, "batch_size": usual_batch(opened.live), **settings}
    try:
        predictor = Predictor(loaded, **chosen)
    except BaseException:
        opened.close()
        raise
    return predictor, paced(opened, batch_size=predictor.batch_size, say=_warn), wanted


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=2)


def _spec(source: str | Path | int) -> str | Path:
    if isinstance(source, int) and not isinstance(source, bool) and source >= 0:
        return str(source)
    if not isinstance(source, str | Path):
        raise UserError(
            f"{source!r} is no source",
            remedy="give one file, folder, camera's number or URL; of several, each in a call of its own",
        )
    return source


def _wanted(frames: Frames) -> FrameRange:
    if frames is None:
        return ALL_FRAMES
    if isinstance(frames, str):
        return FrameRange.parse(frames, "frames")
    if isinstance(frames, slice) and frames.step in (None, 1):
        frames = (frames.start or 0, frames.stop)
    pair: tuple[Any, ...] = tuple(frames) if isinstance(frames, tuple | list) else ()
    # numpy's whole numbers too, and no bool.
    whole = [hasattr(end, "__index__") and not isinstance(end, bool) for end in pair]
    if len(pair) != 2 or not whole[0] or not (whole[1] or pair[1] is None):
        raise UserError(
            f"frames={frames!r} is no range",
            remedy="frames=(100, 200) is the frames 100 to 199, (100, None) all from 100 on",
        )
    return FrameRange(int(pair[0]), None if pair[1] is None else int(pair[1]))


def _balls(predictor: Predictor, source: FrameSource, wanted: FrameRange) -> Generator[Ball | None]:
    """`None`, up to where closing the generator closes the source, and then the balls."""
    try:
        yield None
    except GeneratorExit:  # no frame was asked for; from then on the thread that reads the source closes it
        source.close()
        raise
    for block in predict_points(source, predictor, wanted):
        yield from balls_of(block, predictor.threshold)
