"""Detections from the surest down: average precision.

As WASB's evaluator does it: only detections at the operating threshold are ranked; recall's denominator is
that of the operating threshold too; and average precision sums, over the distinct recalls, the step of recall
times the best precision had at it. Detections of equal score come in together, so that the figure does not
depend on the order of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.training.metrics.counts import Codes
from tracknet.training.metrics.predictions import FloatArray
from tracknet.utils.outcome import Outcome


@dataclass(frozen=True)
class Ranking:
    """D detections in descending score, K distinct scores.

    Attributes:
        rows: int64 `[D]`, positions of the detections among the frames.
        hit: bool `[D]`, true positives.
        first: int64 `[K]`, the first detection of each distinct score.
        score: float64 `[K]`, the distinct scores.
    """

    rows: npt.NDArray[np.int64]
    hit: npt.NDArray[np.bool_]
    first: npt.NDArray[np.int64]
    score: FloatArray

    @classmethod
    def of(cls, codes: Codes, score: FloatArray) -> Ranking:
        """Ranks the detections among N frames with outcomes `codes` by `score`, both `[N]`."""
        rows = np.flatnonzero(np.isin(codes, (Outcome.TP, Outcome.FP1, Outcome.FP2)))
        rows = rows[np.argsort(-score[rows], kind="stable")]
        ranked = score[rows]
        first = np.flatnonzero(np.append(True, ranked[1:] < ranked[:-1])) if len(rows) else rows
        return cls(rows=rows, hit=codes[rows] == Outcome.TP, first=first, score=ranked[first])

    def average_precision(
        self, weight: npt.NDArray[np.int32], balls: npt.NDArray[Any], *, monotone: bool = False
    ) -> FloatArray:
        """Average precision of R weightings at once.

        Args:
            weight: int32 `[R, D]`, how often each detection counts.
            balls: `[R]`, recall's denominator under each weighting.
            monotone: take the best precision at this or any higher recall, as the PASCAL VOC does from 2010
                on, in place of the best at this recall; it is never less.

        Returns:
            float64 `[R]`, NaN where there are no balls.
        """
        area = np.zeros(len(balls))
        if len(self.rows):
            hits, precision = self._steps(weight)
            if monotone:
                precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            area = np.einsum("rk,rk->r", hits, precision).astype(np.float64)
        whole = np.full(len(balls), np.nan)
        return np.asarray(np.divide(area, balls, out=whole, where=np.asarray(balls) > 0))

    def _steps(
        self, weight: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The hits that each distinct score adds, and the precision down to it: float32 `[R, K]` each."""
        hits, all_ = weight * self.hit, weight
        if len(self.first) < len(self.rows):
            hits, all_ = (np.add.reduceat(part, self.first, axis=1) for part in (hits, all_))
        # Whole numbers: NumPy sums them up 8 times as fast as floats (0.5 against 3.8 ms for 64 x 18,000).
        true, found = (np.cumsum(part, axis=1, dtype=np.int32).astype(np.float32) for part in (hits, all_))
        # A weighting may leave the first detections out; their hits are 0 as well.
        return hits.astype(np.float32), np.divide(true, np.maximum(found, 1, out=found), out=true)
