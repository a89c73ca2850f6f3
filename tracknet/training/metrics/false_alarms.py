"""Detections on frames that are labelled as without a ball, which no other figure may hide."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.table import FrameTable
from tracknet.training.metrics.bootstrap import Weights, interval
from tracknet.training.metrics.counts import Codes, count, count_by, outcomes, ratios
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import design
from tracknet.utils.outcome import Outcome

# A ball does not leave the picture and come back within so few frames: it passes behind a racket or a player, or is
# smeared over blended frames, where a detection is often right and the label says that there is nothing.
BRIEF_FRAMES = 2


def false_alarms(predictions: Predictions, threshold: float, weights: Weights) -> dict[str, Any]:
    """How many frames of visibility 0 have a detection, and how many of those in brief absences and in others.

    Args:
        predictions: of a split.
        threshold: score from which a guess is a detection.
        weights: int32 `[R, clips]`, of the bootstrap.

    Returns:
        `empty_frames`, `false_alarms`, `rate` and its `interval` over clips (`None` of one clip); `brief` and
        `other`, each with `empty_frames`, `false_alarms` and `rate`.
    """
    codes = outcomes(predictions, design().with_all_frames(), threshold)
    _, clip = np.unique(predictions.frames.clip_id, return_inverse=True)
    per_clip = count_by(codes, clip, weights.shape[1])
    samples = ratios(weights.astype(np.float64) @ per_clip, "all_balls")["false_alarm_rate"]
    brief = brief_absences(predictions.frames)
    return {
        **_figures(codes),
        "interval": interval(samples) if weights.shape[1] > 1 else None,
        "brief_frames": BRIEF_FRAMES,
        "brief": _figures(codes[brief]),
        "other": _figures(codes[~brief]),
    }


def brief_absences(frames: FrameTable, most: int = BRIEF_FRAMES) -> npt.NDArray[np.bool_]:
    """`[N]`: frames without a ball, at most `most` in a row, with a ball right before and right after them.

    All of the same clip, and without a gap in the frames' numbers.

    Args:
        frames: in order within each clip, as evaluation gives them.
        most: frames in a row.
    """
    absent = frames.visibility == 0
    follows = np.zeros(len(frames), bool)
    follows[1:] = (np.diff(frames.clip_id) == 0) & (np.diff(frames.frame) == 1)
    # Pieces of frames that are alike and follow each other; each begins where the one before it ends.
    begins = np.flatnonzero(~follows | (np.diff(absent, prepend=~absent[:1]) != 0))
    ends = np.append(begins[1:], len(frames))
    brief = absent[begins] & (ends - begins <= most) & follows[begins]
    brief[:-1] &= follows[ends[:-1]]
    brief[-1:] = False  # nothing comes after the last
    return np.repeat(brief, ends - begins)


def _figures(codes: Codes) -> dict[str, Any]:
    counts = count(codes)
    empty, alarms = int(counts[Outcome.FP2] + counts[Outcome.TN]), int(counts[Outcome.FP2])
    return {
        "empty_frames": empty,
        "false_alarms": alarms,
        "rate": alarms / empty if empty else float("nan"),
    }
