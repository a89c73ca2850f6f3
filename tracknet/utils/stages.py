"""Work in threads that hand each other items through bounded queues, and that end together whatever happens."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

# How often a waiting thread looks whether all is over.
_LOOK_S = 0.2


class _Over(Exception):
    """The stages were ended from elsewhere."""


class Stages:
    """A context. `ahead` moves the making of items into a thread of its own:

        with Stages() as stages:
            decoded = stages.ahead(decode(), depth=16)
            for result in stages.ahead(compute(decoded), depth=2):
                write(result)

    An exception in any stage comes out where its items are taken, and so at the end in the loop of the caller. Leaving
    the block ends every thread; one that is stuck in a read that never returns (a camera, a pipe) is left behind, as
    the daemon that it is. Whoever takes items hears Ctrl-C, whatever the threads wait for.
    """

    def __init__(self, *, patience_s: float = 10.0, patience_with_reader_s: float = 1.0) -> None:
        """Starts nothing.

        Args:
            patience_s: how long leaving the block waits for threads to end what they are at.
            patience_with_reader_s: the same for the first stage, which may wait for something that never comes.
        """
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._patience_s, self._patience_with_reader_s = patience_s, patience_with_reader_s

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends every thread, as leaving the block does; harmless when repeated."""
        self._stop.set()
        begun_s = time.monotonic()
        for number, thread in enumerate(self._threads):
            patience_s = self._patience_s if number else self._patience_with_reader_s
            thread.join(max(0.0, begun_s + patience_s - time.monotonic()))

    def ahead(self, items: Iterable[T], *, depth: int) -> Iterator[T]:
        """The same items, made by a thread that is at most `depth` of them ahead.

        Args:
            items: iterated over in the thread, and closed there (where it is a generator).
            depth: of the queue, at least 1.
        """
        box: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
        thread = threading.Thread(target=self._make, args=(items, box), daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._take(box)

    def _make(self, items: Iterable[Any], box: queue.Queue[tuple[str, Any]]) -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                self._put(box, ("item", item))
            self._put(box, ("end", None))
        except _Over:
            pass
        # Whatever it is: the thread that waits for the items must hear of it.
        except BaseException as error:
            self._hand_over(box, error)
        finally:
            if (close := getattr(iterator, "close", None)) is not None:
                close()

    def _hand_over(self, box: queue.Queue[tuple[str, Any]], error: BaseException) -> None:
        try:
            self._put(box, ("error", error))
        except _Over:
            return

    def _put(self, box: queue.Queue[tuple[str, Any]], message: tuple[str, Any]) -> None:
        while not self._stop.is_set():
            try:
                return box.put(message, timeout=_LOOK_S)
            except queue.Full:
                continue
        raise _Over

    def _take(self, box: queue.Queue[tuple[str, Any]]) -> Iterator[Any]:
        while not self._stop.is_set():
            try:
                kind, value = box.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            if kind == "item":
                yield value
            elif kind == "error":
                raise value
            else:
                return
        raise _Over
