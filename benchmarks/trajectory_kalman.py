"""The rival of the ball path: a Kalman filter that takes the candidate nearest to where the ball should be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_COASTS = 2


@dataclass(frozen=True)
class KalmanCosts:
    """`accel` and `noise` are standard deviations in diagonals per s^2 and diagonals; `gate` counts deviations;
    `hysteresis` is in log-odds below the threshold.
    """

    accel: float
    noise: float
    gate: float
    hysteresis: float


def kalman_track(
    time_s: FloatArray, xy: FloatArray, log_odds: FloatArray, costs: KalmanCosts, *, smooth: bool
) -> FloatArray:
    """Points `[N, 2]`, NaN where there is no ball: constant velocity, with Rauch-Tung-Striebel smoothing or not.

    A track begins with a frame's best candidate at or above the threshold (log-odds 0), coasts over two frames
    without a candidate, and ends after that.
    """
    points = np.full((len(time_s), 2), np.nan)
    noise = np.eye(2) * costs.noise**2
    see = np.eye(2, 4)
    steps: list[tuple[int, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]] = []
    state, cov, last = np.zeros(4), np.eye(4), -_COASTS - 2

    def finish() -> None:
        if smooth and steps:
            later, later_cov = steps[-1][1], steps[-1][2]
            for (row, own, own_cov, *_), (_, _, _, ahead, ahead_cov, move) in zip(
                steps[-2::-1], steps[:0:-1], strict=True
            ):
                back = own_cov @ move.T @ np.linalg.inv(ahead_cov)
                later = own + back @ (later - ahead)
                later_cov = own_cov + back @ (later_cov - ahead_cov) @ back.T
                points[row] = np.where(np.isnan(points[row]), np.nan, later[:2])
        steps.clear()

    for row in range(len(time_s)):
        if row - last <= _COASTS + 1:
            dt = time_s[row] - time_s[row - 1]
            move = np.eye(4) + np.eye(4, k=2) * dt
            push = np.vstack([np.eye(2) * dt**2 / 2, np.eye(2) * dt]) * costs.accel
            state, cov = move @ state, move @ cov @ move.T + push @ push.T
            ahead, ahead_cov = state, cov
            spread = cov[:2, :2] + noise
            off = xy[row] - state[:2]
            squares = np.einsum("ki,ij,kj->k", off, np.linalg.inv(spread), off)
            fits = (squares <= costs.gate**2) & (log_odds[row] >= -costs.hysteresis)
            if fits.any():
                best = int(np.argmax(np.where(fits, log_odds[row] - squares / 2, -np.inf)))
                weight = cov @ see.T @ np.linalg.inv(spread)
                state, cov = state + weight @ off[best], cov - weight @ see @ cov
                points[row], last = xy[row, best], row
            steps.append((row, state, cov, ahead, ahead_cov, move))
            if fits.any():
                continue
        if log_odds[row, 0] >= 0:
            finish()
            state = np.append(xy[row, 0], [0.0, 0.0])
            cov = np.diag([costs.noise**2] * 2 + [1.0] * 2)
            points[row], last = xy[row, 0], row
            steps.append((row, state, cov, state, cov, np.eye(4)))
    finish()
    return points
