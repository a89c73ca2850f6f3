"""Frames of whatever a person names: a video, a folder of pictures, a camera, a stream, a pipe; all alike."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from tracknet.datasets.label_csv import FRAME_NAME
from tracknet.inference.forward_clock import ForwardClock
from tracknet.utils.errors import RunError, UserError, shorten
from tracknet.utils.images import IMAGE_SUFFIXES, ImageError, RGBImage, read_image
from tracknet.utils.naming import counted, natural_key
from tracknet.utils.urls import is_url, shown
from tracknet.utils.video import Video, VideoError, VideoTraits

STDIN = "-"
DEFAULT_FPS = 30.0
# Stamps in ms, us or ns for names are no numbers of frames: they
# would make every picture a stretch of its own, and 20 digits overflow int64.
_NUMBERS_END = 1 << 31
_SPAN_OF_FEW, _SPAN_PER_PICTURE = 100_000, 1000
_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "tcp", "udp", "rtp", "srt")


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame that can be had.

    Attributes:
        number: in the source, from 0. A number left out is a frame that cannot be had: no window reaches over it.
        time_s: since the first frame; never less than that of the frame before.
        image: decodes: the upright picture, RGB `uint8 [H, W, 3]`, of any size.
    """

    number: int
    time_s: float
    image: Callable[[], RGBImage]


class FrameSource(Protocol):
    """Frames in order, each once. Iterate over it once; close it, or use `contextlib.closing`.

    Attributes:
        name: as messages may show it, without passwords.
        stated_frames: how many there should be; `None` where nobody knows. A guess.
        live: it goes on for ever, and is late if it is not read as fast as it comes.
        frame_rate: frames per second as stated; `None` where unknown.
        repeatable: it can be opened again and is the same then.
        traits: what a video made from it takes over.
    """

    name: str
    stated_frames: int | None
    live: bool
    frame_rate: float | None
    repeatable: bool
    traits: VideoTraits

    def __iter__(self) -> Iterator[SourceFrame]: ...

    def start_at(self, number: int) -> None:
        """Says, before the iteration, that frames before `number` are not wanted.

        A source that has to read them on its way to `number` gives them all the same.
        """
        ...

    def notes(self) -> list[str]:
        """What was wrong with what has been read so far, in words with numbers; empty where nothing was."""
        ...

    def close(self) -> None:
        """Lets go of files and devices; harmless when repeated."""
        ...


def open_frames(spec: str | Path, *, fps: float = DEFAULT_FPS) -> FrameSource:
    """Opens what a person names.

    Args:
        spec: a video file; a folder of pictures (JPEG, PNG); `0`, `1`, ... for a camera; a URL that FFmpeg reads
            (rtsp, http, ...); `-` for a video on standard input, of a form that can be read from the start on
            (MPEG-TS, Matroska, AVI; MP4 only with its index in front).
        fps: of a folder's pictures, which have no time of their own.

    Raises:
        UserError: there is no such thing, or PyAV is not installed.
        RunError: it is there, and holds no frames.
    """
    text = str(spec)
    if text == STDIN:
        return VideoSource(sys.stdin.buffer, "standard input")
    if isinstance(spec, str) and spec.isdecimal() and not Path(spec).exists():
        return CameraSource(int(spec))
    if isinstance(spec, str) and is_url(spec):
        return VideoSource(spec, shown(spec), live=spec.partition(":")[0].lower() in _LIVE_SCHEMES)
    path = Path(spec)
    if is_folder(path):
        return PictureFolder(path, fps=fps)
    if not path.exists():
        raise UserError(f"there is no file or folder {path}")
    return VideoSource(path, text)


def is_folder(spec: str | Path) -> bool:
    """Whether what a person names is a folder, and so pictures."""
    return not (isinstance(spec, str) and is_url(spec)) and Path(spec).is_dir()


def picture_files(folder: Path) -> list[Path]:
    """A folder's pictures, in natural order; what begins with a dot is none, such as the `._0005.jpg` of macOS."""
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and path.is_file()
    ]
    return sorted(files, key=lambda path: natural_key(path.name))


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


