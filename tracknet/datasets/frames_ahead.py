"""Frames of a build in batches, read and decoded ahead of the computation."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracknet.datasets.index import open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.shard_set import ShardSet

Frames = npt.NDArray[np.uint8]
_LOOK_S = 0.1


class FramesAhead:
    """Threads that read the frames of a build; a context that ends them, whatever server they wait for."""

    def __init__(self, folder: Path | RemotePath, *, batch: int, workers: int) -> None:
        """Reads nothing yet.

        Args:
            folder: of the build.
            batch: frames at once.
            workers: threads; each has two batches in hand or ready.
        """
        self._folder, self._batch, self._ahead = folder, batch, 2 * workers
        self._left = threading.Event()
        self._pool = ThreadPoolExecutor(workers, "frames")
        # A reader belongs to one thread: it keeps files open.
        self._readers = threading.local()
        self._sets: dict[str, tuple[ShardSet, dict[str, int]]] = {}

    def __enter__(self) -> FramesAhead:
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self._pool.shutdown(cancel_futures=True)

    def batches(
        self, split: str, keys: Sequence[str], check_stop: Callable[[], None] = lambda: None
    ) -> Iterator[Frames]:
        """Frames uint8 RGB `[n, H, W, 3]`, in the order of their keys; the last batch may be smaller.

        Args:
            split: that they are of.
            keys: of the frames.
            check_stop: called every 0.1 s while a batch is waited for; may raise.

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
            batch = coming.popleft()
            while not wait([batch], _LOOK_S).done:
                check_stop()
            yield batch.result()

    def _read(self, split: str, rows: Sequence[int]) -> Frames:
        readers: dict[str, ShardReader] = vars(self._readers)
        if split not in readers:
            readers[split] = ShardReader(self._sets[split][0])
            readers[split].check_stop = self._check_left
        frames = []
        for row in rows:
            self._check_left()
            frames.append(readers[split].read(row))
        return np.stack(frames)

    def _check_left(self) -> None:
        if self._left.is_set():
            raise _Left


class _Left(Exception):
    """The frames are no longer wanted."""
