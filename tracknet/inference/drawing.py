"""Where a source's picture is drawn with the ball in it: in a second pass, or while it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import chain
from pathlib import Path
from types import TracebackType

from tracknet.inference.ball import Ball
from tracknet.inference.frame_source import DEFAULT_FPS, is_folder
from tracknet.inference.overlay import Heatmap, OverlayVideo, draw_video
from tracknet.inference.picture_folder import PictureFolder
from tracknet.inference.points import PointBlock, balls_of
from tracknet.inference.video_source import no_picture
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage
from tracknet.utils.urls import is_url, shown
from tracknet.utils.video_container import DEFAULT_TIMEOUT_S, VideoError
from tracknet.utils.video_traits import VideoTraits


def draw_predictions(
    source: str | Path,
    predictions: Iterable[Ball],
    path: Path,
    *,
    fps: float = DEFAULT_FPS,
    heatmaps: Iterable[Heatmap] | None = None,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    progress: Callable[[int], None] | None = None,
) -> str | None:
    """Draws predictions into the pictures that they are of, read a second time.

    Args:
        source: a video file, a URL that ends, or a folder of pictures.
        predictions: of it, or of a part of it.
        path: of the MP4.
        fps: of a folder's pictures.
        heatmaps: `[h, w]`, 0..1, of every row, in order, for the corner.
        timeout_s: how long a URL may be silent.
        progress: called with the number of frames written.

    Returns:
        What is to be told of the sound; `None` where all of it is there.

    Raises:
        UserError: `path` is the source itself.
        RunError: the source is another one, breaks, falls silent, or is a pipe.
        OSError: the disk is full, or fails.
    """
    if not is_url(str(source)) and path.exists() and path.samefile(source):
        raise UserError(f"{path} is the source itself", remedy="give the overlay another name")
    if not is_url(str(source)) and Path(source).is_fifo():
        raise RunError(
            f"{source} is a pipe, and what was read of it is gone",
            remedy="draw while it is predicted: tracknet predict MODEL PIPE --overlay",
        )
    heatmap_of = None if heatmaps is None else _one_by_one(heatmaps)
    if is_folder(source):
        _draw_folder(PictureFolder(Path(source), fps=fps), predictions, path, heatmap_of, progress)
        return None
    try:
        lost = draw_video(
            source, predictions, path, heatmap_of=heatmap_of, timeout_s=timeout_s, progress=progress
        )
    except VideoError as error:
        raise RunError(f"{source} {error}") from None
    except TimeoutError as error:
        raise no_picture(
            shown(str(source)) if is_url(str(source)) else str(source), timeout_s, error
        ) from None
    return None if lost is None else f"the overlay lacks the sound, or the rest of it: {lost}"


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
        heatmaps = [None] * len(block) if block.heatmaps is None else block.heatmaps
        for ball, image, heatmap in zip(
            balls_of(block, self._threshold), block.images, heatmaps, strict=True
        ):
            if self._video is None:
                self._video = OverlayVideo(self.path, Size(image.shape[1], image.shape[0]), self._traits)
            self._video.write(image, ball, heatmap)


def _one_by_one(heatmaps: Iterable[Heatmap]) -> Callable[[int], Heatmap]:
    """The next one each time: a drawing asks for those of all rows, in their order."""
    following = iter(heatmaps)
    return lambda frame: next(following)


def _draw_folder(
    folder: PictureFolder,
    predictions: Iterable[Ball],
    path: Path,
    heatmap_of: Callable[[int], Heatmap] | None,
    progress: Callable[[int], None] | None,
) -> None:
    pairs = iter(_paired(folder, predictions))
    if (first := next(pairs, None)) is None:
        raise RunError(f"{path}: no predictions to draw")
    # Pictures of another size than the first are drawn on in their own, and made to fit.
    with OverlayVideo(path, Size(first[0].shape[1], first[0].shape[0]), folder.traits) as video:
        for written, (image, ball) in enumerate(chain([first], pairs), start=1):
            video.write(image, ball, None if heatmap_of is None else heatmap_of(ball.frame))
            if progress is not None:
                progress(written)


def _paired(folder: PictureFolder, balls: Iterable[Ball]) -> Iterable[tuple[RGBImage, Ball]]:
    of_frame = {ball.frame: ball for ball in balls}
    with closing(folder):
        for frame in folder:
            if (ball := of_frame.pop(frame.number, None)) is not None:
                yield frame.image(), ball
            if not of_frame:
                return
    if of_frame:
        raise RunError(f"{folder.name} has no picture {min(of_frame)}: the predictions are of another folder")
