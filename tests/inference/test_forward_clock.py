"""Stamps that slip, and counts that begin anew, give a time that never runs backwards."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.inference.forward_clock import ForwardClock


def test_good_stamps_stay_as_they_are():
    clock = ForwardClock(30.0)
    stamps = [0.0, 0.04, 0.06, 0.06, 5.0]
    assert [clock(stamp) for stamp in stamps] == stamps
    assert clock.notes() == []


def test_a_slip_is_held_and_the_next_frame_has_its_own_time():
    clock = ForwardClock(25.0)
    assert [clock(stamp) for stamp in (0.0, 0.04, 0.08, 0.02, 0.16)] == [0.0, 0.04, 0.08, 0.08, 0.16]
    assert clock.notes() == ["frames whose time stamp is before the last one's, and that got its time: 1"]


@pytest.mark.parametrize("rate", [25.0, None])
def test_a_count_that_begins_anew_goes_on_a_frame_later(rate: float | None):
    clock = ForwardClock(rate)
    times = [clock(stamp) for stamp in (0.0, 3.96, 4.0, 0.0, 0.04, 2.0)]
    assert times == pytest.approx([0.0, 3.96, 4.0, 4.04, 4.08, 6.04])
    assert clock.notes() == ["its time stamps begin anew once: time_s goes on from the frame before"]


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.sampled_from([None, 24.0, 60.0]))
def test_whatever_comes_time_does_not_run_backwards(stamps: list[float], rate: float | None):
    clock = ForwardClock(rate)
    times = [clock(stamp) for stamp in stamps]
    assert all(a <= b for a, b in pairwise(times))
    assert clock.held + clock.restarts <= len(stamps)
