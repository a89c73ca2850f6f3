"""A video's container, opened within a time, with its stream of pictures chosen; and why one cannot be opened.

FFmpeg waits in C, where Python hears no Ctrl-C: what is behind a URL is opened in a thread (`opened_aside`).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from tracknet.utils.errors import UserError
from tracknet.utils.extras import install_command
from tracknet.utils.urls import is_url
from tracknet.utils.video_header import is_playlist
from tracknet.utils.waiting import waited_for

DEFAULT_TIMEOUT_S = 30.0
"""How long what is behind a URL may be silent: longer than cameras take to wake and segments of HLS last."""
# Each is read by one protocol and ignored by the others. A server closes a connection from which nothing is read for a
# minute, as where the model is slower than the line: the rest of a file is asked for then. RTSP over TCP loses no
# packets and passes through firewalls; where a camera refuses it, FFmpeg goes on with UDP.
_OF_URLS = {"reconnect": "1", "rtsp_flags": "prefer_tcp"}


class Closable(Protocol):
    """What is let go of by closing it."""

    def close(self) -> None: ...  # noqa: D102


C = TypeVar("C", bound=Closable)


class VideoError(ValueError):
    """There is no video to read. The message says why, without the file's name."""


def open_pictures(source: str | Path | BinaryIO, threads: int, timeout_s: float | None) -> tuple[Any, Any]:
    """The container and its stream of pictures, ready to decode; raises as `Video` does."""
    try:
        import av
    except ImportError:
        raise UserError(
            f"{source}: PyAV, which reads video, is not installed", remedy=install_command("video")
        ) from None
    if isinstance(source, Path) and source.is_file() and not source.stat().st_size:
        raise VideoError("is empty (0 bytes)")
    remote, begun_s = is_remote(source), time.monotonic()
    try:
        container = opened(source, timeout_s)
    except av.error.FFmpegError as error:
        if ran_out(begun_s, timeout_s):
            raise silence(timeout_s) from None
        if isinstance(error, OSError):
            raise
        if isinstance(error, av.error.HTTPError | av.error.HTTPClientError):
            raise OSError(errno.EPROTO, error.strerror) from None
        if isinstance(error, av.error.ProtocolNotFoundError):
            raise VideoError("is of a protocol that the installed PyAV does not know") from None
        if remote:
            raise VideoError(
                f"gives no video, or closed the connection before one began ({error.strerror})"
            ) from None
        raise VideoError(f"is no video, or was cut short of its index ({error.strerror})") from None
    streams = picture_streams(container)
    if streams and streams[0].codec_context is not None:
        streams[0].codec_context.thread_count = threads
        streams[0].thread_type = "AUTO" if threads != 1 else "NONE"
        if is_playlist(container):
            for stream in container.streams:
                if (
                    stream is not streams[0]
                ):  # else they are fetched, too; sound or titles are enough for that
                    stream.discard = av.stream.Discard.all
        return container, streams[0]
    has_audio = bool(container.streams.audio)
    container.close()
    if streams:
        raise VideoError("is of a codec that the installed PyAV cannot decode")
    raise VideoError("holds sound and no pictures" if has_audio else "holds no pictures")


def opened(source: str | Path | BinaryIO, timeout_s: float | None) -> Any:
    """PyAV's container of a source; raises what PyAV does."""
    import av

    return av.open(
        openable(source) if isinstance(source, str | Path) else source,
        options=_OF_URLS if is_remote(source) else None,
        timeout=timeout_s,
    )


def opened_aside(make: Callable[[], C], timeout_s: float | None) -> C:
    """What `make` opens, in a thread: it may be silent, and Python hears no Ctrl-C while FFmpeg waits.

    Raises:
        TimeoutError: it took twice `timeout_s`: FFmpeg takes it once to connect and once to look at what comes.
        BaseException: whatever `make` raises.
    """
    return waited_for(
        make,
        limit_s=None if timeout_s is None else 2 * timeout_s,
        discard=lambda made: made.close(),
    )


def picture_streams(container: Any) -> list[Any]:
    """The streams that are video, that to be taken first. A song's cover is a stream of pictures too, and is none.

    Of a playlist, whose streams are one video in several sizes, that is the largest, and the others are left out.
    """
    from av.stream import Disposition

    streams = [
        stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
    ]
    if is_playlist(container) and streams:
        return [max(streams, key=lambda stream: (stream.width or 0) * (stream.height or 0))]
    return streams


def openable(source: str | Path) -> str:
    """A source as FFmpeg is to be given it: what is there by its absolute path, and so `12:30.mp4` is no protocol."""
    path = Path(source)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a URL too long for a name
        there = False
    return str(path.absolute() if there or isinstance(source, Path) else source)


def is_remote(source: str | Path | BinaryIO) -> bool:
    """Whether a source is behind a URL."""
    return isinstance(source, str) and is_url(source)


def silence(timeout_s: float | None) -> TimeoutError:
    """The error of a place that sent nothing to make a picture of for so long."""
    return TimeoutError(errno.ETIMEDOUT, f"no picture came for {timeout_s:g} s")


def ran_out(begun_s: float, timeout_s: float | None) -> bool:
    """Whether what failed was given up: a protocol may call that by an error of its own."""
    return timeout_s is not None and time.monotonic() - begun_s >= timeout_s
