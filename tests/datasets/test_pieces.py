"""Windows in runs, and their shuffle in pieces."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import bounds_of
from tracknet.datasets.pieces import WindowRuns, shuffled_pieces

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 1000))
def test_pieces_are_consecutive_windows_of_one_run_and_hold_each_once(
    lengths: list[int], run_length: int, seed: int
) -> None:
    order, first = shuffled_pieces(
        WindowRuns.all_of(bounds_of(lengths)), run_length, np.random.default_rng(seed)
    )
    assert sorted(order.tolist()) == list(range(sum(lengths)))
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    goes_on = (np.diff(order) == 1) & (np.diff(run_of[order]) == 0)
    pieces = np.split(order, np.flatnonzero(~goes_on) + 1)
    # Two pieces that happen to be neighbours look like one: at most as many as there were.
    most = sum(1 + -(-length // run_length) for length in lengths)
    assert len(pieces) <= most
    assert sum(map(len, pieces)) == sum(lengths)
    # A piece is named by its first window: L windows at most, that come one after the other from there on.
    for name in np.unique(first).tolist():
        places = np.flatnonzero(first == name)
        assert len(places) <= run_length
        assert order[places].tolist() == list(range(name, name + len(places)))
        assert places.tolist() == list(range(places[0], places[-1] + 1))
        assert len(np.unique(run_of[order[places]])) == 1


@given(st.integers(1, 40), st.integers(1, 200), st.integers(0, 1000))
def test_cuts_lie_a_piece_apart(run_length: int, length: int, seed: int) -> None:
    order, _ = shuffled_pieces(
        WindowRuns.all_of(bounds_of([length])), run_length, np.random.default_rng(seed)
    )
    starts = np.sort(order[np.concatenate([[True], np.diff(order) != 1])])
    assert starts[0] == 0
    assert len({int(start) % run_length for start in starts[1:]}) <= 1


def test_every_offset_cuts_somewhere_else() -> None:
    runs = WindowRuns.all_of(bounds_of([40]))
    cuts = set()
    for seed in range(200):
        order, _ = shuffled_pieces(runs, 8, np.random.default_rng(seed))
        cuts |= set((order[1:][np.diff(order) != 1] % 8).tolist())
    assert cuts == set(range(8))


def test_nothing_to_shuffle() -> None:
    none = WindowRuns.all_of(np.zeros((0, 2), np.int64))
    assert len(shuffled_pieces(none, 4, np.random.default_rng(0)).windows) == len(none) == 0


def test_pieces_of_one_are_a_permutation() -> None:
    order, first = shuffled_pieces(WindowRuns.all_of(bounds_of([500, 500])), 1, np.random.default_rng(0))
    assert (np.diff(order) == 1).mean() < 0.01
    assert np.array_equal(order, first)


@given(LENGTHS, st.data())
def test_what_is_left_out_leaves_the_rest_in_their_runs(lengths: list[int], data: st.DataObject) -> None:
    count = sum(lengths)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.bool_)
    runs = WindowRuns.all_of(bounds_of(lengths)).only(keep)
    assert runs.ids.tolist() == np.flatnonzero(keep).tolist()
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    held = [runs.ids[first:end] for first, end in runs.bounds]
    assert all(len(windows) for windows in held)
    assert [windows.tolist() for windows in held] == [
        np.flatnonzero(keep & (run_of == run)).tolist()
        for run in range(len(lengths))
        if (keep & (run_of == run)).any()
    ]


def test_all_windows_of_runs_that_start_later() -> None:
    runs = WindowRuns.all_of(np.array([[5, 8], [8, 9]], np.int64))
    assert runs.ids.tolist() == [5, 6, 7, 8]
    assert runs.bounds.tolist() == [[0, 3], [3, 4]]
