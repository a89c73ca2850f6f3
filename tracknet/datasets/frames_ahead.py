"""Frames of a build in batches, read and decoded ahead of whoever computes on them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracknet.datasets.index import ShardSet, open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_path import RemotePath

Frames = npt.NDArray[np.uint8]


class FramesAhead:
    """Threads that read the frames of a build; a context that ends them."""

    def __init__(self, folder: Path | RemotePath, *, batch: int, workers: int) -> None:
        """Reads nothing yet.

        Args:
            folder: of the build.
            batch: frames at once.
            workers: threads; each has two batches in hand or ready.
        """
        self._folder, self._batch, self._ahead = folder, batch, 2 * workers
        self._pool = ThreadPoolExecutor(workers, "frames")
        # A reader belongs to one thread: it keeps files open.
        self._readers = threading.local()
        self._sets: dict[str, tuple[ShardSet, dict[str, int]]] = {}

    def __enter__(self) -> FramesAhead:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def batches(self, split: str, keys: Sequence[str]) -> Iterator[Frames]:
        """Frames uint8 RGB `[n, H, W, 3]`, in the order of their keys; the last batch may be smaller.

        Raises:
            RunError: a frame is damaged.
        """
        if split not in self._sets:
            shards = open_split(self._folder, split)
            self._sets[split] = shards, {key: row for row, key in enumerate(shards.table.keys)}
        row_of = self._sets[split][1]
        rows = [row_of[key] for key in keys]
        starts = iter(range(0, len(rows), self._batch))
        coming: deque[Future[Frames]] = deque()
        while True:
            while len(coming) < self._ahead and (start := next(starts, None)) is not None:
                coming.append(self._pool.submit(self._read, split, rows[start : start + self._batch]))
            if not coming:
                return
            yield coming.popleft().result()

    def _read(self, split: str, rows: Sequence[int]) -> Frames:
        readers: dict[str, ShardReader] = vars(self._readers)
        if split not in readers:
            readers[split] = ShardReader(self._sets[split][0])
        return np.stack([readers[split].read(row) for row in rows])
