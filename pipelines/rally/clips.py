"""Clips on the disk: each rendered under a hidden name and renamed when whole, one task per clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2

from pipelines.pool import check_stop, worker_pool
from pipelines.rally.render import ClipRenderer, FrameTruth
from tracknet.datasets.label_csv import HEADER, LABEL_NAME
from tracknet.utils.errors import RunError
from tracknet.utils.files import new_folder


@dataclass(frozen=True)
class Request:
    """What to render; two runs with equal requests write equal bytes."""

    games: int
    clips: int
    frames: int
    seed: int
    width_px: int
    height_px: int

    def pairs(self) -> list[tuple[int, int]]:
        """The (game, clip) of every clip."""
        return [(game, clip) for game in range(1, self.games + 1) for clip in range(1, self.clips + 1)]


def clip_labels(request: Request, game: int, clip: int) -> list[FrameTruth]:
    """The labels of one clip, without rendering whole frames."""
    renderer = ClipRenderer(request.seed, game, clip, request.frames, request.width_px, request.height_px)
    return [renderer.truth(frame) for frame in range(request.frames)]


def label_row(frame: int, truth: FrameTruth) -> tuple[str, ...]:
    """One row of `Label.csv`; all but the visibility is empty where there is no ball."""
    name = f"{frame:04d}.jpg"
    if truth.xy_px is None:
        return name, str(truth.visibility), "", "", ""
    x_px, y_px = truth.xy_px
    return name, str(truth.visibility), f"{x_px:.2f}", f"{y_px:.2f}", str(truth.status)


def write_clip(request: Request, out: Path, game: int, clip: int) -> None:
    """Render one clip into its folder, which is there when it is whole."""
    cv2.setNumThreads(1)
    place = clip_folder(out, game, clip)
    try:
        with new_folder(place) as partial:
            _render(request, game, clip, partial)
    except OSError as error:
        raise cannot_write(place, error) from error


def _render(request: Request, game: int, clip: int, folder: Path) -> None:
    renderer = ClipRenderer(request.seed, game, clip, request.frames, request.width_px, request.height_px)
    quality = [cv2.IMWRITE_JPEG_QUALITY, renderer.look.jpeg_quality]
    rows: list[tuple[str, ...]] = [HEADER]
    for frame in range(request.frames):
        check_stop()
        # Not imwrite: it reports a full disk as False, without a reason.
        picture, truth = renderer.frame(frame)
        encoded = cv2.imencode(".jpg", picture, quality)[1]
        row = label_row(frame, truth)
        (folder / row[0]).write_bytes(encoded.tobytes())
        rows.append(row)
    text = "".join(",".join(row) + "\r\n" for row in rows)
    (folder / LABEL_NAME).write_bytes(text.encode("ascii"))


def write_clips(
    request: Request, out: Path, clips: Sequence[tuple[int, int]], workers: int
) -> Iterator[None]:
    """Write the given (game, clip) pairs, and yield after each."""
    if workers == 1 or len(clips) <= 1:
        for game, clip in clips:
            write_clip(request, out, game, clip)
            yield
        return
    try:
        with worker_pool(min(workers, len(clips))) as pool:
            for task in pool.results([pool.submit(write_clip, request, out, *clip) for clip in clips]):
                task.result()
                yield
    except BrokenExecutor as error:
        raise RunError(
            "a worker process died, perhaps for want of memory",
            remedy="run the command again with fewer --workers; whole clips are kept",
        ) from error


def clip_folder(out: Path, game: int, clip: int) -> Path:
    """Where a clip belongs."""
    return out / f"game{game}" / f"Clip{clip}"


def is_whole(request: Request, folder: Path) -> bool:
    """Whether the clip's folder holds its labels and all its frames."""
    if not (folder / LABEL_NAME).is_file():
        return False
    return sum(entry.suffix == ".jpg" for entry in folder.iterdir()) == request.frames


def cannot_write(place: Path, error: OSError) -> RunError:
    """What to tell a person about a disk that is full or closed to them."""
    return RunError(
        f"cannot write {error.filename or place}: {error.strerror or error}",
        remedy="free some room, mend the permissions or choose another --out, and run the command again: "
        "whole clips are kept",
    )
