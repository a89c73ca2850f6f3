"""Hits and bounces, from the ball's path alone: one mark on one frame for each.

A small net judges every frame by the path around it (`event_features`, `event_net`); of neighbouring frames that
all look like one event the likeliest is kept. On three broadcast tennis matches that no training saw F1 within two
frames is 94 % for hits and 95 % for bounces on the labelled path, and 87 and 92 % on a path as a detector leaves it
(2 px noise, 10 % missing, 2 % elsewhere): benchmarks/results/events. The net was trained on the TrackNet tennis
labels, which are for academic use.

Its limits. It learned tennis from the usual broadcast camera, high behind a baseline: from another place a bounce
bends the path otherwise, and nothing is known of its figures there. It sees no players and hears no stroke, so a
stroke that hardly bends the path, a far player's above all, is what it misses most. It judges by 0.37 s of path on
either side: where the path begins, ends or is lost for longer, it knows less. Badminton: see `find_events`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tracknet.inference.event_features import (
    OFFSETS_S,
    STEP_S,
    BoolArray,
    Float32Array,
    FloatArray,
    describe_moments,
)
from tracknet.inference.event_net import OUTPUTS, EventNet, shipped_net
from tracknet.utils.geometry import Size

Sport = Literal["tennis", "badminton"]
EVENTS = OUTPUTS[1:]

APART_S = 3.5 * STEP_S
"""Two events are further apart: of 906 neighbours in the labels of ten matches 7 are not."""
_BLOCK = 8192  # moments at a time: 40 MB for an hour of 60 frames/s, most of it the hour itself


@dataclass(frozen=True, slots=True)
class Events:
    """What happens to the ball on each of N frames.

    Attributes:
        event: str [N]: '', 'hit' or 'bounce'; set only where the ball is visible.
        score: float32 [N]: the probability of the event; NaN where there is none.
        probability: float32 [N, 2], of a hit and of a bounce, on every frame, 0 where the ball is not visible: for
            thresholds of one's own, and to look at.

    """

    event: npt.NDArray[np.str_]
    score: Float32Array
    probability: Float32Array


def find_events(
    time_s: npt.ArrayLike,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    visible: npt.ArrayLike,
    frame_size: Size,
    *,
    sport: Sport = "tennis",
    thresholds: dict[str, float] | None = None,
    net: EventNet | None = None,
) -> Events:
    """Finds the hits and bounces of one video.

    Args:
        time_s: [N], when each frame is shown, ascending; any rate from about 20 frames/s, also a varying one.
        x: [N], source pixels; not read, and may be NaN, where the ball is not visible.
        y: [N], as `x`.
        visible: bool [N].
        frame_size: of the source frames, upright.
        sport: `badminton` reports hits alone, since a shuttle does not bounce in play; what looks like either
            event counts as a hit.
        thresholds: probabilities from which a 'hit' and a 'bounce' is reported; the net's own where not given.
        net: another net than the one that comes with the package.

    Returns:
        A mark on one frame for each event.

    Raises:
        ValueError: the arrays differ in length, times are not ascending, or a threshold is of no event.

    """
    net = net or shipped_net()
    if unknown := sorted(set(thresholds or {}) - set(EVENTS)):
        raise ValueError(f"no event is called {unknown[0]!r}; there are {', '.join(EVENTS)}")
    times, xs, ys, shown = _check(time_s, x, y, visible)
    probability = np.zeros((len(times), len(EVENTS)), np.float32)
    at = np.flatnonzero(shown)
    seen_s, seen_x, seen_y = times[at], xs[at], ys[at]
    for start in range(0, len(at), _BLOCK):
        moments_s = seen_s[start : start + _BLOCK]
        # One sighting more than is in reach on either side: straight lines lead there.
        low, high = np.searchsorted(seen_s, (moments_s[0] + OFFSETS_S[0], moments_s[-1] + OFFSETS_S[-1]))
        near = slice(max(low - 1, 0), high + 1)
        features = describe_moments(seen_s[near], seen_x[near], seen_y[near], moments_s, frame_size)
        probability[at[start : start + _BLOCK]] = net.probabilities(features)[:, 1:]
    if sport == "badminton":
        probability = np.stack([probability.sum(axis=1), np.zeros(len(times), np.float32)], axis=1)
    return mark_events(times, probability, {**net.thresholds, **(thresholds or {})})


def mark_events(time_s: FloatArray, probability: Float32Array, thresholds: dict[str, float]) -> Events:
    """Keeps one frame for each event: the likeliest first, none within `APART_S` of one kept before.

    Which event it is, the frame and its neighbours within one 30th of a second decide together. What stays under
    its threshold takes no place from others.

    Args:
        time_s: float64 [N], ascending.
        probability: float32 [N, 2], of a hit and of a bounce.
        thresholds: of both, by name.

    """
    either = probability.sum(axis=1)
    low, high = (np.searchsorted(time_s, time_s + edge) for edge in (-APART_S, APART_S))
    near_low, near_high = (np.searchsorted(time_s, time_s + edge) for edge in (-1.1 * STEP_S, 1.1 * STEP_S))
    event = np.full(len(time_s), "", dtype="<U6")
    score = np.full(len(time_s), np.nan, np.float32)
    taken = np.zeros(len(time_s), bool)
    likely = np.flatnonzero(either >= min(thresholds.values()))
    for frame in likely[np.argsort(-either[likely], kind="stable")]:
        if taken[frame]:
            continue
        kind = int(probability[near_low[frame] : near_high[frame]].sum(axis=0).argmax())
        if either[frame] < thresholds[EVENTS[kind]]:
            continue
        event[frame], score[frame] = EVENTS[kind], either[frame]
        taken[low[frame] : high[frame]] = True
    return Events(event, score, probability)


def _check(
    time_s: npt.ArrayLike, x: npt.ArrayLike, y: npt.ArrayLike, visible: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    times, xs, ys = (np.asarray(values, np.float64) for values in (time_s, x, y))
    shown = np.asarray(visible, bool)
    if not times.shape == xs.shape == ys.shape == shown.shape == (len(times),):
        shapes = [list(array.shape) for array in (times, xs, ys, shown)]
        raise ValueError(f"time_s, x, y, visible must be of one length, got {shapes}")
    if not np.all(np.isfinite(times)):
        raise ValueError(f"time_s is no number at frame {int(np.argmin(np.isfinite(times)))}")
    if not np.all(np.diff(times) >= 0):
        raise ValueError(f"time_s descends at frame {int(np.argmax(np.diff(times) < 0)) + 1}")
    return times, xs, ys, shown & np.isfinite(xs) & np.isfinite(ys)
