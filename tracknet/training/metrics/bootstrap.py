"""Uncertainty by resampling clips.

Frames of a rally are alike: resampling frames would claim far too much. A resample draws as many clips as
there are, with replacement; it is a row of weights, so that figures of all resamples are figures of weighted
sums. Two prediction files on the same frames are compared under the same resamples.
Source: Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), percentile intervals (section 13.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.training.metrics.counts import balls_for_recall, count_by, outcomes, ratios
from tracknet.training.metrics.predictions import FloatArray, Predictions
from tracknet.training.metrics.protocols import Protocol
from tracknet.training.metrics.ranking import Ranking
from tracknet.utils.outcome import Outcome

RESAMPLES = 1000
LEVEL = 0.95
FEW_CLIPS = 10
# Resamples ranked at once: 64 x 20,000 detections of 4 bytes are 5 MB, which stays in the cache.
_BLOCK = 64

Weights = npt.NDArray[np.int32]
"""`[R, C]`: how often each of R resamples counts each of C clips."""


def clip_weights(clips: int, resamples: int, *, seed: int = 0) -> Weights:
    """How often each resample draws each clip: int32 `[resamples, clips]`, every row adding up to `clips`."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, clips, (resamples, clips)) + clips * np.arange(resamples)[:, None]
    counted = np.bincount(drawn.ravel(), minlength=resamples * clips)
    return counted.reshape(resamples, clips).astype(np.int32)


def interval(samples: FloatArray) -> list[float] | None:
    """The central 95 % of a figure's resampled values; `None` where it is undefined in more than half of them."""
    finite = samples[np.isfinite(samples)]
    if not len(finite) or len(finite) < len(samples) / 2:
        return None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def caution(clips: int) -> str | None:
    """What to say of intervals from so few clips."""
    if clips == 1:
        return "one clip only: there is nothing to resample, so no intervals are given"
    if clips < FEW_CLIPS:
        return f"{clips} clips only: the intervals are rough, and more likely too narrow than too wide"
    return None


@dataclass(frozen=True)
class Tally:
    """Predictions under a protocol, summed by clip: all that any weighting of the clips needs.

    Attributes:
        protocol: what was counted.
        codes: int8 `[N]`, each frame's outcome.
        counts: int64 `[C, 5]`, outcomes by clip.
        squares: float64 `[C, 2]`, sum of squared errors and number of balls with a detection, by clip.
        ranking: the detections.
        clip: int64 `[N]`, 0 to C - 1.
    """

    protocol: Protocol
    codes: npt.NDArray[np.int8]
    counts: npt.NDArray[np.int64]
    squares: FloatArray
    ranking: Ranking
    clip: npt.NDArray[np.int64]

    @classmethod
    def of(cls, predictions: Predictions, protocol: Protocol, threshold: float) -> Tally:
        """Counts predictions; clips are numbered in the order of their ids."""
        _, clip = np.unique(predictions.frames.clip_id, return_inverse=True)
        clips = int(clip.max(initial=-1)) + 1
        codes = outcomes(predictions, protocol, threshold)
        measured = np.isin(codes, (Outcome.TP, Outcome.FP1))
        error = predictions.error_in(protocol.space)
        squares = [
            np.bincount(clip[measured], weight, minlength=clips)
            for weight in (error[measured] ** 2, np.ones(int(measured.sum())))
        ]
        ranked_by = predictions.blob_score if protocol.ranked_by == "blob_score" else predictions.score
        return cls(
            protocol=protocol,
            codes=codes,
            counts=count_by(codes, clip, clips),
            squares=np.stack(squares, axis=1),
            ranking=Ranking.of(codes, ranked_by),
            clip=clip.astype(np.int64),
        )

    @property
    def balls(self) -> int:
        """What recall is a share of."""
        return int(balls_for_recall(self.counts.sum(axis=0), self.protocol.recall_of))

    def figures(self, weights: Weights) -> dict[str, FloatArray]:
        """The protocol's ratios, AP and RMSE under R weightings of the clips: `[R, C]` to float64 `[R]` each.

        `rmse_px` is over balls with a detection, in pixels of the protocol's space.
        """
        # NumPy multiplies matrices of whole numbers without BLAS: floats, exact up to 2^53.
        weight = weights.astype(np.float64)
        counts, squares = weight @ self.counts, weight @ self.squares
        balls = balls_for_recall(counts, self.protocol.recall_of)
        some = squares[:, 1] > 0
        mean_square = np.divide(squares[:, 0], squares[:, 1], out=np.full(len(weights), np.nan), where=some)
        return {
            **ratios(counts, self.protocol.recall_of),
            "ap": self.average_precision(weights, balls),
            "rmse_px": np.sqrt(mean_square),
        }

    def average_precision(self, weights: Weights, balls: FloatArray, *, monotone: bool = False) -> FloatArray:
        """Average precision under R weightings of the clips whose balls are `[R]`: float64 `[R]`."""
        clip = self.clip[self.ranking.rows]
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(weights), _BLOCK)]
        return np.concatenate(
            [
                self.ranking.average_precision(weights[block][:, clip], balls[block], monotone=monotone)
                for block in blocks
            ]
        )


def whole(tally: Tally) -> dict[str, float]:
    """The figures of all clips, each once; `ap_monotone` is AP with precision made monotone."""
    everything = np.ones((1, len(tally.counts)), np.int32)
    balls = np.array([tally.balls], np.float64)
    figures = {
        **tally.figures(everything),
        "ap_monotone": tally.average_precision(everything, balls, monotone=True),
    }
    return {name: float(value[0]) for name, value in figures.items()}


def intervals(tally: Tally, weights: Weights) -> dict[str, list[float] | None]:
    """The 95 % interval of every figure; `None` for each where there is one clip only."""
    if weights.shape[1] < 2:
        return dict.fromkeys(tally.figures(weights[:1]))
    return {name: interval(values) for name, values in tally.figures(weights).items()}
