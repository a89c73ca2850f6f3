"""Frames of a video: a file, a stream, or a pipe."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from tracknet.inference.forward_clock import ForwardClock
from tracknet.inference.source_contract import SourceFrame
from tracknet.utils.errors import RunError
from tracknet.utils.naming import counted
from tracknet.utils.video import Video, VideoError


class VideoSource:
    """A video's frames: every one that decodes, with its own time."""

    def __init__(self, source: str | Path | BinaryIO, name: str, *, live: bool = False) -> None:
        self.name, self.live = name, live
        try:
            # Of a damaged file, several threads give fewer frames than one.
            self._video = Video(source)
        except VideoError as error:
            raise RunError(f"{name} {error}") from None
        except OSError as error:
            remedy = "check the address, the permissions and the network"
            if error.errno == errno.EIO and name.startswith(("http://", "https://")):
                remedy += (
                    "; from a server that gives no parts of a file (byte ranges), an MP4 can be read only where its "
                    "index comes first: download it and name the file"
                )
            raise RunError(f"{name} cannot be read: {error.strerror or error}", remedy=remedy) from None
        rate = self._video.frame_rate
        self.frame_rate = float(rate) if rate else None
        self.stated_frames = None if live else self._video.stated_frames
        self._clock = ForwardClock(self.frame_rate)
        self._ended = False
        # A named pipe, or a device, is no file.
        self.repeatable = (
            source.is_file() if isinstance(source, Path) else isinstance(source, str) and not live
        )
        traits = self._video.traits
        if not self.repeatable:
            traits = replace(traits, sound=None, sound_lost=self._video.has_audio)
        self.traits = traits

    def start_at(self, number: int) -> None:
        """Does nothing: which frame is the `number`th is known once those before it are decoded."""

    def __iter__(self) -> Iterator[SourceFrame]:
        try:
            for frame in self._video:
                yield SourceFrame(frame.index, self._clock(frame.time_s), frame.image)
            self._ended = True
        except OSError as error:
            raise RunError(
                f"{self.name} cannot be read further than frame {self._video.frames_read}: {error.strerror or error}"
            ) from None

    def notes(self) -> list[str]:
        """What did not decode."""
        video = self._video
        notes = []
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
        if self._ended and self.stated_frames is not None and self.stated_frames != video.frames_read:
            notes.append(
                f"its header states {counted(self.stated_frames, 'frame')}, {video.frames_read:,} decode"
            )
        return notes

    def close(self) -> None:
        """Closes the file."""
        self._video.close()
