"""Fetches a file of known size and hash from a URL: in parts, with patience, and never a wrong byte."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tracknet.datasets.remote_request import RequestFailed, receive, request_range
from tracknet.utils.errors import RunError
from tracknet.utils.files import hash_stream
from tracknet.utils.progress import format_duration
from tracknet.utils.urls import hide_secrets, open_filesystem, shown

PART_BYTES = 8 << 20
_LONGEST_PAUSE_S = 30.0
_LOOK_S = 0.1
# What takes longer is told of then, and again after twice, four, eight times as long.
_SECONDS_BEFORE_A_WORD = 30.0
# Nothing that comes later will make these right.
_FINAL = (PermissionError, IsADirectoryError)
# Over http: no credentials, not these, gone. aiohttp has one class for every status.
_REFUSED = (401, 403, 410)


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

    What an earlier process left in `part` is gone on from. Where the hash does not match, all is fetched again from
    the first byte on, as often as there are attempts: the fault may lie in some answers of a proxy. What was gone on
    from counts for none of them.

    Args:
        file: what to fetch.
        part: where to put it; stays behind when the work ends early, with all bytes that came.
        patience: see there.
        check_stop: called before every request and every 0.1 s of it; may raise, and the request is left to end
            by itself.
        on_trouble: told about every attempt that failed, and about a server that is slow.

    Raises:
        RunError: the file is not there, does not come, or does not have the bytes that its build wrote.
    """
    wrong = -1 if part.exists() and part.stat().st_size else 0
    while True:
        _complete(file, part, patience, check_stop, on_trouble)
        with part.open("rb") as handle:
            found = hash_stream(handle)
        if found == file.sha256:
            return
        wrong += 1
        message = f"{file}: has the hash {found}, its manifest says {file.sha256}"
        if wrong >= patience.attempts:
            part.unlink()
            raise RunError(
                f"{message}, {wrong} times in a row" if wrong > 1 else message,
                remedy="the file was replaced or damaged where it lies, or something in between alters it: upload "
                "it again, or build the shards again; its bytes were not used",
            )
        os.truncate(part, 0)  # not removed: it is the claim on the room that was made for it
        pause_s = patience.pause(max(1, wrong))
        on_trouble(f"{message}; fetched anew, attempt {wrong + 1} of {patience.attempts} in {pause_s:g} s")
        _pause(pause_s, check_stop)


def read_whole(
    url: str, patience: Patience, *, on_trouble: Callable[[str], None] = lambda message: None
) -> bytes:
    """The content of a small file of unknown size.

    Raises:
        FileNotFoundError: there is none.
        RunError: it does not come.
    """
    fs, path = open_filesystem(url, timeout_s=patience.timeout_s)
    content: list[bytes] = []

    def attempt() -> None:
        content[:] = receive(lambda outlet: outlet.put(fs.cat_file(path)), lambda: None)

    _patiently(shown(url), attempt, patience, lambda: None, on_trouble)
    return b"".join(content)


def _complete(
    file: RemoteFile,
    part: Path,
    patience: Patience,
    check_stop: Callable[[], None],
    on_trouble: Callable[[str], None],
) -> None:
    fs, path = open_filesystem(file.url, timeout_s=patience.timeout_s)
    with part.open("ab") as handle:
        slow = _SlowWord(file, handle.tell(), on_trouble)

        def attempt() -> None:
            start = handle.tell()
            request = request_range(fs, path, start, min(start + PART_BYTES, file.bytes), file.bytes)
            with closing(receive(request, check_stop)) as pieces:
                for piece in pieces:
                    handle.write(piece)
                    handle.flush()  # what came is there for whoever goes on, if this process is killed
                    slow.look(handle.tell())

        while handle.tell() < file.bytes:
            try:
                _patiently(str(file), attempt, patience, check_stop, on_trouble, reached=handle.tell)
            except FileNotFoundError:
                raise RunError(
                    f"{file}: there is no such file", remedy="upload what the manifest lists, or build again"
                ) from None
        if handle.tell() > file.bytes:
            handle.truncate(file.bytes)  # left by a build of another size under the same hash: cannot match


class _SlowWord:
    """Tells a person now and then how far a file is that takes long."""

    def __init__(self, file: RemoteFile, start: int, tell: Callable[[str], None]) -> None:
        self._file, self._start, self._tell = file, start, tell
        self._began_s, self._after_s = time.monotonic(), _SECONDS_BEFORE_A_WORD

    def look(self, have: int) -> None:
        """So many bytes are there."""
        took_s = time.monotonic() - self._began_s
        if took_s < self._after_s or have >= self._file.bytes:
            return
        self._after_s *= 2
        speed = (have - self._start) / took_s
        self._tell(
            f"{self._file}: {have / 1e6:.3g} of {self._file.bytes / 1e6:.3g} MB are there after "
            f"{format_duration(took_s)}: {speed / 1e3:.3g} kB/s, about "
            f"{format_duration((self._file.bytes - have) / speed)} more"
        )


def _patiently(
    name: str,
    attempt: Callable[[], None],
    patience: Patience,
    check_stop: Callable[[], None],
    on_trouble: Callable[[str], None],
    *,
    reached: Callable[[], int] = lambda: 0,
) -> None:
    """Does what makes a request until it succeeds.

    Args:
        name: of what is asked for.
        attempt: may raise RequestFailed.
        patience: an attempt that raised what `reached` gives is no failure in a row.
        check_stop: see `fetch`.
        on_trouble: see `fetch`.
        reached: bytes that are there.

    Raises:
        FileNotFoundError: there is no such file.
        RunError: so many attempts failed, or it is refused.
    """
    failures = 0
    while True:
        check_stop()
        before = reached()
        try:
            attempt()
            return
        except RequestFailed as failed:
            error = failed.error
        what = _words(error, patience)
        if isinstance(error, FileNotFoundError):
            raise error
        if isinstance(error, _FINAL) or getattr(error, "status", None) in _REFUSED:
            raise RunError(
                f"{name}: {what}",
                remedy="check your credentials and the address; the time of a signed URL may have run out",
            ) from error
        gained = reached() - before
        failures = 0 if gained else failures + 1
        if not gained and failures >= patience.attempts:
            raise RunError(
                f"{name}: {failures} attempts failed, the last with {what}",
                remedy="check the server and the network, or give it longer with data.cache.attempts and "
                "data.cache.timeout_s" + (f"; {reached():,} bytes of it are kept" if reached() else ""),
            ) from error
        pause_s = patience.pause(max(1, failures))
        if gained:
            on_trouble(f"{name}: {what} after {gained:,} bytes, which are kept; goes on in {pause_s:g} s")
        else:
            on_trouble(f"{name}: {what}; attempt {failures + 1} of {patience.attempts} in {pause_s:g} s")
        _pause(pause_s, check_stop)


def _words(error: Exception, patience: Patience) -> str:
    text = hide_secrets(str(error))
    if isinstance(error, TimeoutError) and not text:
        return f"silent for {patience.timeout_s:g} s"
    if type(error).__name__ == "ClientPayloadError":  # of aiohttp, with five lines of its own
        return "the answer broke off"
    return f"{type(error).__name__}: {text}".rstrip(": ")


def _pause(seconds: float, check_stop: Callable[[], None]) -> None:
    again_at_s = time.monotonic() + seconds
    while (left_s := again_at_s - time.monotonic()) > 0:
        check_stop()
        time.sleep(min(left_s, _LOOK_S))
