"""Small rules about names: natural order, and what someone probably meant to type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which `Clip2` comes before `Clip10`."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" (did you mean lr?)"` for the nearest known word, or an empty string when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""
