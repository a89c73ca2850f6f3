"""Waiting for a cache that others use too: its locks, what is said meanwhile, and what ends the wait."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tracknet.utils.errors import RunError
from tracknet.utils.file_lock import locked
from tracknet.utils.lock_record import is_of_this_run, owner_of, since

_SECONDS_BEFORE_A_WORD = 10.0


class Stopped(Exception):
    """Carries what `check_stop` raised past those who would take it for a fault of the shard."""

    def __init__(self, error: RunError) -> None:
        super().__init__(str(error))
        self.error = error


def told_apart(check_stop: Callable[[], None]) -> Callable[[], None]:
    """Raises what `check_stop` does so that it is no fault of the shard being fetched: another's, told meanwhile."""

    def check() -> None:
        try:
            check_stop()
        except RunError as error:
            raise Stopped(error) from None

    return check


@contextlib.contextmanager
def locked_for(path: Path, what_for: str, check_stop: Callable[[], None]) -> Iterator[None]:
    """Waits for the lock as long as it is held, and says after 10 s by whom."""
    word_at = time.monotonic() + _SECONDS_BEFORE_A_WORD

    def wait(holder: dict[str, Any]) -> None:
        nonlocal word_at
        check_stop()
        if time.monotonic() <= word_at:
            return
        word_at = float("inf")
        if is_of_this_run(holder):
            say(
                f"waiting for {owner_of(holder)}, which is of this very run, {what_for}; since {since(holder)}"
            )
            return
        say(
            f"waiting for {owner_of(holder)}, which holds {path} since {since(holder)}, {what_for}. The lock ends "
            "with that process: if it hangs, end it, and this one goes on where it stopped"
        )

    with locked(path, wait):
        yield


def say(message: str) -> None:
    """A line about the cache of remote shards, for the person watching."""
    print(f"remote shards: {message}", file=sys.stderr, flush=True)
