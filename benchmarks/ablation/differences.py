"""Differences in F1 under `wasb` between rows of `ablation.py`, from what each counted in every clip.

A record has these counts, so that a clone's table has the differences too, without the predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ablation.records import Measured
from tracknet.training.metrics import chosen_protocols
from tracknet.training.metrics.bootstrap import RESAMPLES, clip_weights, interval
from tracknet.training.metrics.counts import ratios
from tracknet.utils.outcome import OUTCOMES

(_WASB,) = chosen_protocols(["wasb"])


@dataclass(frozen=True)
class Difference:
    """Of F1, as a share.

    Attributes:
        estimate: row less reference.
        interval: 95 %, over clips; `None` where it is undefined.
    """

    estimate: float
    interval: Sequence[float] | None


def difference(base: Sequence[Measured], row: Sequence[Measured]) -> Difference | None:
    """The mean F1 of a row's seeds less that of a reference's, under the same resamples of the clips.

    The interval is of other clips, not of other seeds.

    Args:
        base: seeds of the reference, one or more.
        row: seeds of the row.

    Returns:
        `None` where some record does not say what was counted by clip, where they were counted in other clips or
        frames, or where F1 is undefined. Of two single seeds, what an older record says stands in.
    """
    counted = [_by_clip(one) for one in (*base, *row)]
    if any(counts is None for counts in counted):
        return _once_found(base[0], row[0]) if len(base) == len(row) == 1 else None
    known = [counts for counts in counted if counts is not None]
    clips = sorted(known[0])
    if any(_frames_and_balls(counts) != _frames_and_balls(known[0]) for counts in known):
        return None
    weights = np.concatenate([np.ones((1, len(clips))), clip_weights(len(clips), RESAMPLES)])
    f1 = [_f1(counts, clips, weights) for counts in known]
    found = np.mean(f1[len(base) :], axis=0) - np.mean(f1[: len(base)], axis=0)
    if not np.isfinite(found[0]):
        return None
    return Difference(float(found[0]), interval(found[1:]) if len(clips) > 1 else None)


def _by_clip(one: Measured) -> dict[str, Mapping[str, int]] | None:
    parts = one.record.get("breakdowns", {}).get("clip")
    return None if parts is None else {part["value"]: part for part in parts}


def _frames_and_balls(counts: Mapping[str, Mapping[str, int]]) -> dict[str, tuple[int, int]]:
    return {clip: (part["frames"], part["balls"]) for clip, part in counts.items()}


def _f1(
    counts: Mapping[str, Mapping[str, int]], clips: Sequence[str], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Under R weightings of the C clips, `[R, C]`: float64 `[R]`."""
    table = np.array([[counts[clip][outcome] for outcome in OUTCOMES] for clip in clips], np.float64)
    return ratios(weights @ table, _WASB.recall_of)["f1"]


def _once_found(base: Measured, one: Measured) -> Difference | None:
    """What an older record says, where it is of what is there of both today; it was taken of the predictions."""
    found: Mapping[str, Any] | None = one.record.get("differences", {}).get(base.row)
    of_base = {"seed": base.seed, "run": base.record["run"], "f1": base.record["protocols"]["wasb"]["f1"]}
    if found is None or found["estimate"] is None or not of_base.items() <= found.items():
        return None
    return Difference(found["estimate"], found["interval"])
