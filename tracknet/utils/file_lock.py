"""Locks of files that end with the process that holds them, however it ends, and that say who that is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tracknet.utils.lock_record import new_record, read_record

# What disks say that know no such locks.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_SECONDS_BETWEEN_LOOKS = 0.1
# Locks that this process holds or waits for. A child forked meanwhile would hold them for as long as it lives.
_OPEN: set[int] = set()


@contextlib.contextmanager
def locked(
    path: Path, on_held: Callable[[dict[str, Any]], None], *, remove: bool = False
) -> Iterator[dict[str, Any]]:
    """Holds the system's own lock on a file; yields what is written in it of the holder (`lock_record`).

    What a killed process leaves is a file that nobody holds.

    Args:
        path: is made where it is not there.
        on_held: called with the holder's record whenever somebody else has the lock; raises, or the lock is tried
            again 0.1 s later.
        remove: leave no file behind.

    Raises:
        OSError: the file cannot be made or written, or its disk knows no locks.
    """
    descriptor = _take(path, on_held)
    try:
        record = new_record()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)
        yield record
    finally:
        if descriptor in _OPEN:  # not so in a forked child: the lock is its parent's
            if remove:
                path.unlink(missing_ok=True)
            _close(descriptor)


def _take(path: Path, on_held: Callable[[dict[str, Any]], None]) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _OPEN.add(descriptor)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    on_held(read_record(os.pread(descriptor, 4096, 0)))
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
        except BaseException:
            _close(descriptor)
            raise
        # The holder removed the file before it let go: the next one to come would not meet this lock.
        _close(descriptor)


def _close(descriptor: int) -> None:
    _OPEN.discard(descriptor)
    os.close(descriptor)


def _leave_locks_to_the_parent() -> None:
    while _OPEN:
        os.close(_OPEN.pop())


os.register_at_fork(after_in_child=_leave_locks_to_the_parent)
