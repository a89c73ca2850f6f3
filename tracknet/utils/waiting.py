"""Runs blocking work in a thread so that the caller can still be interrupted.

For many pieces of work, one after the other, that is `Stages.ahead`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How often the caller checks whether the time is over.
_LOOK_S = 0.2


def waited_for(make: Callable[[], T], *, limit_s: float | None, discard: Callable[[T], None]) -> T:
    """What `make` returns; it works in a thread, so that Ctrl-C is heard while it waits in a library.

    Whoever leaves early, by Ctrl-C or at the limit, leaves the thread behind: a daemon, which discards what it may
    make after all.

    Args:
        make: the work.
        limit_s: how long it may take; `None` for ever.
        discard: lets go of what was made too late.

    Raises:
        TimeoutError: the time is over.
        BaseException: whatever `make` raises.
    """
    made: queue.SimpleQueue[tuple[bool, T | BaseException]] = queue.SimpleQueue()
    lock, given_up = threading.Lock(), False

    def work() -> None:
        try:
            result = make()
        # Of every kind: it is raised again where the caller waits.
        except BaseException as error:
            made.put((False, error))
            return
        with lock:
            if not given_up:
                made.put((True, result))
                return
        discard(result)

    deadline_s = None if limit_s is None else time.monotonic() + limit_s
    threading.Thread(target=work, daemon=True).start()
    try:
        while True:
            try:
                done, result = made.get(timeout=_LOOK_S)
                break
            except queue.Empty:
                if deadline_s is not None and time.monotonic() > deadline_s:
                    raise TimeoutError from None
    except BaseException:
        with lock:
            given_up = True
        if not made.empty() and (late := made.get())[0]:
            discard(late[1])  # type: ignore[arg-type]
        raise
    if done:
        return result  # type: ignore[return-value]
    raise result  # type: ignore[misc]
