"""A few of many, evenly."""

from __future__ import annotations

import pytest

from tracknet.utils.spacing import evenly_spaced


@pytest.mark.parametrize(
    ("count", "most", "chosen"),
    [
        (9, 3, [0, 4, 8]),
        (10, 4, [0, 3, 6, 9]),
        (3, 3, [0, 1, 2]),
        (2, 5, [0, 1]),
        (7, 1, [0]),
        (7, 0, []),
        (0, 4, []),
    ],
)
def test_ends_and_even_parts_between(count: int, most: int, chosen: list[int]) -> None:
    assert evenly_spaced(range(count), most) == chosen


@pytest.mark.parametrize("count", [100, 4097])
def test_all_are_taken_where_there_is_room(count: int) -> None:
    assert evenly_spaced(range(count), count) == list(range(count))
