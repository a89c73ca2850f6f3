"""Frames out of video files and streams: in order, as many as really decode, each once.

PyAV (the extra `video`) does the decoding. `video_container` opens what is to be read, `video_header` has what is
stated of it, `video_packets` reads it up to its end; here its packets become frames (`video_frame`). Headers overstate
how many there are (296 stated, 164 decoded, in real files), so the only counts here are of packets read and frames
decoded.

A whole file gives the same bytes with any number of threads. Of a damaged one, more threads may lose more frames
(35 of 37 that one thread finds, in a file cut in the middle), so whoever counts takes one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from tracknet.utils.video_container import (
    DEFAULT_TIMEOUT_S,
    VideoError,
    is_remote,
    open_pictures,
    opened_aside,
    picture_streams,
)
from tracknet.utils.video_frame import VideoFrame
from tracknet.utils.video_header import (
    frames_in_length,
    has_times,
    is_cut_short,
    is_playlist,
    length_bytes,
    rate_of,
    states_no_end,
)
from tracknet.utils.video_packets import PacketReader
from tracknet.utils.video_traits import VideoTraits

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".ts")


class Video:
    """An opened video. Iterate over it once; close it, or use it in a `with`.

        with Video("match.mp4") as video:
            for frame in video:
                frame.index, frame.time_s, frame.image()

    Damaged or missing data do not end the iteration: what decodes is given, the rest is counted.

    Attributes:
        size: of the upright first frame.
        frame_rate: frames per second as the header has it (30000/1001 stays so); `None` where unknown.
        stated_frames: what the header claims, which may be wrong; `None` where it claims nothing.
        expected_frames: `stated_frames`, or where that is `None`, what fits into the length that the header states;
            `None` where it states none.
        endless: read over a network, and nothing says that it has an end: neither a length in bytes nor in frames or
            seconds. So are a camera's pictures over HTTP, a broadcast, and a playlist that is not finished.
        playlist: whether it is one, whose pictures lie in files of their own.
        timed: whether frames have time stamps; else the times are those of a made-up rate.
        cut_short: whether the file ends before its last packet, as its index has it.
        codec: such as `h264`.
        has_audio: whether sound comes with it.
        picture_streams: how many there are; the first is decoded.
        traits: what a copy of it takes over.
        frames_read: frames given so far.
        bad_packets: packets, so far, that could not be decoded.
        damaged_frames: frames so far whose `damaged` is set.
        broken_off: why reading ended before the file did; `None` where it did not.

    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        *,
        threads: int = 1,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Opens a video and decodes its first frame.

        Args:
            source: a file, anything FFmpeg can open (a URL, a device), or a readable binary stream.
            threads: for decoding; 0 takes one per CPU.
            timeout_s: of a URL: how long opening it, and later each wait for a frame, may take; `None` for ever.

        Raises:
            VideoError: empty, no video, sound only, a codec that is unknown, or no frame that decodes.
            OSError: the file does not exist or cannot be read; `TimeoutError` where a URL is silent for too long.
            UserError: PyAV is not installed.

        """
        self.frames_read = self.bad_packets = self.damaged_frames = 0
        self.broken_off: str | None = None
        self._source = source
        self._timeout_s = timeout_s if is_remote(source) else None
        begun_s = time.monotonic()
        self._container, self._stream = open_pictures(source, threads, self._timeout_s)
        try:
            self.codec: str = self._stream.codec_context.name
            self.frame_rate = rate_of(self._stream)
            self.stated_frames: int | None = self._stream.frames or None
            self.expected_frames = self.stated_frames or frames_in_length(
                self._container, self._stream, self.frame_rate
            )
            self.endless = is_remote(source) and states_no_end(self._container, self._stream)
            self.playlist = is_playlist(self._container)
            self.timed = has_times(self._container)
            self.cut_short = is_cut_short(self._container, self._stream)
            self.has_audio = bool(self._container.streams.audio)
            self.picture_streams = len(picture_streams(self._container))
            self._packets = PacketReader(
                # With those of the sound, which may come on without pictures: PyAV waits anew after each that it
                # passes over.
                self._container.demux(*([] if is_remote(source) else [self._stream])),
                self._stream,
                source,
                timeout_s=self._timeout_s,
                begun_s=begun_s,
                no_length=is_remote(source) and length_bytes(self._container) is None,
                in_parts=self.playlist,
            )
            self._frames = self._decode()
            self._start = Fraction(0)
            first = next(self._frames, None)
            if first is None:
                raise VideoError(self._why_no_frame())
            self.size = first.size
            self.traits = self._traits(first)
            self._first: VideoFrame | None = first
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._first is not None:
            first, self._first = self._first, None
            self._note(first)
            yield first
        for frame in self._frames:
            self._note(frame)
            yield frame

    @property
    def whole(self) -> bool:
        """Whether everything read so far could be decoded."""
        return not (self.bad_packets or self.damaged_frames or self.broken_off)

    def close(self) -> None:
        """Closes the file; harmless when repeated."""
        self._container.close()

    def _why_no_frame(self) -> str:
        if _is_pipe(self._source) and "mp4" in self._container.format.name.split(","):
            # Its pictures were passed over on the way to the index, and are gone.
            return (
                "is an MP4 or MOV of which a pipe gives no picture: most often its index is at its end; "
                "name the file itself, or send MPEG-TS or Matroska"
            )
        return f"holds no {self.codec} frame that can be decoded"

    def _note(self, frame: VideoFrame) -> None:
        self.frames_read += 1
        self.damaged_frames += frame.damaged

    def _decode(self) -> Iterator[VideoFrame]:
        started, following = False, Fraction(0)
        step = 1 / self.frame_rate if self.frame_rate else Fraction(0)
        for index, frame in enumerate(self._raw_frames()):
            shown_s = following
            if frame.pts is not None:
                # What the decoder held at the end has no unit of its own.
                stamp = Fraction(frame.pts * (frame.time_base or self._stream.time_base))
                if not started:
                    # Matroska has no stamps below 0, and so none for the frames before.
                    started, self._start = True, stamp - following
                shown_s = stamp - self._start
            following = shown_s + step
            yield VideoFrame(index, float(shown_s), frame)

    def _traits(self, first: VideoFrame) -> VideoTraits:
        context = self._stream.codec_context
        aspect = Fraction(context.sample_aspect_ratio or 1) or Fraction(1)
        return VideoTraits(
            time_base=Fraction(self._stream.time_base) if self._stream.time_base else None,
            frame_rate=self.frame_rate,
            colours=first.colours,
            pixel_aspect=1 / aspect if first.quarter_turns % 2 else aspect,
            # Bytes that were read once, from a pipe, cannot be read again for their sound.
            sound=str(self._source) if self.has_audio and isinstance(self._source, str | Path) else None,
            start_s=self._start,
            timeout_s=self._timeout_s,
        )

    def _raw_frames(self) -> Iterator[Any]:
        for packet in self._packets:
            if frames := self._decoded(packet):
                self._packets.picture_came()
                yield from frames
        self.broken_off = self._packets.broken_off
        # However it ended, what the decoder still holds has come.
        yield from self._decoded(None)
        if self._packets.lost is not None and not (self._packets.unsure and self._all_came()):
            raise self._packets.lost

    def _all_came(self) -> bool:
        return self.expected_frames is not None and self.frames_read >= self.expected_frames

    def _decoded(self, packet: Any) -> list[Any]:
        """Frames of a packet; `None` asks for those that the decoder still holds."""
        from av.error import FFmpegError

        try:
            return list(self._stream.codec_context.decode(packet))
        except EOFError:
            return []
        except FFmpegError:
            self.bad_packets += 1
            return []


def open_video(source: str | Path | BinaryIO, timeout_s: float | None) -> Video:
    """A video, with one thread for decoding, opened so that Ctrl-C is heard meanwhile.

    Arguments and errors are `Video`'s; a `TimeoutError` comes after twice `timeout_s`.
    """
    if isinstance(source, Path) and source.is_file():
        return Video(source)
    # Pipes, too.
    return opened_aside(lambda: Video(source, timeout_s=timeout_s), timeout_s if is_remote(source) else None)


def is_video(path: Path) -> bool:
    """Whether a file's name is a video's."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def _is_pipe(source: str | Path | BinaryIO) -> bool:
    """Whether what was read of a source is gone."""
    if isinstance(source, str | Path):
        return Path(source).is_fifo()
    return not source.seekable()