class PictureFolder:
    """A folder's pictures, in natural order.

    Their numbers are those of their names where all are named by number alone (`0042.jpg` is 42), else 0, 1, 2, ...;
    where some are, a note says so.
    Time is the number (from the first) by the frame rate.
    """

    live, repeatable = False, True

    def __init__(self, folder: Path, *, fps: float) -> None:
        self.name = str(folder)
        self._files = files = picture_files(folder)
        if not files:
            raise RunError(f"{folder} holds no pictures ({', '.join(IMAGE_SUFFIXES)})")
        self._fps = fps
        self.traits = VideoTraits(frame_rate=Fraction(fps).limit_denominator(1001))
        self.frame_rate: float | None = fps
        self.stated_frames: int | None = len(files)
        self._numbers, self._counted = _numbers_of(files)
        self._lost: list[str] = []
        self._start = 0

    def start_at(self, number: int) -> None:
        """Pictures of lower numbers are not read."""
        self._start = number

    def __iter__(self) -> Iterator[SourceFrame]:
        first = self._numbers[0]
        for number, path in zip(self._numbers, self._files, strict=True):
            if number < self._start:
                continue
            try:
                picture = read_image(path)
            except (ImageError, OSError) as error:
                self._lost.append(f"{path.name} {error}")
                continue
            time_s = (number - first) / self._fps
            yield SourceFrame(number, time_s, lambda picture=picture: picture)  # type: ignore[misc]

    def notes(self) -> list[str]:
        """Why pictures with numbers were counted, and which could not be read."""
        notes = [] if self._counted is None else [self._counted]
        if not self._lost:
            return notes
        return [
            *notes,
            f"pictures that cannot be read, and have no row: {len(self._lost):,}",
            *shorten(self._lost, 5),
        ]

    def close(self) -> None:
        """Nothing is held."""


def _numbers_of(files: Sequence[Path]) -> tuple[list[int], str | None]:
    """The numbers of pictures, and why they are not those of their names where some have one."""
    named = [FRAME_NAME.fullmatch(path.name) for path in files]
    numbers = [int(match[1]) for match in named if match]
    counted_up = list(range(len(files)))
    if not numbers:
        return counted_up, None
    if len(numbers) < len(files):
        other = files[named.index(None)].name
        return counted_up, f"numbered 0, 1, 2, ... and not by their names: {other} has no number for a name"
    if len(set(numbers)) < len(numbers):
        # Natural order puts the same numbers side by side.
        twice = next(number for number, after in pairwise(numbers) if number == after)
        return counted_up, f"numbered 0, 1, 2, ... and not by their names: two are named {twice}"
    span = max(numbers) - min(numbers)
    if max(numbers) >= _NUMBERS_END or span > max(_SPAN_OF_FEW, _SPAN_PER_PICTURE * len(files)):
        return counted_up, (
            f"numbered 0, 1, 2, ... and not by their names: {min(numbers)} to {max(numbers)} for "
            f"{counted(len(files), 'picture')} are times, not frames"
        )
    return numbers, None


class CameraSource:
    """A camera of this machine, through OpenCV; time is when a picture came."""

    live, repeatable = True, False
    traits = VideoTraits()

    def __init__(self, index: int) -> None:
        import cv2

        self.name = f"camera {index}"
        self.stated_frames: int | None = None
        # Of a camera that is not there, OpenCV prints a page about how it looked.
        logging: Any = cv2.utils.logging
        level = logging.getLogLevel()
        logging.setLogLevel(0)
        try:
            self._camera: Any = cv2.VideoCapture(index)
        finally:
            logging.setLogLevel(level)
        if not self._camera.isOpened():
            raise RunError(
                f"{self.name} cannot be opened",
                remedy="check that it is plugged in, that no other program uses it, and its number (0 is the first)",
            )
        self.frame_rate: float | None = float(self._camera.get(cv2.CAP_PROP_FPS)) or None

    def start_at(self, number: int) -> None:
        """Does nothing: a camera begins now."""

    def __iter__(self) -> Iterator[SourceFrame]:
        import cv2

        start_s, number = time.monotonic(), 0
        while True:
            there, picture = self._camera.read()
            if not there:
                return
            if number == 0:
                start_s = time.monotonic()
            image: RGBImage = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            yield SourceFrame(number, time.monotonic() - start_s, lambda image=image: image)  # type: ignore[misc]
            number += 1

    def notes(self) -> list[str]:
        """A camera gives what it gives."""
        return []

    def close(self) -> None:
        """Frees the camera."""
        self._camera.release()
