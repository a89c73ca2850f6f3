"""Pictures into an MP4 that browsers and players show: H.264, yuv420p, index first, sound in step.

**Times** are the source's own, to the tick: uneven ones stay uneven, 30000/1001 stays so. **Colours** are written
back with the matrix and range that the source states, also where it states none: whatever a player makes of the
source, it makes of the copy. Pictures that come from no video are BT.709, and say so. **Odd sizes** get one more
column or row, which repeats the edge, since yuv420p needs even ones: coordinates stay what they are. The file
comes under its name when it is whole; a writer that fails or is abandoned leaves nothing.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from tracknet.utils.errors import RunError, UserError
from tracknet.utils.extras import install_command
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage, resize_frame
from tracknet.utils.video_sound import Sound
from tracknet.utils.video_traits import Colours, VideoTraits

_BT709 = Colours(matrix=1, range=1, primaries=1, transfer=1)
# The codes that swscale can convert to; others, and what states none, are read as BT.601 (see utils/video_frame.py).
_MATRICES = (1, 4, 7, 9)
_BT601 = 5
# What the common rates of cameras divide, for pictures that come when they come.
_LIVE_TIME_BASE = Fraction(1, 90_000)
# A person steps through an overlay: two seconds between key frames, where x264 would leave eight.
_KEY_FRAME_S = 2
_X264 = {"preset": "veryfast", "crf": "20"}
# Beyond 4K x264 does not look ahead: at 8K the process then stays at 0.8 GB, where it grew beyond 2 GB.
_X264_LARGE = {"rc-lookahead": "0", "bf": "0", "threads": "4"}
_LARGE_PX = 4096 * 2304


class VideoWriter:
    """Writes one MP4. Use it in a `with`: an exception inside leaves no file.

        with VideoWriter(Path("out.mp4"), video.size, video.traits) as writer:
            for frame in video:
                writer.write(frame.image(), frame.time_s)

    Attributes:
        size: of the pictures that were announced.
        written: pictures so far.
        sound_left_out: why the sound, or the rest of it, is missing; `None` where it is not.
    """

    def __init__(self, path: Path, size: Size, traits: VideoTraits | None = None) -> None:
        """Opens a hidden file beside `path`.

        Args:
            path: of the MP4, in a folder that exists; a file there is replaced at the end.
            size: of the pictures.
            traits: of the source; without one the pictures come from no video and when they come.

        Raises:
            OSError: the folder does not exist, cannot be written to, or is full.
            UserError: PyAV is not installed.
            RunError: H.264 has no such size.
        """
        try:
            import av
        except ImportError:
            raise UserError(
                f"{path}: PyAV, which writes video, is not installed", remedy=install_command("video")
            ) from None
        traits = traits or VideoTraits()
        self.path, self.size, self.written = path, size, 0
        self.sound_left_out: str | None = None
        # Absolute, because FFmpeg takes what stands before a colon for a protocol.
        self._part = path.absolute().with_name(f".{path.name}.part")
        self._traits = traits
        self._colours = _writable(traits.colours)
        self._time_base = traits.time_base or (
            1 / traits.frame_rate if traits.frame_rate else _LIVE_TIME_BASE
        )
        self._first_tick = self._last_tick = self._last_step = 0
        self._sound: Sound | None = None
        self._done = False
        self._part.touch()  # FFmpeg would open it with the first picture
        self._out: Any = None
        try:
            self._out = av.open(str(self._part), "w", format="mp4", options={"movflags": "faststart"})
            self._stream = self._add_stream()
        except BaseException:
            self.abandon()
            raise

    def _add_stream(self) -> Any:
        from av.error import FFmpegError

        rate = self._traits.frame_rate or Fraction(30)
        # A time-lapse of one frame a minute, and a header that claims 90,000 a second, want neither extreme.
        gop = min(600, max(1, round(rate * _KEY_FRAME_S)))
        options = {**_X264, "g": str(gop)}
        if self.size.width * self.size.height > _LARGE_PX:
            options |= _X264_LARGE
        stream = self._out.add_stream("libx264", rate=rate, options=options)
        context = stream.codec_context
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context.time_base = self._time_base
        context.sample_aspect_ratio = self._traits.pixel_aspect
        context.colorspace, context.color_range = self._colours.matrix, self._colours.range
        context.color_primaries, context.color_trc = self._colours.primaries, self._colours.transfer
        try:
            context.open(strict=False)
        except FFmpegError as error:
            raise RunError(
                f"{self.path}: no H.264 video can be made of pictures of {self.size} ({error.strerror})"
            ) from None
        return stream

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(self, image: RGBImage, time_s: float) -> None:
        """Adds a picture.

        Args:
            image: RGB `uint8 [H, W, 3]`; of another size than announced it is resized.
            time_s: of the source, 0 at its first frame. The written video begins with its first picture. One
                that is not after the last is shown a tick after it: no picture is dropped.

        Raises:
            OSError: the disk is full, or fails.
        """
        tick = round(Fraction(time_s) / self._time_base)
        if not self.written:
            self._first_tick = tick
            if self._traits.sound is not None:
                start_s = self._traits.start_s + tick * self._time_base
                self._sound = Sound(self._out, self._traits.sound, start_s, timeout_s=self._traits.timeout_s)
        else:
            tick = max(tick, self._last_tick + 1)
            self._last_step = tick - self._last_tick
        self._last_tick = tick
        self.written += 1
        if self._sound is not None:
            self._sound.write_up_to((tick - self._first_tick) * self._time_base)
        self._encode(self._frame(image, tick - self._first_tick))

    def close(self, *, all_sound: bool = True) -> None:
        """Finishes the file and puts it in its place; harmless when repeated.

        Args:
            all_sound: also what sounds after the last picture, as in the source; else the sound ends with it,
                as that of a part must.

        Raises:
            RunError: no picture was written.
            OSError: the disk is full, or fails.
        """
        if self._done:
            return
        try:
            if not self.written:
                raise RunError(f"{self.path}: no picture to make a video of")
            self._encode(None)
            if self._sound is not None:
                self._sound.finish(None if all_sound else self._end_s())
                self.sound_left_out = self._sound.left_out
            self._out.close()
            self._part.replace(self.path)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Gives up: nothing is left of the file. Harmless when repeated, and after `close`."""
        self._done = True
        if self._sound is not None:
            self._sound.close()
        try:
            if self._out is not None:
                self._out.close()
        except OSError:
            pass  # the disk is full, and was so before
        finally:
            self._part.unlink(missing_ok=True)

    def _frame(self, image: RGBImage, tick: int) -> Any:
        import av

        if image.shape[:2] != (self.size.height, self.size.width):
            image = resize_frame(image, self.size)
        if self.size.width % 2 or self.size.height % 2:
            image = np.asarray(
                cv2.copyMakeBorder(
                    image, 0, self.size.height % 2, 0, self.size.width % 2, cv2.BORDER_REPLICATE
                ),
                np.uint8,
            )
        colours = self._colours
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=colours.matrix if colours.matrix in _MATRICES else _BT601,
            dst_color_range=2 if colours.range == 2 else 1,
        )
        frame.colorspace, frame.color_range = colours.matrix, colours.range
        frame.pts, frame.time_base = tick, self._time_base
        return frame

    def _encode(self, frame: Any) -> None:
        for packet in self._stream.encode(frame):
            # MP4 stores how long the last one is shown; x264 does not say.
            packet.duration = packet.duration or self._step()
            self._out.mux(packet)

    def _step(self) -> int:
        rate = self._traits.frame_rate
        usual = round(1 / rate / self._time_base) if rate else 0
        return usual or self._last_step or 1

    def _end_s(self) -> Fraction:
        return (self._last_tick - self._first_tick + self._step()) * self._time_base


def _writable(colours: Colours | None) -> Colours:
    # 0 is RGB, 8 and others are no matrices that yuv420p is read with.
    return colours if colours is not None and colours.matrix in (*_MATRICES, 2, 5, 6) else _BT709
