"""A pool of worker processes that stop within a frame when told to, and never outlive their parent."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from typing import Any

from pipelines.workers import HeldInterrupts, Workers

_stop: Event | None = None


class StopWork(Exception):
    """Raised inside a worker that was told to stop."""


@contextlib.contextmanager
def worker_pool(count: int) -> Iterator[Workers]:
    """So many processes; leaving them by an exception stops the tasks in progress.

    Tasks stop where they call `check_stop`. About ten named semaphores are the pool's. Killed alone, this process
    leaves none: Python's resource tracker removes them. A SIGKILL of the whole process group takes the tracker too, and
    leaves them in /dev/shm, 32 bytes each, until the machine or its container starts anew; spawned workers must find
    them by name, so that they cannot be unlinked before.
    """
    # Spawned, not forked: OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    executor = _QuietPool(count, context, _start_worker, (stop,))
    with HeldInterrupts() as interrupts:
        try:
            yield Workers(executor, interrupts)
        except BaseException:
            stop.set()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


class _QuietPool(ProcessPoolExecutor):
    """Starts its workers, as tasks come, with Ctrl-C held back: one that is still importing would answer it with a
    traceback, before it can be told to leave it to the parent.
    """

    def submit(self, task: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(task, *args, **options)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_stop() -> None:
    """Raises `StopWork` in a worker of a `worker_pool` that was told to stop; does nothing elsewhere."""
    if _stop is not None and _stop.is_set():
        raise StopWork


def _start_worker(stop: Event) -> None:
    # Ctrl-C reaches every process of a terminal; workers leave it to the parent, which tells them by `stop`.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    import cv2

    global _stop
    _stop = stop
    cv2.setNumThreads(0)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A killed parent cannot tell its workers to stop; without this they would write on, beside the next."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
