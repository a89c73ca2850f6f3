"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

_BLOCK_BYTES = 1 << 20


def replace_file(path: Path, data: bytes) -> None:
    """Writes a whole file in one step: a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames and deletions in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hash_stream(file: BinaryIO) -> str:
    """The SHA-256 of what is left to read of a binary file, as 64 hex digits."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()
