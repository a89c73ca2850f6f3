"""What became of every frame (found, near miss, missed, false alarm), and which frames are worth a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.utils.outcome import Outcome

Outcomes = npt.NDArray[np.int8]

OUTCOME_NAMES = {
    Outcome.TP: "found",
    Outcome.FP1: "near miss",
    Outcome.FN: "missed",
    Outcome.FP2: "false alarm",
    Outcome.TN: "no ball",
}
"""In the order in which a reader meets them."""
# The kinds of failure in the order in which they take turns among the worst frames.
_FAILURES = (Outcome.FN, Outcome.FP1, Outcome.FP2)
# Of frames this near in time one is enough: they show the same failure.
_BLOCK_FRAMES = 8
_ABSENT_STATUS = -1


@dataclass(frozen=True)
class Frames:
    """N predicted frames as typed columns, in the order of the prediction file.

    Attributes:
        key: N sample keys.
        game: N names.
        clip: N names.
        frame: int64 `[N]`, the number in its clip.
        xy_px: float64 `[N, 2]`, prediction in frame pixels; NaN where there is none.
        score: float64 `[N]`; NaN where there is none.
        true_xy_px: float64 `[N, 2]`, NaN where the ball is absent.
        visibility: int64 `[N]`.
        status: int64 `[N]`, -1 where unknown.
        size: int64 `[N, 2]`, (width, height) of the frame.
        outcome: int8 `[N]`, `Outcome`.
    """

    key: list[str]
    game: list[str]
    clip: list[str]
    frame: npt.NDArray[np.int64]
    xy_px: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    true_xy_px: npt.NDArray[np.float64]
    visibility: npt.NDArray[np.int64]
    status: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    outcome: Outcomes

    def __len__(self) -> int:
        return len(self.key)

    @classmethod
    def of(cls, predictions: Mapping[str, npt.NDArray[Any]]) -> Frames:
        """The columns of a prediction file and `outcome`; no columns at all are no frames.

        Args:
            predictions: column -> `[N]`; nulls as None or NaN. `outcome` is the `Outcome` that the main protocol
                counts a frame as, also one that its figures leave out.
        """
        count = len(predictions.get("key", ()))

        def numbers(name: str, absent: float) -> npt.NDArray[np.float64]:
            column = predictions.get(name)
            if column is None:
                return np.full(count, absent)
            if column.dtype == object:
                column = np.array([np.nan if value is None else value for value in column])
            values = np.asarray(column, np.float64)
            return values if np.isnan(absent) else np.nan_to_num(values, nan=absent)

        def pair(first: str, second: str, absent: float = np.nan) -> npt.NDArray[np.float64]:
            return np.stack([numbers(first, absent), numbers(second, absent)], axis=1)

        return cls(
            key=[str(value) for value in predictions.get("key", ())],
            game=[str(value) for value in predictions.get("game", ())],
            clip=[str(value) for value in predictions.get("clip", ())],
            frame=numbers("frame", 0).astype(np.int64),
            xy_px=pair("x_px", "y_px"),
            score=numbers("score", np.nan),
            true_xy_px=pair("true_x_px", "true_y_px"),
            visibility=numbers("visibility", 0).astype(np.int64),
            status=numbers("status", _ABSENT_STATUS).astype(np.int64),
            size=pair("width", "height", absent=0).astype(np.int64),
            outcome=np.array(predictions.get("outcome", ()), np.int8),
        )

    @property
    def error_px(self) -> npt.NDArray[np.float64]:
        """`[N]` distance from the truth in frame pixels; NaN where either is missing."""
        off = self.xy_px - self.true_xy_px
        return np.asarray(np.hypot(off[:, 0], off[:, 1]))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """`[N]`: the ball was found, or rightly nothing was said."""
        return np.isin(self.outcome, (Outcome.TP, Outcome.TN))

    def clip_ids(self) -> npt.NDArray[np.int64]:
        """`[N]` number of the (game, clip), counted from 0 in order of first appearance."""
        seen: dict[tuple[str, str], int] = {}
        names = zip(self.game, self.clip, strict=True)
        return np.array([seen.setdefault(name, len(seen)) for name in names], np.int64)

    def rows_of_clips(self) -> list[npt.NDArray[np.int64]]:
        """The rows of every clip, in the order of `clip_ids`; rows of a clip need not be next to each other."""
        if not len(self):
            return []
        clip = self.clip_ids()
        order = np.argsort(clip, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(clip[order])) + 1)


def worst_frames(predictions: Mapping[str, npt.NDArray[Any]], limit: int) -> list[int]:
    """Rows that deserve a picture, the most telling first.

    Misses, near misses and false alarms take turns; found balls with the largest errors fill what is left.
    Within a kind clips take turns, and frames of one failure (8 in a row) come after those of others.
    Misses of a clearly visible ball go before misses of a hardly visible one, near misses go by distance,
    false alarms by score.

    Args:
        predictions: as `Frames.of` takes them.
        limit: rows at most.
    """
    frames = Frames.of(predictions)
    outcome = frames.outcome
    error = np.nan_to_num(frames.error_px, nan=-1.0)
    score = np.nan_to_num(frames.score, nan=0.0)
    severity = np.select(
        [outcome == Outcome.FN, outcome == Outcome.FP2], [-10.0 * frames.visibility - score, score], error
    )
    queues = [_taking_turns(np.flatnonzero(outcome == kind), severity, frames) for kind in _FAILURES]
    turns = [
        row for turn in range(max(map(len, queues))) for queue in queues for row in queue[turn : turn + 1]
    ]
    if len(turns) < limit:
        turns += _taking_turns(np.flatnonzero(outcome == Outcome.TP), severity, frames)
    return [int(row) for row in turns[:limit]]


def disagreements(a: Frames, b: Frames) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows where `a` is right and `b` wrong, and rows where it is the other way round.

    Right is a ball found, or nothing said where there is none.
    """
    return np.flatnonzero(a.right & ~b.right), np.flatnonzero(b.right & ~a.right)


def _taking_turns(
    rows: npt.NDArray[np.int64], severity: npt.NDArray[np.float64], frames: Frames
) -> list[np.int64]:
    """The rows by severity, but first one of each failure, and of these first one of each clip."""
    rows = rows[np.argsort(-severity[rows], kind="stable")]
    clip = frames.clip_ids()[rows]
    block = frames.frame[rows] // _BLOCK_FRAMES
    within_block = _rank_within(np.stack([clip, block], axis=1))
    leads = within_block == 0
    within_clip = np.zeros(len(rows), np.int64)
    within_clip[leads] = _rank_within(clip[leads, None])
    within_clip[~leads] = _rank_within(clip[~leads, None])
    order = np.lexsort((np.arange(len(rows)), within_clip, within_block))
    return list(rows[order])


def _rank_within(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """For every row of `groups` `[N, K]`, how many equal rows come before it."""
    if not len(groups):
        return np.zeros(0, np.int64)
    _, group = np.unique(groups, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(group[order])) + 1]
    first = np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - first
    return rank
