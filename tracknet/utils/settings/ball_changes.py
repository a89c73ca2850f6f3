"""The settings of `data.augment` that change the ball itself and what is around it. All of them are off by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracknet.utils.bounds import bounded


@dataclass(frozen=True)
class PasteConfig:
    """The ball is taken out of a window's frames and flies elsewhere in them, mirrored or not."""

    prob: float = bounded(0.0, 0.0, 1.0)
    """Of a window. One whose ball cannot be told from what is behind it stays as it is."""
    empty: bool = True
    """Windows without a ball too: they are lent that of frames nearby."""
    spread: float = bounded(0.15, 0.0, 1.0)
    """It comes to a place where the clip has its ball at another time, give or take so much of the picture's width."""


@dataclass(frozen=True)
class StreakConfig:
    """The ball alone is blurred along its own way, as by a longer exposure."""

    prob: float = bounded(0.0, 0.0, 1.0)
    exposure: float = bounded(0.8, above=0.0, high=2.0)
    """Longest, as a share of the time between two frames of the window."""
    label: Literal["centre", "leading"] = "centre"
    """What of a streak the data's labels mark: its middle (boxes), or the end that flies ahead (TrackNet's own)."""


@dataclass(frozen=True)
class OccludeConfig:
    """Something from elsewhere in the picture stands in front of the ball, or beside it."""

    prob: float = bounded(0.0, 0.0, 1.0)
    most_balls: float = bounded(4.0, 1.0, 20.0)
    """Its largest width and height, in ball diameters; the smallest is 1."""
    label: Literal["auto", "occluded", "absent"] = "auto"
    """How a ball that is hidden is labelled: visibility 3 in its place, or 0 without a place. `auto` does as the
    data do: 3 where any of the training frames is."""


@dataclass(frozen=True)
class MotionBlurConfig:
    """The whole picture is blurred along a line, all frames of the window alike. Labels stay."""

    prob: float = bounded(0.0, 0.0, 1.0)
    most_px: float = bounded(20.0, above=0.0, high=200.0)
    """Longest line, frame pixels."""


@dataclass(frozen=True)
class MixupConfig:
    """Two windows of a batch are laid over each other, pictures and targets (Zhang et al., ICLR 2018)."""

    prob: float = bounded(0.0, 0.0, 1.0)
    """Of a pair of windows: the first and the second of a batch, the third and the fourth, and so on."""
    alpha: float = bounded(0.4, above=0.0, high=100.0)
    """Both parameters of the Beta distribution that the shares are of; the larger, the more alike they are."""


@dataclass(frozen=True)
class ZoomConfig:
    """A window is magnified about its ball: the picture is cropped, and the ball larger."""

    prob: float = bounded(0.0, 0.0, 1.0)
    most: float = bounded(2.0, 1.0, 8.0)
    """Largest factor, log-uniform from 1 on."""
