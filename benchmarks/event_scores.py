"""Events found against events labelled: one to one, within two frames, with intervals over clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.event_training import FRAME_RATE, Path2d
from tracknet.inference.events import EVENTS

Found = list[tuple[float, str, float]]
"""(time_s, kind, score) of each event reported."""

TOLERANCE_S = 2.01 / FRAME_RATE
RESAMPLES = 2000


def count_matches(found_s: Sequence[float], true_s: Sequence[float]) -> int:
    """How many pairs there are, nearest first, none used twice, at most `TOLERANCE_S` apart."""
    pairs = sorted(
        (abs(a - b), i, j)
        for i, a in enumerate(found_s)
        for j, b in enumerate(true_s)
        if abs(a - b) <= TOLERANCE_S
    )
    left: set[int] = set()
    right: set[int] = set()
    for _, i, j in pairs:
        if i not in left and j not in right:
            left.add(i)
            right.add(j)
    return len(left)


def counts_of(paths: Sequence[Path2d], found: Sequence[Found]) -> np.ndarray:
    """int64 [clips, kinds, 3]: matched, reported, labelled."""
    counts = np.zeros((len(paths), len(EVENTS), 3), np.int64)
    for clip, (path, events) in enumerate(zip(paths, found, strict=True)):
        for column, kind in enumerate(EVENTS):
            reported = [time_s for time_s, name, _ in events if name == kind]
            labelled = [time_s for time_s, name in path.events if name == kind]
            counts[clip, column] = count_matches(reported, labelled), len(reported), len(labelled)
    return counts


def figures(counts: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 of summed counts `[.., 3]`."""
    matched, reported, labelled = np.moveaxis(counts.astype(float), -1, 0)
    return np.stack(
        [
            matched / np.maximum(reported, 1),
            matched / np.maximum(labelled, 1),
            2 * matched / np.maximum(reported + labelled, 1),
        ],
        axis=-1,
    )


def line(name: str, counts: np.ndarray) -> str:
    """A row of a table."""
    picks = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
    low, high = np.percentile(figures(counts[picks].sum(axis=1)), [2.5, 97.5], axis=0)
    cells = [
        f"{100 * value:.1f} [{100 * a:.1f}, {100 * b:.1f}]"
        for value, a, b in zip(figures(counts.sum(axis=0)).ravel(), low.ravel(), high.ravel(), strict=True)
    ]
    return "| " + " | ".join([name, *cells]) + " |"


def best_thresholds(paths: Sequence[Path2d], found: Sequence[Found]) -> dict[str, float]:
    """For each kind the threshold of its highest F1."""
    best: dict[str, tuple[float, float]] = dict.fromkeys(EVENTS, (-1.0, 0.0))
    for threshold in np.arange(0.1, 0.81, 0.05).round(2):
        kept = [[event for event in events if event[2] >= threshold] for events in found]
        f1 = figures(counts_of(paths, kept).sum(axis=0))[:, 2]
        best = {
            kind: max(best[kind], (float(f1[column]), float(threshold))) for column, kind in enumerate(EVENTS)
        }
    return {kind: threshold for kind, (_, threshold) in best.items()}
