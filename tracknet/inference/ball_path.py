"""Which candidate of each frame is the ball, if any: the best sequence of tracks through the whole video.

A track is a chain of candidates, each within reach of the one before it; the video is explained by tracks that
follow each other, and frames between them have no ball. The sum of what is gained and paid is made highest,
exactly, by dynamic programming (Viterbi's algorithm) whose states are links between two candidates: a link has a
velocity, so that a turn from one link to the next has a price. Memory grows with the number of links, work with that
of turns: both linear in the length of the video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Rows whose links and turns are made at once: with K = 5 and all in reach of each other 40 MB of turns.
_ROWS_AT_ONCE = 2048
_NONE = -1


@dataclass(frozen=True, slots=True)
class PathCosts:
    """What a path gains and pays, in units of a candidate's log-odds.

    Attributes:
        max_speed: a link may not be faster; unit of length of `xy` per second.
        max_gap: frames that a link may leap over.
        max_gap_s: no link is longer than this.
        start: paid for every track.
        linked: gained by every link.
        turn: paid for a turn whose change of velocity is `turn_scale`, times log 2; grows as `log(1 + r^2)`: a ball
            that is hit changes its velocity by any amount, and that must stay affordable.
        turn_scale: a change of velocity as between two links of a free flight, same unit as `max_speed`.
    """

    max_speed: float
    max_gap: int
    max_gap_s: float
    start: float
    linked: float
    turn: float
    turn_scale: float


@dataclass(frozen=True, slots=True)
class _Links:
    """E links between M candidates, in the order of their ends.

    Attributes:
        begin: int32 `[E]`, the candidate that a link comes from.
        end: int32 `[E]`, the one that it leads to.
        velocity: float32 `[E, 2]`.
        first: int64 `[M + 1]`, the first link into each candidate.
    """

    begin: npt.NDArray[np.int32]
    end: npt.NDArray[np.int32]
    velocity: npt.NDArray[np.float32]
    first: IntArray


def best_path(
    time_s: FloatArray, xy: FloatArray, gain: FloatArray, costs: PathCosts
) -> tuple[IntArray, IntArray]:
    """The ball's candidate in every frame.

    Args:
        time_s: `[N]`, ascending; frames of one time are not linked.
        xy: `[N, K, 2]`, in any unit of length.
        gain: `[N, K]`, what a path gains by going through a candidate; -inf or NaN where there is none.
        costs: the rest.

    Returns:
        The candidate of every frame, int64 `[N]`, and the number of its track, int64 `[N]`: -1 where there is no
        ball. Tracks are numbered from 0 on in time.
    """
    chosen, track = np.full(len(time_s), _NONE, np.int64), np.full(len(time_s), _NONE, np.int64)
    there = np.isfinite(gain) & np.isfinite(xy).all(axis=2)
    row, column = np.nonzero(there)
    number_of = np.full(gain.shape, _NONE, np.int32)
    number_of[there] = np.arange(len(row))
    links = _links(time_s, xy, number_of, len(row), costs)
    of_row = np.searchsorted(row, np.arange(len(time_s) + 1))
    for number, nodes in enumerate(reversed(_tracks(links, gain[there], of_row, costs))):
        chosen[row[nodes]] = column[nodes]
        track[row[nodes]] = number
    return chosen, track


def _links(
    time_s: FloatArray, xy: FloatArray, number_of: npt.NDArray[np.int32], candidates: int, costs: PathCosts
) -> _Links:
    """Every two candidates that a ball can have gone between; `number_of` `[N, K]` is -1 where there is none."""
    begins: list[npt.NDArray[np.int32]] = [np.zeros(0, np.int32)]
    ends, velocities = begins.copy(), [np.zeros((0, 2), np.float32)]
    there = number_of != _NONE
    for low in range(0, len(time_s), _ROWS_AT_ONCE):
        for lag in range(1, costs.max_gap + 2):
            a = np.arange(low, min(low + _ROWS_AT_ONCE, len(time_s) - lag))
            took_s = time_s[a + lag] - time_s[a]
            reach = np.where((took_s > 0) & (took_s <= costs.max_gap_s), costs.max_speed * took_s, -1.0)
            moved = xy[a + lag][:, None, :, :] - xy[a][:, :, None, :]
            near = np.hypot(moved[..., 0], moved[..., 1]) <= reach[:, None, None]
            pair, a_column, b_column = np.nonzero(near & there[a][:, :, None] & there[a + lag][:, None, :])
            begins.append(number_of[a[pair], a_column])
            ends.append(number_of[a[pair] + lag, b_column])
            velocities.append((moved[pair, a_column, b_column] / took_s[pair, None]).astype(np.float32))
    end = np.concatenate(ends)
    order = np.argsort(end, kind="stable")
    first = np.searchsorted(end[order], np.arange(candidates + 1)).astype(np.int64)
    return _Links(np.concatenate(begins)[order], end[order], np.concatenate(velocities)[order], first)


def _turns(links: _Links, low: int, high: int, costs: PathCosts) -> tuple[IntArray, IntArray, FloatArray]:
    """What may come before each of the links `low` to `high`: another link, or (last) that a track begins with it.

    Returns:
        Where the choices of each link begin, int64 `[n + 1]`; each choice, a link or E + the candidate to begin
        with; its price.
    """
    begin = links.begin[low:high]
    count = links.first[begin + 1] - links.first[begin] + 1
    bounds = np.append(0, np.cumsum(count))
    link = np.repeat(np.arange(high - low), count)
    within = np.arange(len(link)) - bounds[link]
    is_opening = within == count[link] - 1
    before = np.where(is_opening, len(links.begin) + begin[link], links.first[begin[link]] + within)
    earlier = np.where(is_opening, low + link, before)  # no turn from itself
    change = (links.velocity[low + link] - links.velocity[earlier]) / costs.turn_scale
    return bounds, before, costs.turn * np.log1p(np.einsum("ij,ij->i", change, change, dtype=np.float64))


def _tracks(links: _Links, gain: FloatArray, of_row: IntArray, costs: PathCosts) -> list[IntArray]:
    """The candidates of each track of the best path, the last track first; `of_row` `[N + 1]` bounds each row's."""
    rows, number = len(of_row) - 1, len(links.begin)
    # The best sum of all paths that end with a link, or, from E on, that open a track with a candidate.
    value, came_from = np.empty(number + len(gain)), np.empty(number, np.int64)
    # The best sum of all paths that end before a row, and what that one ends with.
    best, ended_by = 0.0, np.full(rows + 1, _NONE, np.int64)
    link_of_row = links.first[of_row]
    for low in range(0, rows, _ROWS_AT_ONCE):
        high = min(low + _ROWS_AT_ONCE, rows)
        first, last = int(link_of_row[low]), int(link_of_row[high])
        bounds, before, price = _turns(links, first, last, costs)
        highest = np.empty(last - first)
        for row in range(low, high):
            ended_by[row + 1] = ended_by[row]
            a, b = int(of_row[row]), int(of_row[row + 1])
            if a == b:
                continue
            value[number + a : number + b] = gain[a:b] + (best - costs.start)
            ends = [(number + a, number + b)]
            c, d = int(link_of_row[row]), int(link_of_row[row + 1])
            if c < d:
                begins = bounds[c - first : d - first + 1]
                choices = slice(begins[0], begins[-1])
                reached = np.maximum.reduceat(
                    value[before[choices]] - price[choices], begins[:-1] - begins[0]
                )
                highest[c - first : d - first] = reached
                value[c:d] = reached + gain[links.end[c:d]] + costs.linked
                ends.append((c, d))
            for begin, end in ends:
                at = begin + int(value[begin:end].argmax())
                if value[at] > best:
                    best, ended_by[row + 1] = float(value[at]), at
        # Once more for all rows at once: which choice was the highest. Of equals the last one, a beginning.
        link = np.repeat(np.arange(last - first), np.diff(bounds))
        is_highest = np.flatnonzero(value[before] - price == highest[link])
        came_from[first + link[is_highest]] = before[is_highest]
    return list(_traced(links, of_row, ended_by, came_from))


def _traced(links: _Links, of_row: IntArray, ended_by: IntArray, came_from: IntArray) -> Iterator[IntArray]:
    """Goes back from the end of the best path."""
    number, at = len(links.begin), int(ended_by[-1])
    while at != _NONE:
        nodes = []
        while at < number:
            nodes.append(int(links.end[at]))
            at = int(came_from[at])
        nodes.append(at - number)
        yield np.array(nodes, np.int64)
        at = int(ended_by[np.searchsorted(of_row, nodes[-1], side="right") - 1])
