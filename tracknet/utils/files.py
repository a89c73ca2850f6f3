"""Files that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

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


def write_json(path: Path, value: Any) -> None:
    """Writes plain values as readable JSON, in one step. Numbers that JSON lacks (NaN, infinity) become null."""
    replace_file(path, (json.dumps(finite_or_none(value), indent=2, allow_nan=False) + "\n").encode())


def finite_or_none(value: Any) -> Any:
    """The same plain values with `None` for every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: finite_or_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder to fill, which becomes `target` when the block ends well, and is gone when it does not.

    A `target` that is there already is replaced; it is set aside first, and `restore_folders` finds it if the
    process dies between the two renames.
    """
    part, aside = (target.with_name(f".{target.name}.{suffix}") for suffix in ("part", "aside"))
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        # A file's name is in its folder's data: without the folder's own sync a power cut may leave it empty.
        for place in (*part.rglob("*"), part):
            if place.is_dir():
                sync_folder(place)
            elif place.is_file():
                with place.open("rb") as handle:
                    os.fsync(handle.fileno())
        shutil.rmtree(aside, ignore_errors=True)
        if target.exists():
            target.rename(aside)
        part.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def restore_folders(parent: Path) -> None:
    """Puts back what `new_folder` had set aside in `parent` when its process died, and removes unfinished ones."""
    for aside in parent.glob(".*.aside"):
        target = parent / aside.name[1 : -len(".aside")]
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)
    for part in parent.glob(".*.part"):
        shutil.rmtree(part, ignore_errors=True)


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
