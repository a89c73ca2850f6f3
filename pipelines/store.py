"""Where a build is written: a folder of files, each of which is whole or absent, even where a writer dies.

`open_store` takes a local folder or an fsspec URL. The stored names are relative, with forward slashes:
`train-000.tar`, `.build/train-000.json`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn, Protocol

from pipelines.pool import check_stop
from tracknet.datasets.schema import NOTES_NAME
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.file_lock import locked
from tracknet.utils.files import replace_file, sync_folder
from tracknet.utils.lock_record import owner_of, read_record
from tracknet.utils.urls import is_url

LOCK_NAME = f"{NOTES_NAME}/lock"
TEMPORARY = re.compile(r"\..+\.tmp-\w+")
SECONDS_BETWEEN_CHECKS = 1.0
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Store(Protocol):
    """A folder of files, somewhere. `str(store)` is how a person names it."""

    def read_all(self, names: Collection[str]) -> dict[str, bytes]:
        """Whole files by name, without those that are not there."""
        ...

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Bytes of the finished files directly in `folder`, by their names there; empty where it is absent."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Writes a file; a reader sees the old content or the new, never a part."""
        ...

    def put_file(self, path: Path, name: str) -> None:
        """Makes a finished file of `scratch` appear under `name`, whole; `path` may be gone then."""
        ...

    def scratch(self, name: str) -> AbstractContextManager[Path]:
        """Where to write a large file before `put_file`; whatever is there is removed in the end."""
        ...

    def delete(self, names: Collection[str]) -> None:
        """Removes files for good; those that are not there count as removed."""
        ...

    def remove_leftovers(self) -> None:
        """Removes what killed builds left half-written. Call it inside `lock`."""
        ...

    def lock(self) -> AbstractContextManager[Lease]:
        """Makes the folder and keeps other builds out of it."""
        ...

    def free_bytes(self) -> int | None:
        """Room that is left, where that can be known."""
        ...


class Lease:
    """The right to write into a store while one build holds its lock; travels to any process or machine.

    Calling it is the `check_stop` of a shard's task: it looks at the lock once a second, so that what a killed
    or cancelled build left running on a cluster stops before it writes into the next build.
    """

    def __init__(self, place: Path | str, token: str) -> None:
        self.place, self.token = place, token
        self._next_check_s = 0.0

    def __reduce__(self) -> tuple[type[Lease], tuple[Path | str, str]]:
        return Lease, (self.place, self.token)

    def __call__(self) -> None:
        """Raises `StopWork` or `RunError` where the work should end."""
        check_stop()
        if time.monotonic() >= self._next_check_s:
            self.check()
            self._next_check_s = time.monotonic() + SECONDS_BETWEEN_CHECKS

    def check(self) -> None:
        """Looks at the lock now.

        Raises:
            RunError: it is not there or of another build.

        """
        record = read_record(open_store(self.place).read_all([LOCK_NAME]).get(LOCK_NAME))
        if record.get("token") != self.token:
            raise RunError(
                f"{open_store(self.place)}, as {platform.node()} sees it, is not locked by this build"
                + (f" but by {owner_of(record)}" if record else ""),
                remedy="it was cancelled or taken over, or that machine has another folder under this name: "
                "all machines of a build must see the same --out",
            )


class LocalStore:
    """A folder of this machine, or one that all machines mount under the same name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def read_all(self, names: Collection[str]) -> dict[str, bytes]:
        """See `Store`."""
        found = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[name] = (self.path / name).read_bytes()
        return found

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Store`."""
        found = {}
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self.path / folder) as all_,
        ):
            for entry in all_:
                if entry.is_file() and not TEMPORARY.fullmatch(entry.name):
                    found[entry.name] = entry.stat().st_size
        return found

    def put(self, name: str, data: bytes) -> None:
        """See `Store`."""
        with named_when_full(self.path / name):
            replace_file(self.path / name, data)

    def put_file(self, path: Path, name: str) -> None:
        """See `Store`."""
        path.replace(self.path / name)
        sync_folder(self.path)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """See `Store`. On the same disk as the final file, and unique among machines that share it."""
        path = self.path / temporary_name(name)
        try:
            with named_when_full(path):
                yield path
        finally:
            path.unlink(missing_ok=True)

    def delete(self, names: Collection[str]) -> None:
        """See `Store`."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)
        for folder in {(self.path / name).parent for name in names}:
            sync_folder(folder)

    def remove_leftovers(self) -> None:
        """See `Store`."""
        for path in [*self.path.iterdir(), *(self.path / NOTES_NAME).iterdir()]:
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Lease]:
        """See `Store`. The system's own lock: it ends with the process, however that ends."""
        try:
            (self.path / NOTES_NAME).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(
                f"--out {self}: there is a file where the folder should be",
                remedy="choose another --out",
            ) from None

        def refuse(holder: dict[str, Any]) -> NoReturn:
            raise UserError(
                f"--out {self}: another build is writing there ({owner_of(holder)})",
                remedy="wait for it, stop it, or choose another --out",
            )

        # Without the file, tasks on other machines know that this build is over.
        with locked(self.path / LOCK_NAME, refuse, remove=True) as record:
            yield Lease(self.path.resolve(), record["token"])

    def free_bytes(self) -> int | None:
        """See `Store`."""
        try:
            return shutil.disk_usage(self.path).free
        except FileNotFoundError:  # there was no room for the folder itself
            return None


def output_place(out: str) -> Path | str:
    """What `--out` names: a folder as a `Path`, a URL as the string it is.

    `file:///mnt/x` is a URL: a folder that is treated as if it were remote.

    Raises:
        UserError: the place would be gone when the command ends.

    """
    if out.startswith("memory:"):
        raise UserError(
            f"--out {out}: the memory of one process, which workers do not see and which is lost when the command ends",
            remedy="give a folder, or a URL such as s3://bucket/shards or file:///mnt/shared/shards",
        )
    return out if is_url(out) else Path(out)


def open_store(place: Path | str) -> Store:
    """The store at a local folder, or, of a string, at an fsspec URL.

    Raises:
        UserError: no such kind of URL, or the package for it is not installed.

    """
    if isinstance(place, Path):
        return LocalStore(place)
    from pipelines.remote_store import RemoteStore

    return RemoteStore(place)


def temporary_name(name: str) -> str:
    """A hidden name beside `name`, like no other of any process or machine."""
    return str(Path(name).with_name(f".{Path(name).name}.tmp-{uuid.uuid4().hex[:12]}"))


@contextlib.contextmanager
def named_when_full(place: Path | str) -> Iterator[None]:
    """A full disk is reported by the system without a name."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(place)) from None
        raise
