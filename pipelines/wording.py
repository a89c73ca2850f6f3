"""Numbers and names as a person would write them."""

from __future__ import annotations

from collections.abc import Sequence

from tracknet.utils.naming import counted

LISTED_GAMES = 6


def listed_games(games: Sequence[str]) -> str:
    """The games by name while they are few; else how many, the first and the last."""
    if len(games) <= LISTED_GAMES:
        return ", ".join(games)
    return f"{counted(len(games), 'game')}, {games[0]} to {games[-1]}"


def megabytes(count: int) -> str:
    """`1,234.5 MB`."""
    return f"{count / 1e6:,.1f} MB"
