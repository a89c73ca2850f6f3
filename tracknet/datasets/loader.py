"""Serves a stream from worker processes that live on between epochs, and says clearly when one of them dies."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from tracknet.datasets.batch import Batch
from tracknet.datasets.stream import Failure, WindowStream
from tracknet.utils.errors import RunError
from tracknet.utils.settings import LoaderConfig


class StreamLoader:
    """A stream and the workers that serve it, kept alive between epochs.

    Attributes:
        workers: how many there are: `data.loader.workers`, or fewer if more would not help.
    """

    def __init__(self, stream: WindowStream, config: LoaderConfig, *, pin_memory: bool = False) -> None:
        self.stream = stream
        self.workers = _useful_workers(stream, config.workers)
        self._prefetch = config.prefetch
        self._pin_memory = pin_memory
        self._loader: DataLoader[Any] | None = None

    @property
    def num_steps(self) -> int:
        """Batches in an epoch."""
        return self.stream.num_steps

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, in the plan's order, from `start_step` on.

        Raises:
            RunError: damaged data, by shard and key; or a worker that died.
        """
        self.stream.seek(epoch, start_step)
        iterator = self._start()
        while True:
            item: Batch | Failure | None
            try:
                item = next(iterator, None)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader worker (pid"):
                    raise
                item = Failure(_worker_died(str(error)))
            if item is None:
                return
            if isinstance(item, Failure):
                # While anything in the error's traceback holds the workers, only the garbage collector can
                # stop them: that takes torch 5 s each.
                self.close()
                del iterator
                raise item.error
            yield item

    def close(self) -> None:
        """Stops the workers; another epoch would start new ones."""
        self._loader = None

    def _start(self) -> Iterator[Any]:
        if self._loader is None:
            self._loader = DataLoader(
                self.stream,
                batch_size=None,
                num_workers=self.workers,
                prefetch_factor=self._prefetch if self.workers else None,
                persistent_workers=self.workers > 0,
                pin_memory=self._pin_memory,
                worker_init_fn=_start_worker,
                # Its own, because starting an epoch draws a number: a resumed run would start one epoch more
                # than an undisturbed one, and the model's dropout would go another way.
                generator=torch.Generator(),
            )
        handler = signal.getsignal(signal.SIGCHLD)
        iterator = iter(self._loader)
        # torch's own handler raises a worker's death wherever the main thread is, in the midst of a training
        # step or at exit. Without it `next` sees it, within 5 s.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
        return iterator


def _useful_workers(stream: WindowStream, wanted: int) -> int:
    """At most as many as wanted and as there are batches, such that each serves whole lanes of the plan.

    Five workers for 24 lanes would each meet every fifth window of a lane and find none of its frames decoded:
    2.99 decodes per window instead of four workers' 1.08 (T = 3).
    """
    most = min(wanted, stream.num_steps)
    lanes = stream.lanes
    if not 0 < lanes < stream.num_steps:
        return most
    return max((count for count in range(1, most + 1) if lanes % count == 0), default=0)


def _worker_died(what: str) -> RunError:
    return RunError(
        f"a worker of the data loader died: {what.splitlines()[0]}",
        remedy="it may have run out of memory: lower data.loader.workers, data.loader.prefetch or "
        "training.batch_size; then go on with --resume",
    )


def _start_worker(worker_id: int) -> None:
    # One decoding thread a worker: more would fight over the cores that the other workers use.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Ctrl-C reaches the whole process group; only the trainer may decide what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
