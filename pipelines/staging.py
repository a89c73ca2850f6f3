"""Decodes videos once, in order, into stored frames that the shards then copy.

A shard holds pieces of many clips, while a video can only be decoded from its start. So every video of which a
frame is to be stored is *staged* first: each frame is resized and encoded exactly as the writer does it for
images, and appended to a file of the staging folder (OUT/.build/staged, unless `--staging` says another).

    NAME.jpegs      the JPEGs, one behind the other
    NAME.json       a `StagedVideo`: their sizes and checksums, the video's hash; written last

NAME tells the clip, and by a fingerprint the video's file and the settings, but no labels: other labels need no
other frames. What a killed build has staged is used by the next; what is published is removed. One frame at a
time is in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from pipelines.store import LocalStore, named_when_full, temporary_name
from pipelines.workers import Workers
from tracknet.datasets.schema import frame_key
from tracknet.utils.errors import RunError
from tracknet.utils.files import hash_stream, sync_folder
from tracknet.utils.geometry import Size
from tracknet.utils.images import encode_jpeg, resize_frame
from tracknet.utils.memory import keep_freed_memory
from tracknet.utils.video import Video
from tracknet.utils.video_container import VideoError

STAGED_NAME = "staged"
# Raise it when the bytes of a staged frame change for the same video.
STAGING_VERSION = 1


@dataclass(frozen=True, slots=True)
class StageTask:
    """One video to stage. `source` is the file relative to the data set's root, with forward slashes."""

    source: str
    game: str
    clip: str
    root: Path
    folder: Path
    size: Size
    jpeg_quality: int
    bytes: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """Of the staged files, without ending."""
        body = json.dumps(
            [STAGING_VERSION, self.source, self.size, self.jpeg_quality, self.bytes, self.mtime_ns]
        )
        clip = frame_key(self.game, self.clip, 0).removesuffix("_0000")
        return f"{clip}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class StagedVideo:
    """What was staged of a video.

    Attributes:
        sha256: of the video file.
        decoded: frames that it holds.
        damage: what is wrong with it, as words after its name; `None` for a whole one. Frames from the first
            damage on are not staged: what follows it need not be the frame whose number it gets.
        sizes: bytes of every staged JPEG, by number of frame.
        crc32c: of every staged JPEG.

    """

    sha256: str
    decoded: int
    damage: str | None
    sizes: tuple[int, ...]
    crc32c: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StageResult:
    """What became of a task: the video, or why it could not be read."""

    video: StagedVideo | None
    error: VideoError | OSError | None = None


def stage_video(task: StageTask, check_stop: Callable[[], None] = lambda: None) -> StageResult:
    """Stages one video, unless that is done already.

    Args:
        task: what to stage.
        check_stop: called before every frame; may raise to stop the work.

    """
    done = read_staged(task.folder, task.name)
    if done is not None:
        return StageResult(done)
    keep_freed_memory()
    path, final = task.root / task.source, task.folder / f"{task.name}.jpegs"
    temporary = final.with_name(temporary_name(final.name))
    try:
        with named_when_full(final), temporary.open("wb") as file:
            try:
                video = _stage(path, task, file, check_stop)
            except (VideoError, OSError) as error:
                if isinstance(error, OSError) and error.filename != str(path):
                    raise  # the disk that is written to
                return StageResult(None, error)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
        sync_folder(task.folder)
    finally:
        temporary.unlink(missing_ok=True)
    LocalStore(task.folder).put(f"{task.name}.json", json.dumps(asdict(video)).encode())
    return StageResult(video)


def stage_videos(
    tasks: Collection[StageTask], workers: Workers | None, check_stop: Callable[[], None]
) -> Iterator[tuple[StageTask, StageResult]]:
    """The tasks with their results, in the order in which they end; `workers` `None` runs them here."""
    # The longest first, or all wait for it at the end.
    ordered = sorted(tasks, key=lambda task: (-task.bytes, task.name))
    if workers is None:
        for task in ordered:
            yield task, stage_video(task, check_stop)
        return
    futures = {workers.submit(stage_video, task, check_stop): task for task in ordered}
    for future in workers.results(futures):
        yield futures[future], future.result()


def read_staged(folder: Path, name: str) -> StagedVideo | None:
    """What is staged under a name; `None` if it is not, or not whole."""
    try:
        body = json.loads((folder / f"{name}.json").read_bytes())
        video = StagedVideo(**{**body, "sizes": tuple(body["sizes"]), "crc32c": tuple(body["crc32c"])})
        whole = (folder / f"{name}.jpegs").stat().st_size == sum(video.sizes)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return video if whole else None


def clear_staged(folder: Path, keep: Collection[str] = ()) -> None:
    """Removes what is staged in a folder but for these names, and what killed builds left half-written."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.stem not in keep:
            path.unlink()


class StagedFrames:
    """Staged frames, each checked as it is read. Keeps files open; close it, or use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[BinaryIO, StagedVideo, Sequence[int]]] = {}

    def __enter__(self) -> StagedFrames:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._open.values():
            opened[0].close()

    def read(self, name: str, number: int) -> tuple[bytes, str]:
        """The JPEG of one frame, and the hash of its video.

        Raises:
            VideoError: the video has no such frame, or is damaged before it.
            RunError: nothing is staged under this name, or it changed since.

        """
        file, video, offsets = self._staged(name)
        if number >= len(video.sizes):
            raise VideoError(
                f"has no sound frame {number}: {video.damage or f'holds {video.decoded} frames'}"
            )
        file.seek(offsets[number])
        jpeg = file.read(video.sizes[number])
        if google_crc32c.value(jpeg) != video.crc32c[number]:
            raise RunError(
                f"{file.name}: frame {number} does not read back as it was written",
                remedy="the disk or its memory is failing; delete that file and run the same command",
            )
        return jpeg, video.sha256

    def _staged(self, name: str) -> tuple[BinaryIO, StagedVideo, Sequence[int]]:
        if name not in self._open:
            video = read_staged(self._folder, name)
            if video is None:
                raise RunError(
                    f"{self._folder / name}.jpegs is gone or cut short",
                    remedy="run the same command again; no one else may write there",
                )
            file = (self._folder / f"{name}.jpegs").open("rb")
            self._open[name] = file, video, list(accumulate(video.sizes, initial=0))
        return self._open[name]


def _stage(path: Path, task: StageTask, file: BinaryIO, check_stop: Callable[[], None]) -> StagedVideo:
    sizes: list[int] = []
    checksums: list[int] = []
    decoded, damage = 0, None
    before = path.stat()
    with Video(path) as video:
        for frame in video:
            check_stop()
            decoded += 1
            if damage is None:
                damage = _damage(video, frame.index, frame.size)
            if damage is None:
                jpeg = encode_jpeg(resize_frame(frame.image(), task.size), task.jpeg_quality)
                file.write(jpeg)
                sizes.append(len(jpeg))
                checksums.append(google_crc32c.value(jpeg))
        if damage is None and not video.whole:
            damage = f"is damaged behind frame {decoded - 1}"
    with path.open("rb") as source:
        sha256 = hash_stream(source)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise VideoError("was changed while it was read")
    return StagedVideo(sha256, decoded, damage, tuple(sizes), tuple(checksums))


def _damage(video: Video, index: int, size: Size) -> str | None:
    if not video.whole:
        return f"is damaged before or in frame {index}"
    if size != video.size:
        return f"is {size} from frame {index} on, and {video.size} before"
    return None
