"""Streams over HTTP that have no end, from a server on the loopback: bytes without a length, while somebody reads."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import count, islice
from pathlib import Path
from typing import ClassVar

import av

from tests import loopback
from tests.videos import pictures, write_video

Body = Callable[[], bytes | Iterable[bytes]]


class Broadcast(loopback.Site):
    """What is sent by path: a content type, and bytes with their length, or pieces without one; made for every reader.

    Attributes:
        over: set at the end; what waits, waits for it.
        reset: connections end as those of a server that crashed do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[str, tuple[str, Body]] = {}
        self.over = threading.Event()
        self.reset = False

    def silence(self) -> Iterator[bytes]:
        """Nothing, as long as the server runs."""
        self.over.wait(120)
        yield from ()


@contextlib.contextmanager
def broadcast() -> Iterator[Broadcast]:
    """A server, until the block ends."""
    with loopback.serving(_Handler, Broadcast()) as site:
        try:
            yield site
        finally:
            site.over.set()


class _Handler(loopback.Answering):
    protocol_version = "HTTP/1.0"  # a connection ends with what has no length
    site: ClassVar[Broadcast]

    def answer(self) -> None:
        if self.path not in self.site.bodies:
            self.send_error(404)
            return
        kind, make = self.site.bodies[self.path]
        body = make()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever watched is gone
            for piece in [body] if isinstance(body, bytes) else body:
                if self.site.over.is_set():
                    return
                self.wfile.write(piece)
            if self.site.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()


def jpegs(frames: int | None, *, fps: float = 50.0) -> Iterator[bytes]:
    """The parts of a multipart stream of JPEG, as network cameras send it; `None` frames never end."""
    drawn = [_jpeg(picture) for picture in pictures(10)]
    for number in islice(count(), frames):
        jpeg = drawn[number % 10]
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        yield head.encode() + jpeg + b"\r\n"
        time.sleep(1 / fps)


MULTIPART = "multipart/x-mixed-replace; boundary=frame"


def _jpeg(picture: object) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")  # type: ignore[arg-type]
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def transport_stream(
    scratch: Path,
    frames: int,
    *,
    first: int = 0,
    size: tuple[int, int] = (160, 90),
    sound: bool = False,
    reordered: bool = False,
) -> bytes:
    """MPEG-TS of H.264 at 30 frames/s.

    Args:
        scratch: a folder.
        frames: how many.
        first: number of the first, which its time stamps begin with.
        size: width and height.
        sound: give it some.
        reordered: with frames that wait for later ones (B-frames), of which a decoder holds some back.
    """
    order = {"g": "30", "bf": "3"} if reordered else {"g": "5", "tune": "zerolatency"}
    options = {**order, "preset": "ultrafast"}
    times = [round((first + number) * 1000 / 30) for number in range(frames)]
    path = write_video(
        scratch / "stream.ts",
        pictures(frames, size=size),
        options=options,
        times=times,
        sound=sound,
        stamps_kept=True,
    )
    return path.read_bytes()


def in_pieces(content: bytes, *, pause_s: float = 0.0) -> Iterator[bytes]:
    """Bytes as a line carries them."""
    for start in range(0, len(content), 1316):
        yield content[start : start + 1316]
        time.sleep(pause_s)


def playlist(segments: int, *, finished: bool) -> bytes:
    """HLS: segments of a second, `0.ts` and so on."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
    for number in range(segments):
        lines += ["#EXTINF:1.0,", f"{number}.ts"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if finished else []), ""]).encode()
