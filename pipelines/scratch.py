"""Temporary folders on local disk that do not outlive their process for long, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "tracknet-build-"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of our own in the system's temporary folder (`TMPDIR`); those of killed processes are removed.

    A folder is in use while its owner holds a lock on it. The lock ends with the process, and unlike a process
    number it means the same in every container that shares the disk.
    """
    sweep()
    path, handle = _claim()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def sweep() -> None:
    """Removes what killed processes of this user left behind."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _claim() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Until it is locked, a sweep may take it for a leftover.
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if path.is_dir():
            return path, handle
        os.close(handle)
