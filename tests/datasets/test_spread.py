"""A few frames stand for all kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import table_of
from tracknet.datasets.spread import spread_rows

TABLE = table_of(list(range(30)), list(range(10)))


def test_rare_kinds_get_as_many_as_common_ones() -> None:
    visibility = TABLE.visibility.copy()
    visibility[[5, 6]] = 2
    chosen = spread_rows([replace(TABLE, visibility=visibility)], 6)
    assert [int(visibility[row]) for _, row in chosen].count(2) == 2
    assert (0, 3) in chosen  # the one frame without a ball
    assert len(chosen) == 6


def test_one_frame_comes_from_the_middle() -> None:
    table = replace(TABLE, visibility=np.ones(40, np.int8))
    assert spread_rows([table], 1) == [(0, 20)]


@given(st.integers(0, 100), st.integers(1, 3))
def test_as_many_as_asked_for_each_once_and_in_order(count: int, tables: int) -> None:
    chosen = spread_rows([TABLE] * tables, count)
    assert len(chosen) == len(set(chosen)) == min(count, 40 * tables)
    assert chosen == sorted(chosen)
