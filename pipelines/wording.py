"""Numbers, names and settings as a person would write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted
from tracknet.utils.settings.model import ModelConfig

LISTED_GAMES = 6


def listed_games(games: Sequence[str]) -> str:
    """The games by name while they are few; else how many, the first and the last."""
    if len(games) <= LISTED_GAMES:
        return ", ".join(games)
    return f"{counted(len(games), 'game')}, {games[0]} to {games[-1]}"


def megabytes(count: int) -> str:
    """`1,234.5 MB`."""
    return f"{count / 1e6:,.1f} MB"


def heatmap_setting(model: ModelConfig, frames: Size, grid: Size) -> list[str]:
    """What makes a model's heatmap the size that it reaches; empty where it is that already.

    Args:
        model: its settings.
        frames: that it is fed.
        grid: the patches of such a frame.
    """
    reached = frames  # a baseline's
    if model.architecture == "modular":
        cells = math.prod(model.decoder.upsample) * model.head.subpixel
        reached = Size(grid.width * cells, grid.height * cells)
    if reached == model.heatmap.size:
        return []
    return [f"model.heatmap.size=[{reached.width},{reached.height}]"]
