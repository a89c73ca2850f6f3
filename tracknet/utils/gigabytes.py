"""Bytes as GB, in what a person reads and is told to set."""

from __future__ import annotations

GB = 10**9


def at_least_gb(size: int) -> str:
    """Bytes as GB with two digits after the point, never less than they are: what a setting needs at least."""
    return f"{-(-size // (GB // 100)) / 100:.2f}"
