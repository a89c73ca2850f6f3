"""The HTTP server of tests: on the loopback, on a port of its own, for as long as a block; every request is noted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple, TypeVar


class Request(NamedTuple):
    """What was asked for, and which bytes of it."""

    path: str
    range: str | None


class Site:
    """What a server has and knows.

    Attributes:
        url: of the server.
        requests: all that were made but for those of a head alone.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []

    def asked_for(self, path: str) -> int:
        """How many requests there were for a path."""
        return sum(request.path == path for request in self.requests)


class Answering(BaseHTTPRequestHandler):
    """Notes each request with its site and leaves the answer to `answer`."""

    protocol_version = "HTTP/1.1"
    site: ClassVar[Any]

    def answer(self) -> None:
        raise NotImplementedError

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.site.requests.append(Request(self.path, self.headers.get("Range")))
        self.answer()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


AnySite = TypeVar("AnySite", bound=Site)


@contextmanager
def serving(handler: type[Answering], site: AnySite) -> Iterator[AnySite]:
    """The site, whose requests such handlers answer, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), {"site": site}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
