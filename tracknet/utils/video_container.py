"""A video's container, opened within a time, and what it states: rate, length, whether it ends, whether it was cut."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from tracknet.utils.errors import UserError
from tracknet.utils.urls import is_url
from tracknet.utils.waiting import waited_for

DEFAULT_TIMEOUT_S = 30.0
"""How long what is behind a URL may be silent: longer than cameras take to wake and segments of HLS last."""
_NO_TIMESTAMPS = 0x80
"""FFmpeg's AVFMT_NOTIMESTAMPS."""
_PLAYLISTS = ("hls", "dash")
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
            f"{source}: PyAV, which reads video, is not installed", remedy='pip install -e ".[video]"'
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


def rate_of(stream: Any) -> Fraction | None:
    """Frames per second as the header has it; `None` where it says nothing."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate else None


def frames_in_length(container: Any, stream: Any, rate: Fraction | None) -> int | None:
    """How many frames fit into the length that a header states; `None` where it states none."""
    if rate is None or _grows(container):
        return None
    # Sound may be longer than the pictures.
    length_s = (
        stream.duration * stream.time_base
        if stream.duration
        else Fraction(container.duration or 0, 1_000_000)
    )
    return round(length_s * rate) or None


def states_no_end(container: Any, stream: Any) -> bool:
    """Whether neither a length in bytes nor one in frames or seconds is stated."""
    if container.format.name == "mpjpeg":  # some cameras state a length, of which they know nothing
        return True
    return (
        length_bytes(container) is None
        and not stream.frames
        and (not container.duration or _grows(container))
    )


def is_playlist(container: Any) -> bool:
    """Whether its pictures lie in other files, any of which may be missing."""
    return container.format.name in _PLAYLISTS


def length_bytes(container: Any) -> int | None:
    """Of a file; `None` where nobody knows it, and of a playlist, whose own length is not that of its pictures."""
    size: int = container.size
    return size if size > 0 and not is_playlist(container) else None


def is_cut_short(container: Any, stream: Any) -> bool:
    """Whether the file ends before its last packet, as its index has it."""
    entries = stream.index_entries
    length = length_bytes(container)
    if not len(entries) or length is None:  # no index, or a stream without an end
        return False
    last = entries[len(entries) - 1]
    return bool(last.pos + last.size > length)


def has_times(container: Any) -> bool:
    """Whether its frames have time stamps; else FFmpeg makes them up, 1/25 s apart."""
    return not container.format.flags & _NO_TIMESTAMPS


def _grows(container: Any) -> bool:
    """Whether a length is that of the fragments of an MP4 that came so far."""
    name = container.format.name
    return length_bytes(container) is None and "mp4" in name.split(",")
