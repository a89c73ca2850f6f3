"""The ball's way through a video, found among the candidates of its frames; an option, with its own columns.

    1 lock-on       what does not move while something else does is no candidate        (lock_on.py)
    2 gate          from frame to frame a ball goes no farther than it can               (ball_path.py)
    3 candidates    of several per frame the one that fits the motion                    (ball_path.py)
    4 hysteresis    a faint candidate that fits the motion counts, a lone one must be sure
    5 gaps          frames without a candidate inside a track get a point between its neighbours

What each is worth on real video is in benchmarks/results/trajectory. Positions are as the model found them: averaging
them over time was measured too, and is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.inference.ball_path import PathCosts, best_path
from tracknet.inference.lock_on import Spots
from tracknet.utils.geometry import Size
from tracknet.utils.settings import TrajectoryConfig

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# A score says no more than this: log-odds of 0.02 or 0.98 against 0.5.
_MOST_LOG_ODDS = 4.0
# Nothing is known of where a ball is after so long, whatever the frame rate.
_LONGEST_LINK_S = 0.25
# A track of less may be of anything; a stroke in badminton or tennis lasts longer.
_FLIGHT_S = 0.3
# 3 px at 1280x720: a spot that stays put jitters by less.
_SPOT_RADIUS_DIAGONALS = 0.002


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One ball or none in each of N frames.

    Attributes:
        x: float64 `[N]`, source pixels, NaN where there is no ball.
        y: float64 `[N]`, source pixels, NaN where there is no ball.
        visible: bool `[N]`, there is a ball; filled ones are among them.
        filled: bool `[N]`, its place is between its neighbours', and nothing was seen there.
        candidate: int64 `[N]`, which candidate it is, -1 for none.
        track: int64 `[N]`, number of the uninterrupted track, from 0 on in time; -1 where there is no ball.
    """

    x: FloatArray
    y: FloatArray
    visible: BoolArray
    filled: BoolArray
    candidate: IntArray
    track: IntArray


def track(
    time_s: npt.ArrayLike,
    candidates_xy: npt.ArrayLike,
    scores: npt.ArrayLike,
    config: TrajectoryConfig,
    *,
    threshold: float,
    frame_size: Size,
) -> Trajectory:
    """Finds the ball's way: one row per frame, in the same order.

    Args:
        time_s: `[N]`, ascending.
        candidates_xy: `[N, K, 2]` (x, y) in source pixels, the best first; NaN where there are fewer.
        scores: `[N, K]`, 0..1.
        config: the steps and what they cost.
        threshold: score from which a candidate by itself is a ball: the model's.
        frame_size: of the source, which all distances are relative to.

    Raises:
        ValueError: shapes do not fit, or time runs backwards.
    """
    time_s, xy_px, scores = (np.asarray(a, np.float64) for a in (time_s, candidates_xy, scores))
    if scores.ndim != 2 or xy_px.shape != (*scores.shape, 2) or time_s.shape != scores.shape[:1]:
        raise ValueError(
            f"expected [N], [N, K, 2] and [N, K], got {time_s.shape}, {xy_px.shape} and {scores.shape}"
        )
    if not np.isfinite(time_s).all() or (np.diff(time_s) < 0).any():
        raise ValueError("time_s must be finite and must not run backwards")
    xy_px, scores = xy_px[:, : config.candidates], scores[:, : config.candidates]
    xy = xy_px / np.hypot(*frame_size)
    gain = np.clip(_log_odds(scores) - _log_odds(threshold), -_MOST_LOG_ODDS, _MOST_LOG_ODDS)
    # Less than this is not made good by the links on both sides.
    gain[(gain < -2 * config.hysteresis) | ~np.isfinite(scores)] = -np.inf
    costs = _costs(config)
    if config.lock_on_s is not None:
        gain[_false_spots(time_s, xy, gain, costs, config.lock_on_s)] = -np.inf
    candidate, number = best_path(time_s, xy, gain, costs)
    seen = candidate >= 0
    points = np.full((len(time_s), 2), np.nan)
    points[seen] = xy_px[seen, candidate[seen]]
    filled = _fill(time_s, points, number, config.fill_frames)
    return Trajectory(points[:, 0], points[:, 1], seen | filled, filled, candidate, number)


def _costs(config: TrajectoryConfig) -> PathCosts:
    return PathCosts(
        max_speed=config.max_speed,
        max_gap=config.max_gap,
        max_gap_s=_LONGEST_LINK_S,
        start=config.start_cost,
        linked=config.hysteresis,
        turn=config.turn_cost,
        turn_scale=config.turn_speed,
    )


def _false_spots(
    time_s: FloatArray, xy: FloatArray, gain: FloatArray, costs: PathCosts, least_s: float
) -> BoolArray:
    """Which candidates stay in their place while a ball flies: bool `[N, K]`."""
    spots = Spots.find(time_s, xy, radius=_SPOT_RADIUS_DIAGONALS, least_s=least_s)
    if not spots.still.any():
        return spots.still
    _, number = best_path(time_s, xy, np.where(spots.still, -np.inf, gain), costs)
    on_track = np.flatnonzero(number >= 0)
    begins, frames = np.unique(number[on_track], return_index=True, return_counts=True)[1:]
    first, last = on_track[begins], on_track[begins + frames - 1]
    flies = np.repeat(time_s[last] - time_s[first] >= _FLIGHT_S, frames)
    rally = np.zeros(len(time_s), np.bool_)
    rally[on_track[flies]] = True
    return spots.beside(rally)


def _log_odds(score: npt.ArrayLike) -> FloatArray:
    """Of scores 0..1; those of 0 and 1 are finite."""
    inside = np.clip(score, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _fill(time_s: FloatArray, points: FloatArray, number: IntArray, most: int) -> BoolArray:
    """Puts points, in place, and track numbers into gaps of up to `most` frames inside tracks; says where.

    On a straight line: of 5,895 badminton labels left out of their track one by one, 74 % are within 4 px of it, 71 %
    of a cubic through four neighbours and 67 % of a Hermite curve.
    """
    seen = np.flatnonzero(number >= 0)
    if not len(seen):
        return np.zeros(len(number), np.bool_)
    rows = np.arange(len(number))
    after = np.searchsorted(seen, rows)
    inside = (number < 0) & (after > 0) & (after < len(seen))
    before_row, after_row = seen[np.maximum(after - 1, 0)], seen[np.minimum(after, len(seen) - 1)]
    filled: BoolArray = (
        inside & (number[before_row] == number[after_row]) & (after_row - before_row - 1 <= most)
    )
    for axis in range(2):
        points[filled, axis] = np.interp(time_s[filled], time_s[seen], points[seen, axis])
    number[filled] = number[before_row[filled]]
    return filled
