"""Where a model is good and where it fails: the same figures over parts of the frames."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.schema import Status, Visibility
from tracknet.datasets.table import NO_STATUS, FrameTable
from tracknet.training.metrics.bootstrap import Weights, interval
from tracknet.training.metrics.counts import Codes, count_by, is_ball, ratios
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import Protocol
from tracknet.utils.geometry import Size
from tracknet.utils.outcome import OUTCOMES

# Pixels a frame at 1280x720, so that pictures of other sizes fall into the same bins.
_SPEED_SPACE = Size(1280, 720)
_SPEED_EDGES_PX = (0.0, 5.0, 10.0, 20.0, 40.0)
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")

Parts = tuple[Sequence[str], npt.NDArray[Any]]
"""Names of the parts, and int `[N]`: the part of each frame, below 0 for none."""


_WITH_INTERVAL = ("recall", "f1")


def breakdowns(
    predictions: Predictions, protocol: Protocol, codes: Codes, weights: Weights
) -> dict[str, list[dict[str, Any]]]:
    """Figures by visibility, status, speed, region, game and clip; parts without frames are left out.

    Args:
        predictions: the frames.
        protocol: under which `codes` are.
        codes: int8 `[N]`, from `counts.outcomes`.
        weights: int32 `[R, C]`, of the bootstrap over clips.

    Returns:
        Of each part: `value`, `frames`, `balls` (the protocol's), the outcomes, the ratios, `intervals` of recall
        and F1 over clips (`None` for a part of one clip or without a ball), and `median_px`, the median error in
        frame pixels over all labelled balls, whatever their score.
    """
    frames = predictions.frames
    by = {
        "visibility": _by_visibility(frames),
        "status": _by_status(frames),
        "speed": _by_speed(frames),
        "region": _by_region(predictions),
        "game": _by_game(frames),
        "clip": _by_clip(frames),
    }
    return {name: _figures(predictions, protocol, codes, parts, weights) for name, parts in by.items()}


def ball_speed_px(frames: FrameTable) -> npt.NDArray[np.float64]:
    """How far the ball came since the frame before, in pixels at 1280x720: `[N]`, NaN where that is not known.

    Known where the frame and the one numbered one less of the same clip both have a ball.
    """
    at_space = frames.xy_px * (np.array(_SPEED_SPACE, np.float64) / frames.source_size)
    speed = np.full(len(frames), np.nan)
    follows = (np.diff(frames.clip_id) == 0) & (np.diff(frames.frame) == 1)
    step = np.hypot(*np.diff(at_space, axis=0).T)
    speed[1:][follows] = step[follows]
    return speed


def _figures(
    predictions: Predictions, protocol: Protocol, codes: Codes, parts: Parts, weights: Weights
) -> list[dict[str, Any]]:
    names, part = parts
    counts = count_by(codes, part, len(names))
    shares = ratios(counts, protocol.recall_of)
    frames = np.bincount(part[part >= 0], minlength=len(names))
    balls = np.bincount(part[(part >= 0) & is_ball(predictions, protocol)], minlength=len(names))
    # Without a ball one false alarm would make F1 0, as it is of a model that finds nothing.
    shares["f1"] = np.where(balls > 0, shares["f1"], np.nan)
    error = predictions.error_px
    measured = np.isfinite(error)
    _, clip = np.unique(predictions.frames.clip_id, return_inverse=True)
    rows = []
    for number, name in enumerate(names):
        if not frames[number]:
            continue
        errors = error[measured & (part == number)]
        rows.append(
            {
                "value": name,
                "frames": int(frames[number]),
                "balls": int(balls[number]),
                **{outcome: int(n) for outcome, n in zip(OUTCOMES, counts[number], strict=True)},
                **{figure: float(values[number]) for figure, values in shares.items()},
                "intervals": _intervals(codes[part == number], clip[part == number], protocol, weights)
                if balls[number]
                else None,
                "median_px": float(np.median(errors)) if len(errors) else float("nan"),
            }
        )
    return rows


def _intervals(
    codes: Codes, clip: npt.NDArray[Any], protocol: Protocol, weights: Weights
) -> dict[str, list[float] | None] | None:
    """Of a part's recall and F1, over the clips of the whole: one that a resample lacks is lacking here, too."""
    if len(np.unique(clip)) < 2:
        return None
    counts = count_by(codes, clip, weights.shape[1])
    samples = ratios(weights.astype(np.float64) @ counts, protocol.recall_of)
    return {name: interval(samples[name]) for name in _WITH_INTERVAL}


def _by_visibility(frames: FrameTable) -> Parts:
    return [code.name.lower() for code in Visibility], frames.visibility


def _by_status(frames: FrameTable) -> Parts:
    # NO_STATUS is below 0 already: frames without a ball, and labels without it.
    assert NO_STATUS < 0
    return [code.name.lower() for code in Status], frames.status


def _by_speed(frames: FrameTable) -> Parts:
    low = [f"{edge:g}" for edge in _SPEED_EDGES_PX]
    names = [f"{a}-{b} px/frame" for a, b in itertools.pairwise(low)]
    names += [f"{low[-1]} px/frame and more", "unknown"]
    speed = ball_speed_px(frames)
    part = np.where(np.isnan(speed), len(names) - 1, np.digitize(speed, _SPEED_EDGES_PX) - 1)
    return names, np.where(frames.visibility > 0, part, -1)


def _by_region(predictions: Predictions) -> Parts:
    """The third of the picture across and down: of the ball, and where there is none of the guess."""
    frames = predictions.frames
    xy = np.where(predictions.present[:, None], frames.xy_px, predictions.xy_px)
    # Pixel centres are at integers: the picture begins at -0.5. Guesses may lie outside it.
    third = np.floor((xy + 0.5) / frames.source_size * 3)
    known = np.isfinite(third).all(axis=1)
    column, row = np.clip(np.nan_to_num(third), 0, 2).astype(int).T
    names = [f"{row} {column}" for row in _ROWS for column in _COLUMNS]
    return names, np.where(known, row * 3 + column, -1)


def _by_game(frames: FrameTable) -> Parts:
    games = list(dict.fromkeys(game for game, _ in frames.clips))
    number = np.array([games.index(game) for game, _ in frames.clips], np.int64)
    return games, number[frames.clip_id]


def _by_clip(frames: FrameTable) -> Parts:
    return [f"{game}/{clip}" for game, clip in frames.clips], frames.clip_id
