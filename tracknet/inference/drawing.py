"""Where a source's picture is drawn with the ball in it: in a second pass, or while it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType

from tracknet.inference.ball import Ball
from tracknet.inference.frame_source import DEFAULT_FPS, PictureFolder, is_folder
from tracknet.inference.overlay import OverlayVideo, draw_video
from tracknet.inference.points import PointBlock
from tracknet.inference.predictions import Predictions, balls_of
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage
from tracknet.utils.video import VideoError, VideoTraits


def draw_predictions(
    source: str | Path,
    predictions: Predictions,
    path: Path,
    *,
    fps: float = DEFAULT_FPS,
    progress: Callable[[int], None] | None = None,
) -> str | None:
    """Draws predictions into the pictures that they are of, read a second time.

    Args:
        source: a video file, a URL that ends, or a folder of pictures.
        predictions: of it, or of a part of it.
        path: of the MP4.
        fps: of a folder's pictures.
        progress: called with the number of frames written.

    Returns:
        Why the sound, or the rest of it, is missing; `None` where it is not.

    Raises:
        RunError: the source is another one, breaks, or its pictures are of several sizes.
        OSError: the disk is full, or fails.
    """
    if is_folder(source):
        _draw_folder(PictureFolder(Path(source), fps=fps), predictions, path, progress)
        return None
    try:
        return draw_video(source, predictions, path, progress=progress)
    except VideoError as error:
        raise RunError(f"{source} {error}") from None


class LiveOverlay:
    """The overlay of a source that cannot be read twice: drawn as the points come, without what needs all of them.

    Use it in a `with`; an exception leaves no file. Nothing is written where no frame comes.
    """

    def __init__(self, path: Path, traits: VideoTraits, threshold: float) -> None:
        self.path = path
        self._traits, self._threshold = traits, threshold
        self._video: OverlayVideo | None = None

    def __enter__(self) -> LiveOverlay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._video is not None:
            self._video.__exit__(kind, error, trace)

    def write(self, block: PointBlock) -> None:
        """Adds frames, whose pictures the block has."""
        for ball, image in zip(balls_of(block, self._threshold), block.images, strict=True):
            if self._video is None:
                self._video = OverlayVideo(self.path, Size(image.shape[1], image.shape[0]), self._traits)
            self._video.write(image, ball)


def _draw_folder(
    folder: PictureFolder, predictions: Predictions, path: Path, progress: Callable[[int], None] | None
) -> None:
    if predictions.frame_size is None:
        raise RunError(f"{folder.name}: its pictures are of several sizes, and a video has one")
    with OverlayVideo(path, predictions.frame_size, folder.traits) as video:
        for written, (image, ball) in enumerate(_paired(folder, predictions), start=1):
            video.write(image, ball)
            if progress is not None:
                progress(written)


def _paired(folder: PictureFolder, balls: Iterable[Ball]) -> Iterable[tuple[RGBImage, Ball]]:
    of_frame = {ball.frame: ball for ball in balls}
    with closing(folder):
        for frame in folder:
            if (ball := of_frame.pop(frame.number, None)) is not None:
                yield frame.image(), ball
    if of_frame:
        raise RunError(f"{folder.name} has no picture {min(of_frame)}: the predictions are of another folder")
