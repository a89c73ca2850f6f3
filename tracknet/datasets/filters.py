"""Which windows a training sees. Filters choose windows, not frames: what they leave out still serves as context."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows
from tracknet.utils.errors import UserError
from tracknet.utils.naming import find_game, natural_key
from tracknet.utils.settings import FilterConfig


def choose_windows(
    table: FrameTable, windows: Windows, config: FilterConfig, *, map_frames: Sequence[int]
) -> WindowRuns:
    """The windows that pass every filter.

    Args:
        table: the frames.
        windows: of the table.
        config: the filters.
        map_frames: positions in the window that have a target.

    Raises:
        UserError: a game that is not there, or no window is left; with the counts after each filter.
    """
    runs = WindowRuns.all_of(windows.run_bounds)
    stages = [f"{len(runs):,} windows in all"]

    def narrow(keep: npt.NDArray[np.bool_], what: str) -> None:
        nonlocal runs
        runs = runs.only(keep[runs.ids])
        stages.append(f"{len(runs):,} after {what}")

    if config.games is not None or config.exclude_games:
        narrow(_of_chosen_games(table, config), _games_in_words(config))
    if config.visible_only:
        narrow(_with_a_ball(table, windows, map_frames), "data.filter.visible_only")
    if config.every > 1:
        first_of_run = np.repeat(windows.run_bounds[:, 0], np.diff(windows.run_bounds)[:, 0])
        narrow(
            (np.arange(len(windows)) - first_of_run) % config.every == 0, f"data.filter.every={config.every}"
        )
    if len(windows) and not len(runs):
        raise UserError(
            "data.filter leaves nothing to train on", problems=stages, remedy="loosen or remove a filter"
        )
    return runs


def chosen_games(table: FrameTable, config: FilterConfig) -> list[str]:
    """The games that a training sees, as people sort them.

    Raises:
        UserError: the filters name one that is not there.
    """
    known = sorted({game for game, _ in table.clips}, key=natural_key)
    problems: list[str] = []

    def resolve(names: Sequence[str], key: str) -> set[str]:
        found = set()
        for name in names:
            try:
                found.add(find_game(name, known, asked_by=f"data.filter.{key}:"))
            except UserError as error:
                problems.append(error.what)
        return found

    wanted = set(known) if config.games is None else resolve(config.games, "games")
    wanted -= resolve(config.exclude_games, "exclude_games")
    if problems:
        raise UserError(
            f"data.filter names {'games' if len(problems) > 1 else 'a game'} that the training shards do not hold",
            problems=problems,
            remedy=f"the games are {', '.join(known)}",
        )
    return [game for game in known if game in wanted]


def _of_chosen_games(table: FrameTable, config: FilterConfig) -> npt.NDArray[np.bool_]:
    wanted = set(chosen_games(table, config))
    clip_is_wanted = np.array([game in wanted for game, _ in table.clips], np.bool_)
    return clip_is_wanted[table.clip_id]


def _games_in_words(config: FilterConfig) -> str:
    parts = [] if config.games is None else [f"data.filter.games={','.join(config.games)}"]
    if config.exclude_games:
        parts.append(f"data.filter.exclude_games={','.join(config.exclude_games)}")
    return " and ".join(parts)


def _with_a_ball(table: FrameTable, windows: Windows, map_frames: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Bool `[N]`: at least one of the window's targets has a ball."""
    seen = table.visibility > 0
    ids = np.arange(len(windows), dtype=np.int64)
    found = np.zeros(len(ids), np.bool_)
    # A block at a time: the rows of 10 million windows of 5 frames would be 400 MB.
    for first in range(0, len(ids), 1 << 20):
        block = ids[first : first + (1 << 20)]
        found[first : first + len(block)] = seen[windows.rows(block)[:, list(map_frames)]].any(axis=1)
    return found
