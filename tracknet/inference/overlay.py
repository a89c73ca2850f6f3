"""A video with the ball drawn in: frame by frame as they come, or in a second pass over a file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tracknet.reporting.ball_overlay import (
    TrailPoint,
    draw_ball,
    draw_event,
    draw_inset,
    draw_text,
    draw_trail,
)
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage
from tracknet.utils.naming import counted
from tracknet.utils.stages import Stages
from tracknet.utils.video import Video, open_video
from tracknet.utils.video_container import DEFAULT_TIMEOUT_S
from tracknet.utils.video_frame import VideoFrame
from tracknet.utils.video_traits import VideoTraits
from tracknet.utils.video_writer import VideoWriter

Heatmap = npt.NDArray[np.floating]
# Decoded, not yet pictures: an 8K frame has 50 MB.
_FRAMES_AHEAD = 2


class MarkedBall(Protocol):
    """What of a prediction is drawn. `event` (a word or '') and `filled` may be there too."""

    @property
    def frame(self) -> int: ...  # noqa: D102
    @property
    def time_s(self) -> float: ...  # noqa: D102
    @property
    def x(self) -> float: ...  # noqa: D102
    @property
    def y(self) -> float: ...  # noqa: D102
    @property
    def score(self) -> float: ...  # noqa: D102
    @property
    def visible(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class OverlayLook:
    """What is drawn.

    Attributes:
        trail_s: how long the way behind the ball stays; 0 for none.
        event_s: how long a hit or bounce stays.
        text: whether frame, time and score stand in the corner.
    """

    trail_s: float = 0.3
    event_s: float = 0.6
    text: bool = False


class OverlayVideo:
    """Draws the ball into pictures and writes them to an MP4. Use it in a `with`: an exception leaves no file.

    It needs no picture twice and holds none, so it serves a file in step with the model as well as a camera. A
    camera is ended by Ctrl-C: catch it inside the `with`, and the video is kept.

        with Video("match.mp4") as video, OverlayVideo(Path("out.mp4"), video.size, video.traits) as out:
            for frame, ball in zip(video, balls):
                out.write(frame.image(), ball)
    """

    def __init__(
        self,
        path: Path,
        size: Size,
        traits: VideoTraits | None = None,
        look: OverlayLook | None = None,
    ) -> None:
        """Opens the video; arguments and errors are `VideoWriter`'s, and `look` says what is drawn."""
        self.writer = VideoWriter(path, size, traits)
        self._look = look or OverlayLook()
        self._trail: deque[tuple[float, float, float, bool]] = deque()
        self._events: deque[tuple[float, float, float, str]] = deque()

    def __enter__(self) -> OverlayVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.__exit__(kind, error, trace)

    def write(self, image: RGBImage, ball: MarkedBall, heatmap: Heatmap | None = None) -> None:
        """Adds a frame with the ball, its trail and what happened just now.

        Args:
            image: RGB `uint8 [H, W, 3]`, upright; left as it is.
            ball: of this frame, in its pixels. Where it is not `visible`, no ring is drawn, whatever x and y are.
            heatmap: `[h, w]`, 0..1, of the whole frame, for the corner.

        Raises:
            OSError: the disk is full, or fails.
        """
        self.writer.write(self.drawn(image, ball, heatmap), ball.time_s)

    def drawn(self, image: RGBImage, ball: MarkedBall, heatmap: Heatmap | None = None) -> RGBImage:
        """The picture that `write` writes; counts as written where trail and events are concerned."""
        look, now = self._look, ball.time_s
        x, y = (ball.x, ball.y) if ball.visible else (float("nan"), float("nan"))
        filled, event = bool(getattr(ball, "filled", False)), str(getattr(ball, "event", "") or "")
        self._trail.append((now, x, y, filled))
        while self._trail and self._trail[0][0] < now - look.trail_s:
            self._trail.popleft()
        if event:
            self._events.append((now, ball.x, ball.y, event))
        while self._events and self._events[0][0] <= now - look.event_s:
            self._events.popleft()

        picture = image.copy()
        if heatmap is not None:
            draw_inset(picture, heatmap)
        if look.trail_s > 0:
            draw_trail(picture, [
                TrailPoint(px, py, min(1.0, (now - then) / look.trail_s), was_filled)
                for then, px, py, was_filled in self._trail
            ])  # fmt: skip
        for then, px, py, word in self._events:
            draw_event(picture, word, px, py, (now - then) / look.event_s)
        draw_ball(picture, x, y, filled=filled)
        if look.text:
            draw_text(picture, f"{ball.frame}  {now:.2f} s  {ball.score:.2f}")
        return picture


def draw_video(
    source: str | Path,
    balls: Iterable[MarkedBall],
    path: Path,
    *,
    look: OverlayLook | None = None,
    heatmap_of: Callable[[int], Heatmap | None] | None = None,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    progress: Callable[[int], None] | None = None,
) -> str | None:
    """Draws predictions into the video that they are of, in a second pass over it.

    Only the frames that have a row are written: those of a part of the video give that part, with its sound.

    Args:
        source: the video, a file or URL that can be read twice (pictures, then sound).
        balls: one per frame, in order, without gaps.
        path: of the MP4.
        look: what is drawn.
        heatmap_of: gives the heatmap of a frame for the corner.
        timeout_s: how long a URL may be silent.
        progress: called with the number of frames written, after each.

    Returns:
        Why the sound, or the rest of it, is missing; `None` where it is not.

    Raises:
        RunError: there are no rows, or the video ends before they do: it is another one.
        VideoError: as `Video`.
        OSError: the video cannot be read or written; the disk is full. `TimeoutError` where a URL is silent too long.
    """
    rows = iter(balls)
    ball = next(rows, None)
    if ball is None:
        raise RunError(f"{path}: no predictions to draw")
    with Stages() as stages:
        video = open_video(source, timeout_s)
        # By a thread, which closes it, too: Python hears no Ctrl-C while FFmpeg waits for a URL.
        frames = stages.ahead(_all_of(video), depth=_FRAMES_AHEAD)
        with OverlayVideo(path, video.size, video.traits, look) as out:
            for frame in frames:
                if frame.index < ball.frame:
                    continue
                out.write(frame.image(), ball, None if heatmap_of is None else heatmap_of(ball.frame))
                if progress is not None:
                    progress(out.writer.written)
                last, ball = ball, next(rows, None)
                if ball is None:
                    break
                if ball.frame != last.frame + 1:
                    raise RunError(
                        f"{source}: predictions of frame {last.frame} are followed by {ball.frame}"
                    )
            if ball is not None:
                raise RunError(
                    f"{source}: it ends after {counted(video.frames_read, 'frame')}, before the predictions do "
                    f"(frame {ball.frame}): they are of another video"
                )
            out.writer.close(all_sound=next(frames, None) is None)
            return out.writer.sound_left_out


def _all_of(video: Video) -> Iterator[VideoFrame]:
    with video:
        yield from video
