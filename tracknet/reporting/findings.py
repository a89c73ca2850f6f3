"""Where a model fails, in sentences: the groups that lose most balls, the longest gap, the jumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tracknet.reporting.markup import interval
from tracknet.reporting.outcomes import Frames
from tracknet.utils.naming import counted
from tracknet.utils.outcome import Outcome

# A group says something from this many balls on, and when its recall is this far below that of all.
_FEWEST_BALLS = 10
_SMALLEST_SHARE = 0.01
_NOTICEABLE = 0.05
_MOST_GROUPS = 3
# A near miss this far away (frame pixels, ten times the usual distance) is another thing taken for the ball.
_JUMP_PX = 40.0
_SHORTEST_GAP = 3
_GROUP_WORDS = {
    "visibility": "visibility ",
    "status": "status ",
    "speed": "speed ",
    "region": "region ",
    "game": "",
}


def findings(report: Mapping[str, Any], frames: Frames) -> list[str]:
    """Plain sentences, the costliest failure first; none for a flawless model or no frames.

    Args:
        report: the content of metrics.json; its `breakdowns` and the main protocol's recall are read.
        frames: N predicted frames.
    """
    return [
        *_weak_groups(report),
        *_gap(frames),
        *_jumps(frames),
        *_false_alarms(frames),
    ]


def _weak_groups(report: Mapping[str, Any]) -> list[str]:
    breakdowns: Mapping[str, Sequence[Mapping[str, Any]]] = report.get("breakdowns") or {}
    overall = ((report.get("protocols") or {}).get(report.get("main_protocol")) or {}).get("recall")
    if overall is None:
        return []
    lost: list[tuple[float, str]] = []
    for kind, word in _GROUP_WORDS.items():
        rows = [
            row for row in breakdowns.get(kind) or [] if row.get("balls") and row.get("recall") is not None
        ]
        balls = sum(row["balls"] for row in rows)
        for row in rows:
            below = overall - row["recall"]
            enough = row["balls"] >= max(_FEWEST_BALLS, _SMALLEST_SHARE * balls)
            if len(rows) > 1 and enough and below >= _NOTICEABLE:
                ends = interval((row.get("intervals") or {}).get("recall"), digits=2)
                text = (
                    f"Recall is {row['recall']:.2f}{ends and f' {ends}'} for {word}{row['value']} "
                    f"({row['balls']:,.0f} balls), against {overall:.2f} over all."
                )
                lost.append((below * row["balls"], text))
    return [text for _, text in sorted(lost, key=lambda pair: -pair[0])[:_MOST_GROUPS]]


def _gap(frames: Frames) -> list[str]:
    """The longest run of frames of one clip without a detection although the ball was there."""
    clip = frames.clip_ids()
    missed = frames.outcome == Outcome.FN
    follows = np.zeros(len(frames), bool)
    follows[1:] = missed[1:] & missed[:-1] & (np.diff(clip) == 0) & (np.diff(frames.frame) == 1)
    starts = np.flatnonzero(missed & ~follows)
    if not len(starts):
        return []
    ends = np.append(starts[1:], len(frames))
    lengths = np.array([int(missed[start:end].sum()) for start, end in zip(starts, ends, strict=True)])
    longest = int(np.argmax(lengths))
    if lengths[longest] < _SHORTEST_GAP:
        return []
    first = starts[longest]
    return [
        f"Longest gap: {lengths[longest]} frames in a row without a detection, in {frames.game[first]} / "
        f"{frames.clip[first]} from frame {frames.frame[first]} on."
    ]


def _jumps(frames: Frames) -> list[str]:
    far = (frames.outcome == Outcome.FP1) & (frames.error_px > _JUMP_PX)
    detections = int(np.isin(frames.outcome, (Outcome.TP, Outcome.FP1)).sum())
    if not far.any():
        return []
    worst = int(np.argmax(np.where(far, frames.error_px, -1.0)))
    return [
        f"Of {detections:,} detections on frames with a ball {int(far.sum()):,} are more than "
        f"{_JUMP_PX:g} px away: something else was taken for the ball; the farthest in "
        f"{frames.game[worst]} / {frames.clip[worst]}, frame {frames.frame[worst]}."
    ]


def _false_alarms(frames: Frames) -> list[str]:
    alarms = np.flatnonzero(frames.outcome == Outcome.FP2)
    if not len(alarms):
        return []
    surest = int(alarms[np.argmax(frames.score[alarms])])
    return [
        f"{counted(len(alarms), 'false alarm')} on frames without a visible ball; the surest "
        f"(score {frames.score[surest]:.2f}) in {frames.game[surest]} / {frames.clip[surest]}, "
        f"frame {frames.frame[surest]}."
    ]
