"""What the events model sees of a trajectory: the ball's path around one moment, free of frame size and rate.

The path is sampled at fixed times around the moment (30 Hz, the rate of the labelled broadcasts), not at the
neighbouring frames: a video of 25, 50 or 60 frames/s, or of a varying rate, gives the same numbers. Where in the
frame the ball is stays out: it gained 0-3 points in cross-validation, and would tie the net to one framing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.utils.geometry import Size

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

STEP_S = 1 / 30
BEFORE, AFTER = 11, 11
"""Samples before and after the moment. A flight between hit and bounce lasts 25 frames in the median, 9 at p5."""
OFFSETS_S = np.arange(-BEFORE, AFTER + 1) * STEP_S
BRIDGED_S = 1.6 * STEP_S
"""Two sightings this near count as an unbroken path between them: 24 frames/s and more."""
LOST_S = 0.35
"""A sample further than this from every sighting holds nothing."""
UNIT = 50 / 1280
"""Lengths are in this share of the frame's longer side: a fast ball's way in one sample."""


def sample_paths(
    time_s: FloatArray, x: FloatArray, y: FloatArray, moments_s: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
    """The ball's path at `OFFSETS_S` around every moment, on straight lines between sightings.

    Args:
        time_s: float64 [N], of the sightings, ascending; at least one.
        x: float64 [N], any unit.
        y: float64 [N], in the unit of `x`.
        moments_s: float64 [M].

    Returns:
        x, y float64 [M, K]; seen bool [M, K]: there is a sighting at that time, or one just before and one just
        after; held bool [M, K]: there is a sighting within `LOST_S`. Where not held x and y mean nothing.
    """
    at_s = moments_s[:, None] + OFFSETS_S
    last = len(time_s) - 1
    after = np.searchsorted(time_s, at_s).clip(min(1, last), last)
    before = (after - 1).clip(0)
    gap_s = time_s[after] - time_s[before]
    share = ((at_s - time_s[before]) / np.where(gap_s > 0, gap_s, 1.0)).clip(0.0, 1.0)
    nearest_s = np.minimum(np.abs(at_s - time_s[before]), np.abs(at_s - time_s[after]))
    inside = (at_s >= time_s[before]) & (at_s <= time_s[after])
    # A hundredth of a sample: times are read from files with a few decimals.
    seen = (nearest_s < 0.01 * STEP_S) | (inside & (gap_s <= BRIDGED_S))
    return (
        x[before] + share * (x[after] - x[before]),
        y[before] + share * (y[after] - y[before]),
        seen,
        nearest_s <= LOST_S,
    )


def describe_moments(
    time_s: FloatArray, x: FloatArray, y: FloatArray, moments_s: FloatArray, frame_size: Size
) -> Float32Array:
    """The numbers from which the net judges each moment: way, speed, direction, acceleration, and what was seen.

    Args:
        time_s: float64 [N], of the sightings, ascending; at least one.
        x: float64 [N], frame pixels.
        y: float64 [N], frame pixels.
        moments_s: float64 [M].
        frame_size: the frame that x and y are pixels of.

    Returns:
        float32 [M, NUM_FEATURES]. Speeds and ways are compressed by asinh: a far ball's turn is a tenth of a
        near one's, and both must show.

    """
    unit_px = UNIT * max(frame_size)
    x, y, seen, held = sample_paths(time_s, x / unit_px, y / unit_px, moments_s)
    here_x, here_y = x[:, BEFORE : BEFORE + 1], y[:, BEFORE : BEFORE + 1]
    both = held[:, 1:] & held[:, :-1]
    vx, vy = np.where(both, np.diff(x), 0.0), np.where(both, np.diff(y), 0.0)
    # The small constant lets a ball that stands still have no direction: 3 px at 1280.
    speed = np.hypot(vx, vy) + 0.06
    parts = (
        np.arcsinh(np.where(held, x - here_x, 0.0)),
        np.arcsinh(np.where(held, y - here_y, 0.0)),
        np.arcsinh(4.0 * vx),
        np.arcsinh(4.0 * vy),
        vx / speed,
        vy / speed,
        np.arcsinh(4.0 * np.diff(vx)),
        np.arcsinh(4.0 * np.diff(vy)),
        seen,
    )
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


NUM_FEATURES = 9 * len(OFFSETS_S) - 8
