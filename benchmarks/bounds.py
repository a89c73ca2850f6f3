"""Numbers of a benchmark's command line: those that nothing can be measured with are refused as they are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tracknet.utils.bounds import is_above_0


def at_least(low: int) -> Callable[[str], int]:
    """A whole number that is not below `low`, as argparse's `type`."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"needs a whole number, got {text!r}") from None
        if number < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}, got {number}")
        return number

    return whole


def above_0(text: str) -> float:
    """A finite number above 0, as argparse's `type`."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs a number, got {text!r}") from None
    if not is_above_0(number):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number
