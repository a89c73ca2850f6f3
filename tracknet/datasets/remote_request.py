"""What a server sends, piece by piece as it arrives, without waiting for one that is silent."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from typing import Any

_LOOK_S = 0.1
# Pieces of at most 256 KiB: a server that knows no ranges sends a whole shard, which must not lie in memory.
_MOST_WAITING = 64


class RequestFailed(Exception):
    """A request failed; unlike what the receiver itself raises meanwhile, such as a stop or a full disk.

    Attributes:
        error: of the library that made it.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Left(Exception):
    """The receiver is gone."""


class Outlet:
    """Where a request puts what it receives."""

    def __init__(self) -> None:
        self.arrived: SimpleQueue[bytes | Exception | None] = SimpleQueue()
        self.left = threading.Event()

    def put(self, piece: bytes) -> None:
        """Hands a piece over; where it is no longer wanted, raises what ends the request."""
        if self.left.is_set():
            raise _Left
        self.arrived.put(piece)

    async def wait_for_room(self) -> None:
        """Returns once the receiver keeps up; raises as `put` does."""
        while self.arrived.qsize() > _MOST_WAITING:
            if self.left.is_set():
                raise _Left
            await asyncio.sleep(_LOOK_S / 10)


def receive(request: Callable[[Outlet], None], check_stop: Callable[[], None]) -> Generator[bytes]:
    """The pieces that a request puts into its outlet, as they come.

    Args:
        request: called in a thread of its own, a daemon: if the receiver leaves, it ends with its next piece.
        check_stop: called at least every 0.1 s; may raise.

    Raises:
        RequestFailed: whatever the request raised.
    """
    outlet = Outlet()

    def run() -> None:
        try:
            request(outlet)
            outlet.arrived.put(None)
        except Exception as error:
            outlet.arrived.put(error)

    threading.Thread(target=run, name="remote-request", daemon=True).start()
    try:
        while True:
            check_stop()
            try:
                piece = outlet.arrived.get(timeout=_LOOK_S)
            except Empty:
                continue
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise RequestFailed(piece) from piece
            yield piece
    finally:
        outlet.left.set()


def request_range(fs: Any, path: str, start: int, end: int, whole_bytes: int) -> Callable[[Outlet], None]:
    """A request for the bytes `[start, end)` of a file, or for fewer of them.

    Over http(s) they are handed over as they arrive, so that an answer that breaks off was not for nothing; other
    libraries behind fsspec give an answer whole or not at all.

    Args:
        fs: of fsspec.
        path: in it.
        start: of the first byte.
        end: behind the last.
        whole_bytes: of the file. A server that knows no ranges sends all of it; then what lies before `start` is
            left out, and what follows `end` comes too.
    """
    if type(fs).__module__ == "fsspec.implementations.http":
        from fsspec.asyn import sync

        def ask(outlet: Outlet) -> None:
            sync(fs.loop, _stream, fs, path, start, end, whole_bytes, outlet)

        return ask

    def fetch_at_once(outlet: Outlet) -> None:
        content = fs.cat_file(path, start=start, end=end)
        if not content:
            raise _nothing(start, end, whole_bytes)
        if len(content) == whole_bytes:
            content = content[start:]
        elif len(content) > end - start:
            raise _another(len(content), end - start)
        outlet.put(content)

    return fetch_at_once


async def _stream(fs: Any, url: str, start: int, end: int, whole_bytes: int, outlet: Outlet) -> None:
    options = dict(fs.kwargs)
    # A range of what was compressed on the way would be no range of the file.
    headers = {
        **options.pop("headers", {}),
        "Accept-Encoding": "identity",
        "Range": f"bytes={start}-{end - 1}",
    }
    session = await fs.set_session()
    async with session.get(fs.encode_url(url), headers=headers, **options) as answer:
        if answer.status == 404:
            raise FileNotFoundError(url)
        answer.raise_for_status()
        ranged = answer.status == 206
        _check_headers(answer, start, whole_bytes, ranged=ranged)
        wanted, came = (end if ranged else whole_bytes) - start, 0
        too_early = 0 if ranged else start
        async for piece in answer.content.iter_any():
            kept = piece[too_early:]
            too_early -= len(piece) - len(kept)
            came += len(kept)
            if came > wanted:
                raise _another(came, wanted)
            if kept:
                outlet.put(kept)
            await outlet.wait_for_room()
        if not came:
            raise _nothing(start, end, whole_bytes)


def _check_headers(answer: Any, start: int, whole_bytes: int, *, ranged: bool) -> None:
    """Raises OSError where an answer says itself that it is another file's: a login page, or a replaced shard."""
    if not ranged:
        if answer.content_length not in (None, whole_bytes):
            raise _another(answer.content_length, whole_bytes)
        return
    stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if stated is None:
        return
    if int(stated[1]) != start:
        raise OSError(f"bytes from {int(stated[1]):,} on came, not from {start:,}")
    if stated[2] not in ("*", str(whole_bytes)):
        raise _another(int(stated[2]), whole_bytes)


def _nothing(start: int, end: int, whole_bytes: int) -> OSError:
    return OSError(f"no byte came of {start:,} to {end:,}; the manifest says the file has {whole_bytes:,}")


def _another(came: int, wanted: int) -> OSError:
    return OSError(f"{came:,} bytes came in place of {wanted:,}: not the file that the manifest means")
