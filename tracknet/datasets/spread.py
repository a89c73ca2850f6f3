"""A few frames that show a dataset: every game and every kind of visibility, spread over the clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from tracknet.datasets.table import FrameTable


def spread_rows(tables: Sequence[FrameTable], count: int) -> list[tuple[int, int]]:
    """(which table, row) of about `count` frames, in order; rare kinds get as many as common ones while they last.

    Args:
        tables: one per split.
        count: of frames wanted; fewer where there are fewer.
    """
    groups: dict[tuple[int, str, int], list[int]] = defaultdict(list)
    for which, table in enumerate(tables):
        games = [table.clips[clip][0] for clip in table.clip_id.tolist()]
        for row, (game, visibility) in enumerate(zip(games, table.visibility.tolist(), strict=True)):
            groups[which, game, visibility].append(row)
    shares = dict.fromkeys(groups, 0)
    left = min(count, sum(map(len, groups.values())))
    while left:
        for group, rows in groups.items():
            if left and shares[group] < len(rows):
                shares[group] += 1
                left -= 1
    chosen = []
    for (which, _, _), (rows, share) in zip(
        groups, zip(groups.values(), shares.values(), strict=True), strict=True
    ):
        # The middles of equal parts, so that one frame comes from the middle and not from the start.
        places = (np.arange(share) + 0.5) * len(rows) / max(share, 1)
        chosen += [(which, rows[int(place)]) for place in places]
    return sorted(chosen)
