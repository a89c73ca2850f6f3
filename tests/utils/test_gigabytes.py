"""What a setting is told to be at least is never too little, nor a hundredth of a GB too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.utils.gigabytes import GB, at_least_gb


@pytest.mark.parametrize(
    ("size", "says"),
    [(0, "0.00"), (1, "0.01"), (1_040_000_000, "1.04"), (1_040_000_001, "1.05"), (12 * GB, "12.00")],
)
def test_bytes_are_rounded_up_to_hundredths(size: int, says: str) -> None:
    assert at_least_gb(size) == says


@given(st.integers(0, 10**14))
def test_what_is_said_suffices(size: int) -> None:
    said = round(float(at_least_gb(size)) * GB)
    assert size <= said < size + GB // 100
