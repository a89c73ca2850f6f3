"""Temporary folders that do not outlive their process for long, however it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder of our own; those of the same prefix that killed processes left are removed.

    A folder is in use while its owner holds a lock on it. The lock ends with the process, and unlike a process
    number it means the same in every container that shares the disk. Where the disk knows no such locks, folders
    of the dead stay.

    Args:
        prefix: of its name.
        parent: where it is made; `None` is the system's temporary folder (`TMPDIR`).

    Raises:
        OSError: it cannot be made.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _sweep(prefix, parent)
    path, handle = _claim(prefix, parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _sweep(prefix: str, parent: Path) -> None:
    """Removes what killed processes of this user left behind."""
    for path in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _claim(prefix: str, parent: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # Until it is locked, a sweep may take it for a leftover.
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        with contextlib.suppress(OSError):  # where no folder can be locked, no sweep takes it
            fcntl.flock(handle, fcntl.LOCK_EX)
        if path.is_dir():
            return path, handle
        os.close(handle)
