"""Frames of a video: a file, a stream, or a pipe."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tracknet.inference.forward_clock import ForwardClock
from tracknet.inference.source_contract import SourceFrame, StreamLost
from tracknet.inference.time_jumps import TimeJumps
from tracknet.utils.errors import RunError
from tracknet.utils.naming import counted
from tracknet.utils.urls import is_url
from tracknet.utils.video import open_video
from tracknet.utils.video_container import DEFAULT_TIMEOUT_S, VideoError

_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "tcp", "udp", "rtp", "srt")


class VideoSource:
    """A video's frames: every one that decodes, with its own time; of a stream without stamps, when it was read.

    It is read when it comes, unless whoever takes the frames is slower: then at that pace.
    """

    def __init__(
        self, source: str | Path | BinaryIO, name: str, *, timeout_s: float | None = DEFAULT_TIMEOUT_S
    ) -> None:
        """Opens it.

        Args:
            source: a file, a URL, or a readable binary stream.
            name: for messages.
            timeout_s: how long what is behind a URL may be silent; `None` for ever.

        Raises:
            RunError: it cannot be read, or holds no video.
        """
        self.name = name
        scheme = source.partition(":")[0].lower() if isinstance(source, str) and is_url(source) else None
        try:
            self._video = open_video(source, timeout_s if scheme else None)
        except VideoError as error:
            raise RunError(f"{name} {error}") from None
        except TimeoutError as error:
            raise no_picture(name, timeout_s, error) from None
        except OSError as error:
            remedy = "check the address, the permissions and the network"
            if error.errno == errno.EIO and scheme in ("http", "https"):
                remedy += (
                    "; from a server that gives no parts of a file (byte ranges), an MP4 can be read only where its "
                    "index comes first: download it and name the file"
                )
            raise RunError(f"{name} cannot be read: {error.strerror or error}", remedy=remedy) from None
        video = self._video
        self.live = scheme in _LIVE_SCHEMES or video.endless
        # Times that FFmpeg makes up, 1/25 s apart, are not those of pictures that come when they come.
        self._by_arrival = self.live and not video.timed
        rate = None if self._by_arrival else video.frame_rate
        self.frame_rate = float(rate) if rate else None
        self.stated_frames = None if self.live else video.expected_frames
        self._clock = ForwardClock(self.frame_rate)
        # Of anything else a jump is most often a pause: pictures of a telephone or a screen come when they come.
        self._jumps = TimeJumps(self.frame_rate if video.playlist else None)
        self._ended = False
        # A named pipe, or a device, is no file.
        self.repeatable = (
            source.is_file() if isinstance(source, Path) else isinstance(source, str) and not self.live
        )
        traits = video.traits
        if self._by_arrival:
            traits = replace(traits, time_base=None, frame_rate=None)
        if not self.repeatable:
            traits = replace(traits, sound=None, sound_lost=video.has_audio)
        self.traits = traits

    def start_at(self, number: int) -> None:
        """Does nothing: which frame is the `number`th is known once those before it are decoded."""

    def __iter__(self) -> Iterator[SourceFrame]:
        begun_s: float | None = None
        try:
            for frame in self._video:
                stamp_s = frame.time_s
                if self._by_arrival:
                    now_s = time.monotonic()
                    begun_s = now_s if begun_s is None else begun_s
                    stamp_s = now_s - begun_s
                time_s = self._clock(stamp_s)
                self._jumps(time_s)
                yield SourceFrame(frame.index, time_s, frame.image)
            self._ended = True
        except OSError as error:
            lost = StreamLost if self.live else RunError
            raise lost(
                f"{self.name} cannot be read further than frame {self._video.frames_read}: {error.strerror or error}"
            ) from None

    def notes(self) -> list[str]:
        """What did not decode."""
        video = self._video
        notes = []
        if video.picture_streams > 1:
            notes.append(f"it holds {video.picture_streams} streams of pictures, of which the first is taken")
        if video.cut_short:
            notes.append("the file is cut short: it ends before its last frame")
        if video.broken_off:
            notes.append(
                f"reading broke off after {counted(video.frames_read, 'frame')} ({video.broken_off})"
            )
        if video.bad_packets:
            notes.append(f"packets that do not decode, and give no frame: {video.bad_packets:,}")
        if video.damaged_frames:
            notes.append(f"frames that the decoder had to mend: {video.damaged_frames:,}")
        notes += self._clock.notes()
        if self._ended and self.live:
            notes.append(
                f"the stream ended after {counted(video.frames_read, 'frame')}: its sender closed it, or the line broke"
            )
        stated = None if self.live else video.stated_frames
        if self._ended and stated is not None and stated != video.frames_read:
            notes.append(f"its header states {counted(stated, 'frame')}, {video.frames_read:,} decode")
        notes += self._jumps.notes()
        found = video.frames_read + self._jumps.missing_frames
        if self._ended and video.playlist and not self.live and _far_fewer(found, video.expected_frames):
            where = (
                "others, at its beginning or end or where its stamps begin anew,"
                if self._jumps.count
                else "parts that it lists"
            )
            notes.append(
                f"the times in its playlist make about {counted(video.expected_frames or 0, 'frame')}, "
                f"{video.frames_read:,} decode: {where} could not be had"
            )
        return notes

    def close(self) -> None:
        """Closes the file."""
        self._video.close()


def _far_fewer(frames: int, expected: int | None) -> bool:
    """Whether more are missing than a playlist's rounded times and rate explain."""
    return expected is not None and expected - frames > max(10, expected / 100)


def no_picture(name: str, timeout_s: float | None, error: OSError) -> RunError:
    """What to say where a wait ran out: ours, or without one the network's own."""
    why = (
        (error.strerror or "it took too long")
        if timeout_s is None
        else f"no picture came within {timeout_s:g} s"
    )
    return RunError(
        f"{name} cannot be read: {why}",
        remedy="check the address and that it is sending; --timeout (timeout_s) waits longer",
    )
