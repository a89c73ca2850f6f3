"""An HTTP server that serves a dictionary and can be told to misbehave."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import ClassVar, Literal

from tests import loopback

Fault = Literal[
    "stall", "cut", "503", "wrong", "no range", "close", "page", "drip", "none", "401", "403", "410"
]
STALL_S = 2.0
DRIP_S = 0.05


class Site(loopback.Site):
    """Files by path, and the faults still to come by path."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}


def serve() -> AbstractContextManager[Site]:
    """A site without files, until the block ends."""
    return loopback.serving(_Handler, Site())


class _Handler(loopback.Answering):
    site: ClassVar[Site]

    def answer(self) -> None:
        site, wanted, body = self.site, self.headers.get("Range"), self.command == "GET"
        faults = site.faults.get(self.path, [])
        fault = faults.pop(0) if faults and body else None
        if fault == "stall":
            time.sleep(STALL_S)
        if fault in ("stall", "close"):
            self.close_connection = True
            return
        status = int(fault) if fault and fault.isdecimal() else None
        if status or self.path not in site.files:
            self.send_response(status or 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = site.files[self.path]
        if fault == "wrong":
            content = bytes(byte ^ 255 for byte in content)
        if fault == "page":
            content, wanted = b"<html>log in</html>", None
        whole = len(content)
        if wanted and fault != "no range":
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or whole - 1), whole - 1)
            content = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if (
            self.close_connection
        ):  # as asked for by FFmpeg, which uses the connection again where this is not said
            self.send_header("Connection", "close")
        self.end_headers()
        if not body:
            return
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        pieces = 5 if fault == "drip" else 1
        for number in range(pieces):
            time.sleep(DRIP_S if fault == "drip" else 0.0)
            self.wfile.write(content[number * len(content) // pieces : (number + 1) * len(content) // pieces])
