"""Bounds of settings, as `tracknet.utils.settings_checker` checks them, and of numbers that people give."""

from __future__ import annotations

import math
import numbers
from dataclasses import field
from typing import Any


def bounded(
    default: Any, low: float | None = None, high: float | None = None, *, above: float | None = None
) -> Any:
    """A field whose value must be within `low <= value <= high` and `> above`."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


def is_above_0(value: object) -> bool:
    """Whether it is a number, finite, and above 0, as rates, times and distances must be."""
    return isinstance(value, numbers.Real) and math.isfinite(value) and float(value) > 0
