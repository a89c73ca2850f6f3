"""Small rules about names: natural order, and what someone probably meant to type."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Sequence

from tracknet.utils.errors import UserError


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which `Clip2` comes before `Clip10`."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def counted(count: int, noun: str) -> str:
    """`1 shard`, `1,200 shards`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """`once`, `1,200 times`."""
    return "once" if count == 1 else f"{count:,} times"


def listed(names: Sequence[str], limit: int) -> str:
    """`"a, b and 3 more"`: the first few of many names."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" (did you mean lr?)"` for the nearest known word, or an empty string when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def find_game(name: str, known: Sequence[str], *, asked_by: str) -> str:
    """The game meant by its name or by the number that it ends in (`2` is `game2`).

    Args:
        name: what was typed.
        known: the games there are.
        asked_by: the option or key, for messages.

    Raises:
        UserError: no game, or several, can be meant.
    """
    if name in known:
        return name
    matches = []
    if name.isdecimal():
        numbered = {game: re.search(r"(\d+)$", game) for game in known}
        matches = [game for game, match in numbered.items() if match and int(match[1]) == int(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(
            f"{asked_by} {name}: could be {' or '.join(matches)}", remedy="give the game's full name"
        )
    raise UserError(
        f"{asked_by} {name}: there is no such game{did_you_mean(name, known)}",
        remedy=f"the games are {', '.join(known)}",
    )


def program(command: str) -> str:
    """How a command was started, for its usage line: `tracknet train`, or `python -m tracknet.train`."""
    module = getattr(sys.modules["__main__"].__spec__, "name", "")
    return f"python -m {module}" if module.startswith(("tracknet.", "pipelines.")) else f"tracknet {command}"
