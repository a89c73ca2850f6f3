"""The sound of one video carried into another, in step with its pictures.

AAC, MP3, Opus and FLAC are copied byte for byte; anything else (AC-3, PCM, Vorbis) is encoded as AAC, since no
browser plays it out of an MP4. Of several tracks the one that FFmpeg holds for the best is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from tracknet.utils.stages import Stages
from tracknet.utils.video_container import is_remote, opened, opened_aside

_COPIED = ("aac", "mp3", "opus", "flac")
_AAC_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BITS_PER_CHANNEL = 96_000
# Sound this long before the first picture comes along unheard: a decoder of AAC or Opus needs the packet before.
_PREROLL_S = Fraction(1, 10)
_PACKETS_AHEAD = 8


class Sound:
    """The sound of a source, written into an open MP4 piece by piece.

    Attributes:
        left_out: why there is no sound, or no more of it; `None` where nothing is missing.
    """

    def __init__(self, out: Any, source: str, start_s: Fraction, *, timeout_s: float | None = None) -> None:
        """Adds a track to `out`, whose header must not be written yet.

        Args:
            out: PyAV's container.
            source: a file or URL.
            start_s: the time stamp in the source at which the pictures begin.
            timeout_s: how long the source may be silent; `None` for ever.
        """
        import av

        self.left_out: str | None = None
        self._out, self._start_s = out, start_s
        self._remote, self._stages = is_remote(source), Stages()
        self._pieces: Iterator[tuple[Fraction, Any]] = iter(())
        self._next: tuple[Fraction, Any] | None = None
        self._input: Any = None
        self._read_aside = False
        try:
            self._input = _opened(source, timeout_s)
            stream = self._input.streams.best("audio")
            if stream is None or stream.codec_context is None:
                self.left_out = "of a codec that the installed PyAV does not know" if stream else None
                return
            # All that is asked of the stream is asked before its packets are: a thread closes it with the last one.
            context, shift = stream.codec_context, round(start_s / stream.time_base)
            if context.codec.canonical_name in _COPIED:
                self._track = out.add_stream_from_template(stream)
                self._pieces = self._copied(self._packets(stream), shift)
            else:
                self._track = _add_aac(out, stream)
                self._pieces = self._encoded(self._packets(stream), context)
        except (av.error.FFmpegError, TimeoutError, ValueError) as error:
            self.left_out = _reason(error)

    def write_up_to(self, time_s: Fraction) -> None:
        """Writes what begins before a time, counted from the first picture."""
        from av.error import FFmpegError

        while (piece := self._next or self._advance()) is not None and piece[0] < time_s:
            self._next = None
            try:
                self._out.mux(piece[1])
            except FFmpegError as error:
                if isinstance(error, OSError):
                    raise
                # Stamps that run backwards, as where streams were joined: the pictures go on without the rest.
                self.left_out = (
                    f"from {float(piece[0]):.2f} s on its time stamps do not go on ({_reason(error)})"
                )
                self._pieces = iter(())

    def finish(self, end_s: Fraction | None) -> None:
        """Writes the rest: what begins before `end_s`, or all of it."""
        self.write_up_to(Fraction(1 << 62) if end_s is None else end_s)

    def close(self) -> None:
        """Closes the source; harmless when repeated."""
        self._stages.end()
        if self._input is not None and not self._read_aside:
            self._input.close()

    def _advance(self) -> tuple[Fraction, Any] | None:
        from av.error import FFmpegError

        try:
            self._next = next(self._pieces, None)
        except (
            FFmpegError
        ) as error:  # the source breaks off: so do its pictures, and whoever reads them says so
            self.left_out = _reason(error)
            self._pieces, self._next = iter(()), None
        return self._next

    def _packets(self, stream: Any) -> Iterator[Any]:
        """Of a URL they are read by a thread, which closes it, too: Python hears no Ctrl-C while FFmpeg waits."""
        if not self._remote:
            return self._input.demux(stream)  # type: ignore[no-any-return]
        self._read_aside = True
        return self._stages.ahead(_all_of(self._input, stream), depth=_PACKETS_AHEAD)

    def _copied(self, packets: Iterator[Any], shift: int) -> Iterator[tuple[Fraction, Any]]:
        for packet in packets:
            if packet.dts is None:  # the mark of the end
                continue
            packet.pts = (packet.dts if packet.pts is None else packet.pts) - shift
            packet.dts -= shift
            begin_s = Fraction(packet.pts * packet.time_base)
            if begin_s + (packet.duration or 0) * packet.time_base > -_PREROLL_S:
                packet.stream = self._track
                yield begin_s, packet

    def _encoded(self, packets: Iterator[Any], decoder: Any) -> Iterator[tuple[Fraction, Any]]:
        encoder, started = self._track.codec_context, False
        for frame in _decoded(packets, decoder):
            # In samples: AVI counts AC-3 in units of a whole packet, too coarse for AAC's pieces.
            frame.pts = round((frame.pts * frame.time_base - self._start_s) * frame.sample_rate)
            frame.time_base = Fraction(1, frame.sample_rate)
            if not started and frame.pts + frame.samples <= 0:
                continue
            started = True
            # PyAV brings the samples into the encoder's rate, format and piece size.
            for packet in encoder.encode(frame):
                yield Fraction(packet.pts * packet.time_base), self._own(packet)
        for packet in encoder.encode(None) if started else ():
            yield Fraction(packet.pts * packet.time_base), self._own(packet)

    def _own(self, packet: Any) -> Any:
        packet.stream = self._track
        return packet


def _all_of(container: Any, stream: Any) -> Iterator[Any]:
    with container:
        yield from container.demux(stream)


def _decoded(packets: Iterator[Any], decoder: Any) -> Iterator[Any]:
    from av.error import FFmpegError

    for packet in packets:
        try:
            frames = decoder.decode(packet)
        except EOFError:
            return
        except FFmpegError:  # a scratch: silence of a few milliseconds
            continue
        yield from (frame for frame in frames if frame.pts is not None)


def _opened(source: str, timeout_s: float | None) -> Any:
    return (
        opened_aside(lambda: opened(source, timeout_s), timeout_s)
        if is_remote(source)
        else opened(source, None)
    )


def _reason(error: Exception) -> str:
    """FFmpeg's own words, without the hidden name of the file that was being written."""
    from av.error import ExitError

    if isinstance(error, ExitError | TimeoutError):
        return "nothing came for too long"
    return getattr(error, "strerror", None) or str(error)


def _add_aac(out: Any, stream: Any) -> Any:
    context = stream.codec_context
    rate = next((hz for hz in _AAC_RATES_HZ if hz >= context.sample_rate), _AAC_RATES_HZ[-1])
    channels = min(2, context.channels)
    return out.add_stream(
        "aac", rate=rate, layout=("mono", "stereo")[channels - 1], bit_rate=channels * _BITS_PER_CHANNEL
    )
