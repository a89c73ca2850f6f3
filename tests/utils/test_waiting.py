"""Work that never ends is left, and what it makes too late is let go of."""

from __future__ import annotations

import threading
import time

import pytest

from tracknet.utils.waiting import waited_for


def test_what_is_made_in_time_comes_back():
    assert waited_for(lambda: 3, limit_s=None, discard=lambda made: None) == 3


def test_an_error_comes_back_too():
    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        waited_for(fail, limit_s=10, discard=lambda made: None)


def test_what_comes_too_late_is_discarded():
    go_on, late = threading.Event(), []

    def slow() -> str:
        go_on.wait(30)
        return "late"

    with pytest.raises(TimeoutError):
        waited_for(slow, limit_s=0.1, discard=late.append)
    assert late == []
    go_on.set()
    deadline_s = time.monotonic() + 30
    while not late and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert late == ["late"]
