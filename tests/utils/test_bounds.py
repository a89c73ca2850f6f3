"""What passes for a number above 0."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from tracknet.utils.bounds import is_above_0


@pytest.mark.parametrize("value", [1, 0.5, Fraction(30000, 1001), np.float32(25), np.int64(3)])
def test_any_real_number_above_0(value: object) -> None:
    assert is_above_0(value)


@pytest.mark.parametrize("value", [0, -1, -0.5, math.inf, -math.inf, math.nan, "25", None, [1.0]])
def test_what_is_none(value: object) -> None:
    assert not is_above_0(value)
