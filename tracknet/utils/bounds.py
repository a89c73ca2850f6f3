"""Bounds of a setting, as `tracknet.utils.settings_checker` checks them."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def bounded(
    default: Any, low: float | None = None, high: float | None = None, *, above: float | None = None
) -> Any:
    """A field whose value must be within `low <= value <= high` and `> above`."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})
