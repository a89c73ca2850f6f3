"""Stages end together: at the end, at an error anywhere, and when whoever takes the items stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tracknet.utils.stages import Stages


def test_items_come_in_order_and_the_maker_is_only_so_far_ahead():
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    taken, most_ahead = [], 0
    with Stages() as stages:
        for number in stages.ahead(numbers(), depth=3):
            taken.append(number)
            most_ahead = max(most_ahead, len(made) - len(taken))
    assert taken == list(range(50))
    # Three in the queue, one in the maker's hand.
    assert most_ahead <= 4


def test_stages_work_side_by_side():
    inside = threading.Barrier(2, timeout=5)

    def first() -> Iterator[int]:
        for number in range(3):
            inside.wait()
            yield number

    def second(numbers: Iterator[int]) -> Iterator[int]:
        # Passes only if the first stage is at its next item while this one has not begun its first.
        inside.wait()
        for number in numbers:
            if number < 2:
                inside.wait()
            yield number * 2

    with Stages() as stages:
        assert list(stages.ahead(second(stages.ahead(first(), depth=1)), depth=1)) == [0, 2, 4]


@pytest.mark.parametrize("stage", ["first", "second", "caller"])
def test_an_error_anywhere_ends_all(stage: str):
    closed: list[str] = []

    def first() -> Iterator[int]:
        try:
            for number in range(1000):
                if stage == "first" and number == 5:
                    raise ValueError("here")
                yield number
        finally:
            closed.append("first")

    def second(numbers: Iterator[int]) -> Iterator[int]:
        try:
            for number in numbers:
                if stage == "second" and number == 5:
                    raise ValueError("here")
                yield number
        finally:
            closed.append("second")

    before = threading.active_count()
    with pytest.raises(ValueError, match="here"), Stages() as stages:
        for number in stages.ahead(second(stages.ahead(first(), depth=2)), depth=2):
            if stage == "caller" and number == 5:
                raise ValueError("here")
    assert sorted(closed) == ["first", "second"]
    assert threading.active_count() <= before


def test_a_reader_that_never_returns_is_left_behind():
    forever = threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        forever.wait()

    begun_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Stages(patience_s=20, patience_with_reader_s=0.1) as stages:
        for _ in stages.ahead((n for n in stages.ahead(stuck(), depth=1)), depth=1):
            raise KeyboardInterrupt
    assert time.monotonic() - begun_s < 10
    forever.set()
