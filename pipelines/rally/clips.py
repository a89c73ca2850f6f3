"""Clips on the disk: each rendered under a hidden name and renamed when whole, one task per clip."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path

import cv2

from pipelines.rally.render import ClipRenderer, FrameTruth
from tracknet.utils.errors import Interrupted, RunError

HEADER = ("file name", "visibility", "x-coordinate", "y-coordinate", "status")


@dataclass(frozen=True)
class Request:
    """What to render; two runs with equal requests write equal bytes."""

    games: int
    clips: int
    frames: int
    seed: int
    width_px: int
    height_px: int


def clip_labels(request: Request, game: int, clip: int) -> list[FrameTruth]:
    """The labels of one clip, without rendering whole frames."""
    renderer = ClipRenderer(request.seed, game, clip, request.frames, request.width_px, request.height_px)
    return [renderer.truth(frame) for frame in range(request.frames)]


def label_row(frame: int, truth: FrameTruth) -> tuple[str, ...]:
    """One row of Label.csv; all but the visibility is empty where there is no ball."""
    name = f"{frame:04d}.jpg"
    if truth.xy_px is None:
        return name, str(truth.visibility), "", "", ""
    x_px, y_px = truth.xy_px
    return name, str(truth.visibility), f"{x_px:.2f}", f"{y_px:.2f}", str(truth.status)


def write_clip(request: Request, out: Path, game: int, clip: int) -> None:
    """Render one clip into a hidden folder beside its place, labels last, and move it there."""
    cv2.setNumThreads(1)
    place = clip_folder(out, game, clip)
    partial = place.with_name(f".{place.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        renderer = ClipRenderer(request.seed, game, clip, request.frames, request.width_px, request.height_px)
        quality = [cv2.IMWRITE_JPEG_QUALITY, renderer.look.jpeg_quality]
        rows: list[tuple[str, ...]] = [HEADER]
        for frame in range(request.frames):
            if _stop is not None and _stop.is_set():
                raise Interrupted("interrupted")
            # Not imwrite: it reports a full disk as False, without a reason.
            picture, truth = renderer.frame(frame)
            encoded = cv2.imencode(".jpg", picture, quality)[1]
            row = label_row(frame, truth)
            (partial / row[0]).write_bytes(encoded.tobytes())
            rows.append(row)
        text = "".join(",".join(row) + "\r\n" for row in rows)
        (partial / "Label.csv").write_bytes(text.encode("ascii"))
        if place.exists():
            shutil.rmtree(place)
        partial.rename(place)
    except OSError as error:
        raise cannot_write(place, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


# Set in worker processes: the parent's word to stop.
_stop: StopEvent | None = None


def _start_worker(stop: StopEvent) -> None:
    """Ctrl-C reaches every process of a terminal; workers leave it to the parent, which tells them."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def write_clips(
    request: Request, out: Path, clips: Sequence[tuple[int, int]], workers: int
) -> Iterator[None]:
    """Write the given (game, clip) pairs, and yield after each."""
    if workers == 1 or len(clips) <= 1:
        for game, clip in clips:
            write_clip(request, out, game, clip)
            yield
        return
    # Spawned, not forked: OpenCV's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(min(workers, len(clips)), context, _start_worker, (stop,)) as pool:
        try:
            tasks = [pool.submit(write_clip, request, out, game, clip) for game, clip in clips]
            for task in as_completed(tasks):
                task.result()
                yield
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process died, perhaps for want of memory",
                remedy="run the command again with fewer --workers; whole clips are kept",
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def clip_folder(out: Path, game: int, clip: int) -> Path:
    """Where a clip belongs."""
    return out / f"game{game}" / f"Clip{clip}"


def is_whole(request: Request, folder: Path) -> bool:
    """Whether the clip's folder holds its labels and all its frames."""
    if not (folder / "Label.csv").is_file():
        return False
    return sum(entry.suffix == ".jpg" for entry in folder.iterdir()) == request.frames


def cannot_write(place: Path, error: OSError) -> RunError:
    """What to tell a person about a disk that is full or closed to them."""
    return RunError(
        f"cannot write {error.filename or place}: {error.strerror or error}",
        remedy="free some room, mend the permissions or choose another --out, and run the command again: "
        "whole clips are kept",
    )
