"""Packets of a container up to its end, and what kind of end that was: of the video, of the line, or of the patience.

FFmpeg tells these apart badly. Its HTTP calls the end of what had no stated length EIO. A wait that ran out it calls
ExitError, but of HLS an end, and under TLS EIO; then MPEG-TS first gives what it had held back.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tracknet.utils.video_container import is_remote, ran_out, silence

_UNDER_TLS = ("https", "rtsps", "rtmps", "rtmpts", "tls")
# FFmpeg reads 5 MB at most to find out what comes, and little ahead: after more than that the line is alive.
_HELD_BYTES = 6_000_000


class PacketReader:
    """Iterates over the packets of one stream. After decoding them, take what the decoder still holds, and look here.

    Attributes:
        broken_off: why a file's packets ended before it did; `None` where they did not.
        lost: why there are no more, though this is no end: to be raised; `None` where it is one.
        unsure: whether `lost` may be an end after all: opening took as long as a silence that is given up, and FFmpeg
            names no error. It is one where all that was announced has come.
    """

    def __init__(
        self,
        packets: Iterator[Any],
        stream: Any,
        source: str | Path | BinaryIO,
        *,
        timeout_s: float | None,
        begun_s: float,
        no_length: bool,
        in_parts: bool,
    ) -> None:
        """Nothing is read yet.

        Args:
            packets: PyAV's, of this stream and maybe others, which are passed over.
            stream: whose packets are wanted.
            source: what they come from.
            timeout_s: how long it may give nothing that makes a picture; `None` for ever.
            begun_s: when opening it began, as `time.monotonic` has it.
            no_length: whether it is behind a URL, and nothing states its length in bytes.
            in_parts: whether it is a playlist.
        """
        self.broken_off: str | None = None
        self.lost: OSError | None = None
        self.unsure = False
        self._packets, self._stream, self._source = packets, stream, source
        self._timeout_s, self._no_length, self._in_parts = timeout_s, no_length, in_parts
        self._scheme = str(source).partition(":")[0].lower() if is_remote(source) else None
        self._held_bytes = _HELD_BYTES if self._scheme in _UNDER_TLS else 0
        # What may still come of what was held when a wait ran out; below 0, none did. The wait may have been one of
        # opening, and plain protocols say so at the end by themselves.
        self._suspect_bytes = self._held_bytes if self._held_bytes and ran_out(begun_s, timeout_s) else -1
        # That is all it may have been, as FFmpeg has two such waits in opening: the server's first word, and enough to
        # know what comes. Both together may take longer than either was allowed to.
        self._only_opening_was_slow = self._suspect_bytes >= 0
        self._pictureless_since_s: float | None = None

    def picture_came(self) -> None:
        """To be called when a picture was made of what was given."""
        self._pictureless_since_s = None

    def __iter__(self) -> Iterator[Any]:
        from av.error import FFmpegError

        while True:
            begun_s = time.monotonic()
            if self._pictureless_since_s is None:
                self._pictureless_since_s = begun_s
            packet, error = None, None
            try:
                packet = next(self._packets, None)
            except FFmpegError as raised:
                error = raised
            if ran_out(begun_s, self._timeout_s):
                self._suspect_bytes, self._only_opening_was_slow = self._held_bytes, False
            if packet is None:
                self._end(error)
                return
            # PyAV's packets at the end have no bytes, and so leave the suspicion that waiting for them raised.
            self._suspect_bytes = max(-1, self._suspect_bytes - packet.size)
            if packet.stream is self._stream:
                yield packet
            # Something may come all the time, and no picture be made of it.
            since_s = self._pictureless_since_s
            if since_s is not None and ran_out(since_s, self._timeout_s):
                self.lost = silence(self._timeout_s)
                return

    def _end(self, error: Any) -> None:
        from av.error import ExitError

        if isinstance(error, ExitError) or (self._suspect_bytes >= 0 and not self._told_as_end(error)):
            self.lost = silence(self._timeout_s)
            self.unsure = error is None and self._only_opening_was_slow
        elif error is None or (error.errno == errno.EIO and self._no_length):
            pass
        elif isinstance(error, OSError) and not isinstance(error, EOFError):
            # The disk or the network, not the video.
            self.lost = OSError(error.errno, error.strerror, str(self._source))
        else:
            self.broken_off = error.strerror

    def _told_as_end(self, error: Any) -> bool:
        """Whether a slow opening was no more than that: over HTTP a wait that ran out then leaves an error.

        It leaves none in a playlist, nor where FFmpeg was given up while it looked at a file's end for its length.
        """
        return (
            error is None
            and self._only_opening_was_slow
            and self._scheme == "https"
            and self._no_length
            and not self._in_parts
        )
