"""A pool of worker processes that stop within a frame when told to, and never outlive the builder."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event

from pipelines.shard_writer import ShardResult, ShardTask, write_shard

_stop: Event | None = None


class StopWork(Exception):
    """Raised inside a worker that was told to stop."""


def write_in_worker(task: ShardTask) -> ShardResult:
    """`write_shard`, which ends early when this process belongs to a `worker_pool` that was told to stop."""
    return write_shard(task, _check_stop)


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[Executor]:
    """An executor of `workers` processes; leaving it by an exception stops the tasks in progress."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    executor = ProcessPoolExecutor(workers, context, _start_worker, (stop,))
    # Ctrl-C reaches every process of the terminal; children inherit "ignored", so that only the builder
    # acts on it and tells them by `stop`. The first submission starts all of them.
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        executor.submit(os.getpid)
    finally:
        signal.signal(signal.SIGINT, previous)
    try:
        yield executor
    except BaseException:
        stop.set()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(stop: Event) -> None:
    import cv2

    global _stop
    _stop = stop
    cv2.setNumThreads(0)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A killed builder cannot tell its workers to stop; without this they would write on, beside the next."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _check_stop() -> None:
    if _stop is not None and _stop.is_set():
        raise StopWork
