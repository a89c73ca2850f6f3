"""Two predictions of the same frames against each other, with an interval for every difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracknet.training.metrics.bootstrap import RESAMPLES, Tally, caution, clip_weights, interval, whole
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.metrics.protocols import Protocol, main_protocol
from tracknet.utils.errors import UserError

_COMPARED = ("f1", "precision", "recall", "accuracy", "ap", "rmse_px")


def compare(
    a: Predictions,
    b: Predictions,
    protocols: Sequence[Protocol],
    *,
    names: tuple[str, str],
    thresholds: tuple[float, float],
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """B against A under some protocols, each at its own threshold, under the same resamples of the clips.

    Args:
        a: predictions.
        b: other predictions of the same frames.
        protocols: the first of which, or WASB's, gives the verdict.
        names: of both, for people.
        thresholds: of both.
        resamples: of the bootstrap.

    Returns:
        `a`, `b`, `protocols` (of each: figure -> `a`, `b`, `difference` = b - a, `interval`), `verdict`,
        `frames`, `clips`, and `caution` where there are few clips.

    Raises:
        UserError: they are of other frames, or know other labels.
    """
    _check_same_frames(a, b, names)
    clips = len(np.unique(a.frames.clip_id))
    weights = clip_weights(clips, resamples)
    figures = {}
    for protocol in protocols:
        tally_a, tally_b = (Tally.of(p, protocol, t) for p, t in zip((a, b), thresholds, strict=True))
        whole_a, whole_b = whole(tally_a), whole(tally_b)
        samples_a, samples_b = tally_a.figures(weights), tally_b.figures(weights)
        figures[protocol.name] = {
            name: {
                "a": whole_a[name],
                "b": whole_b[name],
                "difference": whole_b[name] - whole_a[name],
                "interval": interval(samples_b[name] - samples_a[name]) if clips > 1 else None,
            }
            for name in _COMPARED
        }
    main = main_protocol(protocols)
    return {
        "a": names[0],
        "b": names[1],
        "thresholds": {"a": thresholds[0], "b": thresholds[1]},
        "frames": len(a),
        "clips": clips,
        "protocols": figures,
        "verdict": verdict(figures[main.name]["f1"], main),
        "caution": caution(clips),
    }


def verdict(f1: dict[str, Any], protocol: Protocol) -> str:
    """One sentence: `B better than A by 1.3 [0.4, 2.2] F1 points (WASB)`."""
    difference, span = 100 * f1["difference"], f1["interval"]
    if not np.isfinite(difference):
        return f"F1 is undefined for one of the two ({protocol.title})"
    if span is None:
        return f"B minus A is {difference:+.1f} F1 points ({protocol.title}); no interval can be given"
    low, high = (100 * edge for edge in span)
    if low <= 0 <= high:
        return (
            f"no clear difference: B minus A is {difference:+.1f} [{low:.1f}, {high:.1f}] F1 points "
            f"({protocol.title})"
        )
    word = "better" if difference > 0 else "worse"
    near, far = sorted((abs(low), abs(high)))
    return f"B {word} than A by {abs(difference):.1f} [{near:.1f}, {far:.1f}] F1 points ({protocol.title})"


def _check_same_frames(a: Predictions, b: Predictions, names: tuple[str, str]) -> None:
    keys_a, keys_b = set(a.frames.keys), set(b.frames.keys)
    problems = [
        f"{len(only)} frames are only in {name}: {', '.join(sorted(only)[:3])}{', ...' if len(only) > 3 else ''}"
        for name, only in zip(names, (keys_a - keys_b, keys_b - keys_a), strict=True)
        if only
    ]
    if not problems and list(a.frames.keys) != list(b.frames.keys):
        problems.append("the frames are the same, but in another order or more than once")
    if not problems:
        same = np.isclose(a.frames.xy_px, b.frames.xy_px, equal_nan=True).all(axis=1)
        same &= a.frames.visibility == b.frames.visibility
        if not same.all():
            first = a.frames.keys[int(np.argmin(same))]
            problems.append(f"{int((~same).sum())} frames have other labels, the first is {first}")
    if problems:
        raise UserError(
            "the two predictions are not of the same frames and labels",
            problems=problems,
            remedy="score both against the same shards and split: --compare A B --shards shards --split val",
        )
