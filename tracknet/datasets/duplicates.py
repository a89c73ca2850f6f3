"""Frames that show the very moment of another: repeats of re-timed video, and the same moment in two splits.

Pictures are compared shrunken to 64x36 grey cells, by the largest difference of any cell. A ball or a player that
moves changes some cell by more; the noise of a codec, averaged over 64 pixels, does not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.datasets.reader import ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.utils.errors import RunError
from tracknet.utils.images import ImageError, decode_grey_quarter
from tracknet.utils.spacing import evenly_spaced

SAME_MOMENT = 2
"""Largest difference of a cell, of 255. Where broadcasts of 25 frames/s are shown at 30, the repeats differ by 1 or 2;
of 341 tennis neighbours without repeats, none by less than 5 (benchmarks/results/duplicates/broadcasts.txt)."""
_CELLS = (64, 36)
_COARSE = (16, 9)
STRETCH_FRAMES = 48
"""Consecutive frames that are compared together: eight repeats of every sixth frame."""
_PER_CLIP = (0.25, 0.5, 0.75)
_MOST_QUERIES = 600
_LISTED = 10

Cells = npt.NDArray[np.int16]
Row = tuple[int, int]  # which ShardSet, and which of its rows


@dataclass
class _Game:
    pairs: int = 0
    repeats: int = 0
    gaps: Counter[int] = field(default_factory=Counter)

    def period(self) -> int | None:
        """`6` where every sixth frame repeats the one before it."""
        if not self.gaps:
            return None
        gap, count = self.gaps.most_common(1)[0]
        return gap if gap > 1 and count >= 3 and count >= 0.6 * self.gaps.total() else None


def find_repeats(
    splits: Sequence[ShardSet],
    *,
    most_frames: int | None,
    on_frame: Callable[[int], object] = lambda count: None,
) -> dict[str, Any]:
    """Near-identical neighbours, their period, and near-identical frames in different splits.

    Args:
        splits: of one build.
        most_frames: to decode about so many at most, in stretches spread over all clips; `None` decodes all.
        on_frame: told how many frames were decoded.

    Returns:
        Plain values: `pairs_compared` and `of_pairs` of neighbours, `near_identical` (frames like the one
        before them), `games` (name -> pairs, repeats, period), `first` (keys), `across_splits` (`frames_sought`,
        `found`, `first`).

    Raises:
        RunError: damaged data, by shard and key.
    """
    readers = [ShardReader(shards) for shards in splits]

    def cells(at: Row) -> Cells:
        on_frame(1)
        return shrink_frame(readers[at[0]], at[1])

    seek = _Queries([(at, cells(at)) for at in _query_rows(splits)], len(splits))
    games: dict[str, _Game] = defaultdict(_Game)
    first: list[str] = []
    for which, start, end in _stretches(splits, most_frames):
        table = splits[which].table
        game = games[table.clips[table.clip_id[start]][0]]
        previous: Cells | None = None
        hits = []
        for row in range(start, end):
            current = cells((which, row))
            seek.compare((which, row), current)
            if previous is not None and int(np.abs(current - previous).max()) <= SAME_MOMENT:
                hits.append(row)
            previous = current
        game.pairs += end - start - 1
        game.repeats += len(hits)
        first += [table.keys[row] for row in hits[: _LISTED - len(first)]]
        # Where nothing moves for long, gaps say nothing of the video's timing.
        if len(hits) * 2 < end - start:
            game.gaps.update(np.diff(hits).tolist())
    return {
        "pairs_compared": sum(game.pairs for game in games.values()),
        "of_pairs": sum(len(shards) - len(shards.table.run_bounds()) for shards in splits),
        "near_identical": sum(game.repeats for game in games.values()),
        "games": {
            name: {"pairs": game.pairs, "repeats": game.repeats, "period": game.period()}
            for name, game in games.items()
        },
        "first": first,
        "across_splits": {
            "frames_sought": len(seek),
            "found": len(seek.found),
            "first": [
                [splits[a[0]].table.keys[a[1]], splits[b[0]].table.keys[b[1]]]
                for a, b in list(seek.found.items())[:_LISTED]
            ],
        },
    }


def frames_to_decode(splits: Sequence[ShardSet], most_frames: int | None) -> int:
    """How many frames `find_repeats` will decode."""
    stretches = sum(end - start for _, start, end in _stretches(splits, most_frames))
    return stretches + len(_query_rows(splits))


class _Queries:
    """A few frames of every clip, sought among the frames of the other splits."""

    def __init__(self, frames: list[tuple[Row, Cells]], splits: int) -> None:
        self.found: dict[Row, Row] = {}
        self._rows = [[at for at, _ in frames if at[0] != which] for which in range(splits)]
        kept = [[cells for at, cells in frames if at[0] != which] for which in range(splits)]
        shape = (0, _CELLS[1], _CELLS[0])
        self._cells = [np.stack(some) if some else np.zeros(shape, np.int16) for some in kept]
        self._coarse = [_means(some) for some in self._cells]
        self._count = len(frames) if splits > 1 else 0
        for at, cells in frames:
            self.compare(at, cells)

    def __len__(self) -> int:
        return self._count

    def compare(self, at: Row, cells: Cells) -> None:
        """Notes which of the sought frames of other splits this one is."""
        others = self._cells[at[0]]
        if not len(others):
            return
        # Means of 16 cells cannot differ by more than a cell does; they rule out nearly all at a 16th of the cost.
        near = np.flatnonzero(
            np.abs(self._coarse[at[0]] - _means(cells[None])).reshape(len(others), -1).max(1) <= SAME_MOMENT
        )
        for number in near.tolist():
            if int(np.abs(others[number] - cells).max()) <= SAME_MOMENT:
                self.found.setdefault(self._rows[at[0]][number], at)


def shrink_frame(reader: ShardReader, row: int) -> Cells:
    """A frame as 64x36 grey cells: int16 `[36, 64]`, 0..255. Raises RunError for damaged data."""
    try:
        grey = decode_grey_quarter(reader.read_bytes(row), size=reader.shards.manifest.image_size)
    except ImageError as error:
        raise RunError(f"{reader.shards.origin(row)}: {error}", remedy="build the shards again") from None
    return np.asarray(cv2.resize(grey, _CELLS, interpolation=cv2.INTER_AREA), np.int16)


def _means(cells: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """`[N, 36, 64]` cells -> `[N, 9, 16]` means of 4x4 of them."""
    rows, columns = _COARSE[1], _COARSE[0]
    blocks = cells.reshape(len(cells), rows, _CELLS[1] // rows, columns, _CELLS[0] // columns)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def _query_rows(splits: Sequence[ShardSet]) -> list[Row]:
    if len(splits) < 2:
        return []
    rows: list[Row] = []
    for which, shards in enumerate(splits):
        starts = np.flatnonzero(np.diff(shards.table.clip_id, prepend=-1))
        ends = np.append(starts[1:], len(shards))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            rows += [
                (which, row) for row in sorted({start + int(part * (end - start)) for part in _PER_CLIP})
            ]
    return evenly_spaced(rows, _MOST_QUERIES)


def _stretches(splits: Sequence[ShardSet], most_frames: int | None) -> Iterator[tuple[int, int, int]]:
    """(which split, first row, one past the last) of runs of consecutive frames, at most `STRETCH_FRAMES` each.

    Neighbouring stretches share a frame, so that with no limit every pair of neighbours is compared.
    """
    whole = [
        (which, at, min(at + STRETCH_FRAMES, end))
        for which, shards in enumerate(splits)
        for start, end in shards.table.run_bounds().tolist()
        for at in range(start, max(end - 1, start + 1), STRETCH_FRAMES - 1)
    ]
    yield from whole if most_frames is None else evenly_spaced(whole, max(1, most_frames // STRETCH_FRAMES))
