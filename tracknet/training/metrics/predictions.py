"""One row per evaluated frame: what was said and what is true. Every metric is computed from these columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracknet.datasets.table import FrameTable
from tracknet.utils.geometry import Size

FloatArray = npt.NDArray[np.float64]

# Of the frame's size: what is read between the cells at a map's edge may lie that far out.
_BEYOND = 0.05


@dataclass(frozen=True)
class Predictions:
    """N evaluated frames, in the order of their table.

    Attributes:
        frames: who they are and what is true of them, `[N]`.
        xy_px: float64 `[N, 2]`, the best guess in frame pixels; NaN where none was made, which only
            predictions from elsewhere do.
        score: float64 `[N]`, 0..1, how sure; 0 where no guess was made.
        blob_score: float64 `[N]`, the blob's sum (`utils.heatmap.blob_score`), by which WASB ranks.
    """

    frames: FrameTable
    xy_px: FloatArray
    score: FloatArray
    blob_score: FloatArray

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """`[N]`: the ball is in the frame (visibility 1, 2 or 3)."""
        return np.asarray(self.frames.visibility > 0)

    @property
    def guessed(self) -> npt.NDArray[np.bool_]:
        """`[N]`: a point was given."""
        return np.asarray(np.isfinite(self.xy_px).all(axis=1))

    def oddities(self, what: str) -> list[str]:
        """What to tell of guesses that are none of ours: scores outside 0..1, and points outside their frame.

        Args:
            what: where the predictions come from.
        """
        size, guessed = self.frames.source_size, self.guessed
        near = ((self.xy_px >= -_BEYOND * size) & (self.xy_px <= (1 + _BEYOND) * size)).all(axis=1)
        odd = {
            "outside their frame": (guessed & ~near, self.xy_px),
            "with a score outside 0 to 1": (guessed & ((self.score < 0) | (self.score > 1)), self.score),
        }
        return [
            f"{what} has {int(rows.sum()):,} of {int(guessed.sum()):,} guesses {name}, the first "
            f"{self.frames.keys[first]} with {values[first].tolist()}: taken as they are"
            for name, (rows, values) in odd.items()
            if rows.any()
            for first in [int(rows.argmax())]
        ]

    @property
    def error_px(self) -> FloatArray:
        """`[N]` euclidean distance in frame pixels, NaN where the ball or the guess is absent."""
        return self.error_in(None)

    def error_in(self, space: Size | None) -> FloatArray:
        """The distance with each axis scaled from the frame's own size to `space`; `None` is frame pixels.

        Scaling each axis by itself is what resizing the frame to `space` does; for frames of the same shape
        as `space` (16:9) it is one factor. Rounded to a millionth of a pixel: a guess exactly at a protocol's
        distance must be there in binary too (hypot(1.2, 1.6) is 2.0000000000000004).
        """
        offset = self.xy_px - self.frames.xy_px
        if space is not None:
            offset = offset * (np.array(space, np.float64) / self.frames.source_size)
        return np.asarray(np.hypot(offset[:, 0], offset[:, 1]).round(6))

    @classmethod
    def of_rows(
        cls,
        table: FrameTable,
        rows: Sequence[npt.NDArray[np.int64]],
        xy_px: Sequence[FloatArray],
        score: Sequence[FloatArray],
        blob_score: Sequence[FloatArray],
    ) -> Predictions:
        """Parts of an evaluation as one, in the table's order; of several for a row the first is kept.

        Args:
            table: of the split.
            rows: of each part, rows of `table`.
            xy_px: of each part, for its rows.
            score: of each part, for its rows.
            blob_score: of each part, for its rows.
        """
        unique, first = np.unique(np.concatenate(rows), return_index=True)
        return cls(
            frames=table.take(unique),
            xy_px=np.concatenate(xy_px)[first],
            score=np.concatenate(score)[first],
            blob_score=np.concatenate(blob_score)[first],
        )
