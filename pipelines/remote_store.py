"""A build's folder behind an fsspec URL: an object store, or a file system of another machine.

A large file is written and verified on local disk and sent under its final name only when whole. Object stores
make an upload visible in one step; elsewhere it is sent under a hidden name and renamed.
"""

from __future__ import annotations

import contextlib
import functools
import posixpath
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pipelines.remote_lock import hold
from pipelines.store import NO_ROOM, TEMPORARY, Lease, named_when_full, temporary_name
from tracknet.datasets.schema import NOTES_NAME
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.scratch import scratch_folder
from tracknet.utils.urls import hide_secrets, open_filesystem, shown

WHOLE_OR_ABSENT = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "memory"})
"""Protocols whose uploads appear in one step, and whose renames are copies."""

SCRATCH_PREFIX = "tracknet-build-"

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _explained(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Turns what the libraries behind fsspec raise, each its own kind, into one that says where it happened."""

    @functools.wraps(method)
    def explained(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        try:
            return method(*args, **options)
        except UserError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise OSError(error.errno, error.strerror, str(args[0])) from error
            raise _refused(str(args[0]), error) from error

    return explained


def _refused(url: str, error: Exception) -> RunError:
    return RunError(
        f"{url}: {type(error).__name__}: {hide_secrets(str(error))}",
        remedy="check the address, your right to write there and the network; what is finished is kept, and the "
        "same command goes on from there",
    )


class RemoteStore:
    """See `pipelines.store.Store`. Credentials and options come from fsspec's own configuration."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._fs, root = open_filesystem(self.url)
        self._root = root.rstrip("/")
        protocols = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        self._renames = WHOLE_OR_ABSENT.isdisjoint(protocols)

    def __str__(self) -> str:
        return shown(self.url)

    @_explained
    def read_all(self, names: Collection[str]) -> dict[str, bytes]:
        """See `Store`."""
        paths = {self._path(name): name for name in names}
        if not paths:
            return {}
        found: dict[str, bytes | Exception] = self._fs.cat(list(paths), on_error="return")
        for path, content in found.items():
            if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                raise _refused(f"{self}/{paths[path]}", content)
        return {paths[path]: content for path, content in found.items() if isinstance(content, bytes)}

    @_explained
    def sizes(self, folder: str = "") -> dict[str, int]:
        """See `Store`."""
        return {name: size for name, size in self._list(folder).items() if not TEMPORARY.fullmatch(name)}

    @_explained
    def put(self, name: str, data: bytes) -> None:
        """See `Store`."""
        self._send(name, len(data), lambda path: self._fs.pipe_file(path, data))

    @_explained
    def put_file(self, path: Path, name: str) -> None:
        """See `Store`."""
        self._send(name, path.stat().st_size, lambda target: self._fs.put_file(str(path), target))

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """See `Store`. In the system's temporary folder of whichever machine writes."""
        with scratch_folder(SCRATCH_PREFIX) as folder, named_when_full(folder / name):
            yield folder / name

    @_explained
    def delete(self, names: Collection[str]) -> None:
        """See `Store`."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._path(name))

    @_explained
    def remove_leftovers(self) -> None:
        """See `Store`."""
        for folder in ("", NOTES_NAME):
            for name in self._list(folder):
                if TEMPORARY.fullmatch(name):
                    self.delete([posixpath.join(folder, name)])

    @contextlib.contextmanager
    def lock(self) -> Iterator[Lease]:
        """See `Store`, and `remote_lock` for what such a lock can promise."""
        self._make_folders()
        with hold(self) as token:
            yield Lease(self.url, token)

    def free_bytes(self) -> int | None:
        """See `Store`."""
        return None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @_explained
    def _make_folders(self) -> None:
        # An object store has no folders, and asked for one it might make a bucket of a mistyped name.
        if self._renames:
            self._fs.makedirs(self._path(NOTES_NAME), exist_ok=True)

    def _list(self, folder: str) -> dict[str, int]:
        path = self._path(folder).rstrip("/")
        self._fs.invalidate_cache()  # other machines write there too
        try:
            listed: list[dict[str, Any]] = self._fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {posixpath.basename(e["name"]): int(e["size"]) for e in listed if e["type"] == "file"}

    def _send(self, name: str, size: int, send: Callable[[str], None]) -> None:
        final = self._path(name)
        if not self._renames:
            send(final)
            self._check_size(final, size)
            return
        hidden = self._path(temporary_name(name))
        try:
            send(hidden)
            self._check_size(hidden, size)
            try:
                self._fs.mv(hidden, final)
            except OSError:
                # Some servers rename onto no existing file. What is replaced has no note then (`begin`), or is
                # a note whose loss costs its shard's work.
                if not self._fs.exists(final):
                    raise
                self._fs.rm_file(final)
                self._fs.mv(hidden, final)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(hidden)
            raise

    def _check_size(self, path: str, size: int) -> None:
        self._fs.invalidate_cache()
        found = self._fs.info(path)["size"]
        if found != size:
            raise RunError(
                f"{self}: {posixpath.basename(path)} has {found} bytes there after {size} were sent",
                remedy="run the same command again; if it stays so, that store loses data",
            )
