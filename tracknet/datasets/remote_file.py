"""Fetches a file of known size and hash from a URL: in parts, with patience, and never a wrong byte."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracknet.utils.errors import RunError
from tracknet.utils.files import hash_stream
from tracknet.utils.urls import hide_secrets, open_filesystem, shown

PART_BYTES = 8 << 20
_LONGEST_PAUSE_S = 30.0
_LOOK_S = 0.1
# Nothing that comes later will make these right.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a URL and what it must contain. `str` names it without credentials."""

    url: str
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        # Both come from a file of somebody else, and the hash becomes a path.
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256) or self.bytes < 1:
            raise RunError(
                f"{self}: its manifest gives it the hash {self.sha256!r} and {self.bytes} bytes",
                remedy="that manifest is damaged: upload it again, or build the shards again",
            )

    def __str__(self) -> str:
        return shown(self.url)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: in a row without a byte gained, before giving up.
        timeout_s: of silence that ends one attempt.
        pause_s: before the second attempt; doubles with each further one, up to 30 s.
    """

    attempts: int = 6
    timeout_s: float = 30.0
    pause_s: float = 0.5

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return float(min(_LONGEST_PAUSE_S, self.pause_s * 2 ** (failures - 1)))


def fetch(
    file: RemoteFile,
    part: Path,
    patience: Patience,
    *,
    check_stop: Callable[[], None] = lambda: None,
    on_trouble: Callable[[str], None] = lambda message: None,
) -> None:
    """Completes `part` until it is the whole file, and proves it by its hash.

    What an earlier process left in `part` is gone on from. A hash that does not match is given a second chance
    from the first byte on: the fault may lie in that rest, or in one answer of a proxy.

    Args:
        file: what to fetch.
        part: where to put it; stays behind when the work ends early.
        patience: see there.
        check_stop: called before every request and every 0.1 s of it; may raise, and the request is left to end
            by itself.
        on_trouble: told about every attempt that failed.

    Raises:
        RunError: the file is not there, does not come, or does not have the bytes that its build wrote.
    """
    for last_chance in (False, True):
        _complete(file, part, patience, check_stop, on_trouble)
        with part.open("rb") as handle:
            found = hash_stream(handle)
        if found == file.sha256:
            return
        part.unlink()
        message = f"{file}: has the hash {found}, its manifest says {file.sha256}"
        if last_chance:
            raise RunError(
                message,
                remedy="the file was replaced or damaged where it lies, or something in between alters it: upload "
                "it again, or build the shards again; its bytes were not used",
            )
        on_trouble(f"{message}; fetching it once more")


def read_whole(
    url: str, patience: Patience, *, on_trouble: Callable[[str], None] = lambda message: None
) -> bytes:
    """The content of a small file of unknown size.

    Raises:
        FileNotFoundError: there is none.
        RunError: it does not come.
    """
    fs, path = open_filesystem(url, timeout_s=patience.timeout_s)
    content: bytes = _patiently(shown(url), lambda: fs.cat_file(path), patience, lambda: None, on_trouble)
    return content


def _complete(
    file: RemoteFile,
    part: Path,
    patience: Patience,
    check_stop: Callable[[], None],
    on_trouble: Callable[[str], None],
) -> None:
    fs, path = open_filesystem(file.url, timeout_s=patience.timeout_s)
    with part.open("ab") as handle:
        while (start := handle.tell()) < file.bytes:
            end = min(start + PART_BYTES, file.bytes)

            def request(start: int = start, end: int = end) -> bytes:
                return _accept(fs.cat_file(path, start=start, end=end), start, end, file)

            try:
                content = _patiently(str(file), request, patience, check_stop, on_trouble)
            except FileNotFoundError:
                raise RunError(
                    f"{file}: there is no such file", remedy="upload what the manifest lists, or build again"
                ) from None
            if len(content) == file.bytes:
                handle.truncate(0)
            handle.write(content)
            handle.flush()
        if handle.tell() > file.bytes:
            handle.truncate(file.bytes)  # left by a build of another size under the same hash: cannot match


def _accept(content: bytes, start: int, end: int, file: RemoteFile) -> bytes:
    """What of an answer to a request for `[start, end)` may be used."""
    if 0 < len(content) <= end - start:
        return content  # less than asked for is progress all the same
    if len(content) == file.bytes:
        return content  # the server does not know ranges and sent everything
    if not content:
        raise OSError(f"no byte came of {start:,} to {end:,}; the manifest says the file has {file.bytes:,}")
    raise OSError(
        f"{len(content):,} bytes came in place of {end - start:,}: not the file that the manifest means"
    )


def _patiently(
    name: str,
    request: Callable[[], Any],
    patience: Patience,
    check_stop: Callable[[], None],
    on_trouble: Callable[[str], None],
) -> Any:
    failures = 0
    while True:
        check_stop()
        answer = _in_thread(request)
        while not answer.done():
            wait([answer], _LOOK_S)
            check_stop()
        try:
            return answer.result()
        except _FINAL as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise RunError(
                f"{name}: {type(error).__name__}: {hide_secrets(str(error))}",
                remedy="check your credentials and the address",
            ) from error
        except Exception as error:  # every library behind fsspec has failures of its own
            failures += 1
            what = f"{type(error).__name__}: {hide_secrets(str(error))}".rstrip(": ")
            if failures >= patience.attempts:
                raise RunError(
                    f"{name}: {failures} attempts failed, the last with {what}",
                    remedy="check the server and the network, or give it longer with data.cache.attempts and "
                    "data.cache.timeout_s; what was fetched is kept",
                ) from error
            pause_s = patience.pause(failures)
            on_trouble(f"{name}: {what}; attempt {failures + 1} of {patience.attempts} in {pause_s:g} s")
            again_at_s = time.monotonic() + pause_s
            while (left_s := again_at_s - time.monotonic()) > 0:
                check_stop()
                time.sleep(min(left_s, _LOOK_S))


def _in_thread(request: Callable[[], Any]) -> Future[Any]:
    """What becomes of a request. Its thread is a daemon: nobody waits for a server that is silent."""
    answer: Future[Any] = Future()

    def run() -> None:
        try:
            answer.set_result(request())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="remote-request", daemon=True).start()
    return answer
