"""One row per evaluated frame: what was said and what is true. Every metric is computed from these columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Predictions:
    """N evaluated frames.

    Attributes:
        rows: int64 `[N]`, rows of the split's frame table.
        xy_px: float64 `[N, 2]`, the best guess in frame pixels, always given.
        score: float64 `[N]`, 0..1, how sure.
        true_xy_px: float64 `[N, 2]`, NaN where the ball is absent.
        visibility: int64 `[N]`.
    """

    rows: npt.NDArray[np.int64]
    xy_px: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    true_xy_px: npt.NDArray[np.float64]
    visibility: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """`[N]`: the ball is in the frame (visibility 1, 2 or 3)."""
        return self.visibility > 0

    @property
    def error_px(self) -> npt.NDArray[np.float64]:
        """`[N]` euclidean distance in frame pixels, NaN where the ball is absent."""
        return np.asarray(np.linalg.norm(self.xy_px - self.true_xy_px, axis=-1))

    @classmethod
    def cat(cls, parts: Sequence[Predictions]) -> Predictions:
        """Several parts as one, in the order given; one prediction a row (the first) is kept."""
        whole = cls(
            **{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)}
        )
        _, first = np.unique(whole.rows, return_index=True)
        return cls(**{f.name: getattr(whole, f.name)[first] for f in fields(cls)})
