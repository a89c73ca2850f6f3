"""The candidates of a split as `trajectory_candidates.py` wrote them, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.trajectory_kalman import KalmanCosts, kalman_track
from tracknet.datasets.table import NO_STATUS, FrameTable
from tracknet.inference.trajectory import track
from tracknet.training.metrics import Predictions
from tracknet.utils.geometry import Size
from tracknet.utils.settings import TrajectoryConfig

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """The candidates of a split, and its labels."""

    frames: FrameTable
    xy_px: FloatArray
    scores: FloatArray
    model: str
    saved_threshold: float

    @classmethod
    def read(cls, path: Path) -> Found:
        with np.load(path) as file:
            frames = FrameTable(
                keys=file["keys"].tolist(),
                clips=[(game, clip) for game, clip in file["clips"].tolist()],
                clip_id=file["clip_id"],
                frame=file["frame"],
                xy_px=file["xy_px"],
                visibility=file["visibility"],
                status=np.full(len(file["keys"]), NO_STATUS, np.int8),
                source_size=file["source_size"],
            )
            return cls(
                frames,
                file["candidates_xy"],
                file["scores"],
                str(file["model"]),
                float(file["threshold"]),
            )

    def plain(self) -> Predictions:
        """As the model gives them, without a trajectory."""
        return self.predictions(self.xy_px[:, 0], self.scores[:, 0])

    def predictions(self, xy_px: FloatArray, score: FloatArray) -> Predictions:
        return Predictions(self.frames, xy_px, score, score)

    def clips(self) -> list[tuple[npt.NDArray[np.int64], FloatArray, Size]]:
        """Rows, times (at 30 frames/s) and frame size of each clip."""
        return [
            (rows, self.frames.frame[rows] / 30.0, Size(*self.frames.source_size[rows[0]].tolist()))
            for rows in (np.flatnonzero(self.frames.clip_id == c) for c in np.unique(self.frames.clip_id))
        ]

    def tracked(self, config: TrajectoryConfig, threshold: float) -> Predictions:
        """With a trajectory; a ball scores 1."""
        xy_px = np.full((len(self.frames), 2), np.nan)
        for rows, time_s, size in self.clips():
            way = track(
                time_s, self.xy_px[rows], self.scores[rows], config, threshold=threshold, frame_size=size
            )
            xy_px[rows] = np.stack([way.x, way.y], axis=1)
        return self.predictions(xy_px, np.isfinite(xy_px[:, 0]).astype(np.float64))

    def kalman(self, costs: KalmanCosts, threshold: float, *, smooth: bool) -> Predictions:
        xy_px = np.full((len(self.frames), 2), np.nan)
        odds = log_odds(self.scores) - log_odds(np.array(threshold))
        for rows, time_s, size in self.clips():
            diagonal = np.hypot(*size)
            found = np.where(odds[rows][..., None] > -4, self.xy_px[rows] / diagonal, 1e6)
            xy_px[rows] = kalman_track(time_s, found, odds[rows], costs, smooth=smooth) * diagonal
        return self.predictions(xy_px, np.isfinite(xy_px[:, 0]).astype(np.float64))


def log_odds(score: FloatArray) -> FloatArray:
    inside = np.clip(score, 1e-9, 1 - 1e-9)
    return np.log(inside / (1 - inside))
