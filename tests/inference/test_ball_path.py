"""The path is the best of all there are, and its tracks are what the settings allow."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.inference import ball_path
from tracknet.inference.ball_path import PathCosts, best_path

COSTS = PathCosts(max_speed=4.0, max_gap=1, max_gap_s=10.0, start=1.0, linked=0.5, turn=0.4, turn_scale=1.0)
State = tuple[int, int]


def linkable(time_s: list[float], xy: npt.NDArray[np.float64], a: State, b: State, costs: PathCosts) -> bool:
    took_s = time_s[b[0]] - time_s[a[0]]
    far = float(np.hypot(*(xy[b] - xy[a])))
    return (
        b[0] - a[0] <= costs.max_gap + 1 and 0 < took_s <= costs.max_gap_s and far <= costs.max_speed * took_s
    )


def turn(time_s: list[float], xy: npt.NDArray[np.float64], track: list[State], costs: PathCosts) -> float:
    """The price of a track's last turn."""
    if len(track) < 3:
        return 0.0
    a, b, c = track[-3:]
    change = (xy[c] - xy[b]) / (time_s[c[0]] - time_s[b[0]]) - (xy[b] - xy[a]) / (time_s[b[0]] - time_s[a[0]])
    return costs.turn * float(np.log1p((change**2).sum() / costs.turn_scale**2))


def best_of_all(
    time_s: list[float], xy: npt.NDArray[np.float64], gain: npt.NDArray[np.float64], costs: PathCosts
) -> float:
    """By trying every sequence of candidates, and at each whether it goes on with the track or begins one."""

    def on(row: int, track: list[State]) -> float:
        if row == len(time_s):
            return 0.0
        most = on(row + 1, track)
        for k in range(gain.shape[1]):
            if not np.isfinite(gain[row, k]):
                continue
            most = max(most, gain[row, k] - costs.start + on(row + 1, [(row, k)]))
            if track and linkable(time_s, xy, track[-1], (row, k), costs):
                longer = [*track[-2:], (row, k)]
                paid = turn(time_s, xy, longer, costs)
                most = max(most, gain[row, k] + costs.linked - paid + on(row + 1, longer))
        return most

    return on(0, [])


def value_of(
    time_s: list[float],
    xy: npt.NDArray[np.float64],
    gain: npt.NDArray[np.float64],
    costs: PathCosts,
    found: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> float:
    """What the path found is worth; it must be a path."""
    chosen, number = found
    total = 0.0
    for own in np.unique(number[number >= 0]):
        states = [(int(row), int(chosen[row])) for row in np.flatnonzero(number == own)]
        assert all(linkable(time_s, xy, a, b, costs) for a, b in itertools.pairwise(states))
        total += sum(float(gain[state]) for state in states) - costs.start + costs.linked * (len(states) - 1)
        total -= sum(turn(time_s, xy, states[: n + 1], costs) for n in range(len(states)))
    return total


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[float], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(0, 2))
    steps = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 20.0]), min_size=rows, max_size=rows))
    whole = st.integers(0, 6)
    xy = [[(draw(whole), draw(whole)) for _ in range(columns)] for _ in range(rows)]
    gain = [
        [draw(st.sampled_from([-np.inf, -1.0, -0.4, 0.3, 1.5])) for _ in range(columns)] for _ in range(rows)
    ]
    return (
        np.cumsum(steps).tolist(),
        np.array(xy, np.float64).reshape(rows, columns, 2),
        np.array(gain, np.float64).reshape(rows, columns),
    )


@settings(max_examples=150)
@given(
    scene=scenes(),
    start=st.sampled_from([0.0, 1.0, 2.5]),
    turn_cost=st.sampled_from([0.0, 0.4]),
    at_once=st.sampled_from([1, 2, 2048]),
)
def test_no_path_is_better(
    scene: tuple[list[float], npt.NDArray[np.float64], npt.NDArray[np.float64]],
    start: float,
    turn_cost: float,
    at_once: int,
) -> None:
    costs = dataclasses.replace(COSTS, start=start, turn=turn_cost)
    time_s, xy, gain = scene
    with pytest.MonkeyPatch.context() as patch:
        # Long videos are solved in pieces, which nothing of the result may show.
        patch.setattr(ball_path, "_ROWS_AT_ONCE", at_once)
        found = best_path(np.array(time_s), xy, gain, costs)
    assert np.array_equal(found[0] >= 0, found[1] >= 0)
    numbers = found[1][found[1] >= 0]
    assert (np.diff(numbers) >= 0).all()
    assert set(numbers.tolist()) == set(range(int(numbers.max(initial=-1)) + 1))
    best = best_of_all(time_s, xy, gain, costs)
    assert value_of(time_s, xy, gain, costs, found) == pytest.approx(best, abs=1e-5)


def test_a_link_goes_no_farther_than_a_ball_can() -> None:
    time_s, gain = np.arange(2.0), np.full((2, 1), 2.0)
    for far, tracks in ((4.0, 1), (4.01, 2)):
        _, number = best_path(time_s, np.array([[[0.0, 0.0]], [[far, 0.0]]]), gain, COSTS)
        assert len(set(number.tolist())) == tracks
