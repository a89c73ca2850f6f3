"""What is done to the rows of a whole source once all are there: the ball's way, and what happened on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracknet.inference.events import Sport, find_events
from tracknet.inference.predictions import Predictions
from tracknet.inference.trajectory import track
from tracknet.utils.config import to_plain
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import TrajectoryConfig


@dataclass(frozen=True)
class Finish:
    """The steps that are asked for, in their order.

    Attributes:
        trajectory: how the ball's way is found among the candidates; `None` leaves every frame by itself.
        sport: marks hits and bounces of this sport; `None` marks none.
    """

    trajectory: TrajectoryConfig | None = None
    sport: Sport | None = None

    @property
    def candidates(self) -> int:
        """How many candidates of a frame the steps look at."""
        return 0 if self.trajectory is None else self.trajectory.candidates

    def __call__(self, predictions: Predictions, threshold: float) -> Predictions:
        """The same frames after the steps.

        Args:
            predictions: with `candidates` of them, if there is a trajectory.
            threshold: score from which a candidate by itself is a ball.

        Raises:
            RunError: the frames are of several sizes, or of an unknown one: distances between them mean nothing.
        """
        if self.trajectory is not None:
            predictions = smoothed(predictions, self.trajectory, threshold)
        if self.sport is not None:
            predictions = with_events(predictions, self.sport)
        return predictions


def smoothed(predictions: Predictions, config: TrajectoryConfig, threshold: float) -> Predictions:
    """The ball on its way through all frames; what the model said of each by itself is kept beside.

    Further columns: `x_raw`, `y_raw`, `score_raw` and `visible_raw`, as before, and `filled`, true where nothing was
    seen and the place is worked out from the frames around.

    Raises:
        RunError: the frames are of several sizes, or of an unknown one.
    """
    if predictions.candidates_px is None or predictions.candidate_scores is None:
        raise ValueError("these predictions have no candidates")
    way = track(
        predictions.time_s,
        predictions.candidates_px,
        predictions.candidate_scores,
        config,
        threshold=threshold,
        frame_size=_size_of(predictions),
    )
    chosen = np.maximum(way.candidate, 0)[:, None]
    score = np.take_along_axis(predictions.candidate_scores, chosen, axis=1)[:, 0]
    raw = {f"{name}_raw": getattr(predictions, name) for name in ("x", "y", "score", "visible")}
    return replace(
        predictions,
        x=way.x,
        y=way.y,
        # Of a frame without a ball, or filled, the score stays the best that was seen in it.
        score=np.where(way.candidate >= 0, score, predictions.score),
        visible=way.visible,
        columns={**predictions.columns, **raw, "filled": way.filled},
        about={**predictions.about, "trajectory": to_plain(config)},
    )


def with_events(predictions: Predictions, sport: Sport) -> Predictions:
    """Adds the columns `event`, which is `hit`, `bounce` or empty, and `event_score`, 0 where there is none.

    Raises:
        RunError: the frames are of several sizes, or of an unknown one.
    """
    found = find_events(
        predictions.time_s,
        predictions.x,
        predictions.y,
        predictions.visible,
        _size_of(predictions),
        sport=sport,
    )
    score = np.nan_to_num(found.score.astype(np.float64), nan=0.0)
    return replace(
        predictions,
        columns={**predictions.columns, "event": found.event, "event_score": score},
        about={**predictions.about, "events": sport},
    )


def _size_of(predictions: Predictions) -> Size:
    if predictions.frame_size is None:
        raise RunError(
            f"{predictions.about.get('source', 'the source')} has frames of several sizes, or of an unknown one, "
            "and distances between them mean nothing",
            remedy="predict the frames of each size apart (--frames A:B), or without --smooth and --events",
        )
    return predictions.frame_size
