"""What is said of the ball in one frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that may be the ball.

    Attributes:
        x: source pixels of the upright frame, pixel centres at whole numbers.
        y: source pixels, as `x`.
        score: the heatmap's value there, 0..1.
    """

    x: float
    y: float
    score: float


@dataclass(frozen=True, slots=True)
class Ball:
    """One frame's answer.

    Attributes:
        frame: its number in the source, from 0.
        time_s: since the source's first frame.
        x: source pixels of the upright frame, pixel centres at whole numbers; NaN where no ball is reported.
        y: source pixels, as `x`.
        score: the heatmap's highest value, 0..1, also where no ball is reported.
        visible: the score reaches the threshold.
        candidates: the heatmap's peaks, best first, whatever their score.
        event: `hit`, `bounce` or nothing, where events were looked for.
        filled: not seen but worked out from the frames around, where the trajectory was.
    """

    frame: int
    time_s: float
    x: float
    y: float
    score: float
    visible: bool
    candidates: tuple[Candidate, ...] = ()
    event: str = ""
    filled: bool = False
