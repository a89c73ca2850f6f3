"""The step of a build that stages videos: which ones, on which workers, and what was wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.reading import read_fault, size_and_time
from pipelines.staging import StagedVideo, StageTask, clear_staged, stage_videos
from pipelines.workers import Workers
from tracknet.datasets.label_faults import FaultKind, LabelFault, list_faults
from tracknet.datasets.schema import LabelledClip
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted
from tracknet.utils.progress import Progress
from tracknet.utils.video import is_video


@dataclass(frozen=True, slots=True)
class ClipToStage:
    """A clip that is a video: its task, and what its labels expect of it."""

    task: StageTask
    label_file: Path
    frames: int
    """Frames that have a label."""


def clips_to_stage(
    clips: Sequence[LabelledClip], *, root: Path, folder: Path, size: Size, jpeg_quality: int
) -> dict[Path, ClipToStage]:
    """By video, every clip of a data set that is one, as its file is at present."""
    videos: dict[Path, ClipToStage] = {}
    for clip in clips:
        path = clip.frames[0].path
        if not is_video(path):
            continue
        size_bytes, mtime_ns = size_and_time(path)
        task = StageTask(
            source=path.relative_to(root).as_posix(),
            game=clip.game,
            clip=clip.clip,
            root=root.resolve(),
            folder=folder,
            size=size,
            jpeg_quality=jpeg_quality,
            bytes=size_bytes,
            mtime_ns=mtime_ns,
        )
        videos[path] = ClipToStage(task, clip.label_file, len(clip.frames))
    return videos


def stage_clips(
    clips: Collection[ClipToStage],
    *,
    dropping: bool,
    workers: Workers | None,
    check_stop: Callable[[], None],
) -> None:
    """Stages these clips; what is staged already is kept.

    Args:
        clips: those of which a frame is to be stored.
        dropping: whether damaged videos are used as far as they go; what is missing of them the shards leave out.
        workers: runs one task per video; `None` runs them here.
        check_stop: see `stage_video`.

    Raises:
        RunError: videos are damaged, or hold another number of frames than they have labels: all are named.

    """
    if not clips:
        return
    folder = next(iter(clips)).task.folder
    folder.mkdir(parents=True, exist_ok=True)
    of_task = {clip.task: clip for clip in clips}
    clear_staged(folder, keep={task.name for task in of_task})
    faults: list[LabelFault] = []
    with Progress("decoding videos", sum(clip.frames for clip in clips), "frames") as progress:
        for task, result in stage_videos(of_task, workers, check_stop):
            clip = of_task[task]
            if result.video is None:
                faults.append(read_fault(task.root / task.source, result.error or OSError("no result")))
            elif not dropping and (fault := _fault(clip, result.video)) is not None:
                faults.append(fault)
            progress.advance(clip.frames)
    if faults:
        faults.sort(key=lambda fault: str(fault.file))
        raise RunError(
            f"{counted(len(faults), 'video')} of {len(clips)} cannot be stored; "
            f"the others are decoded and kept",
            problems=list_faults(faults),
            remedy="replace these videos or mend their label files, and run the same command"
            + ("" if dropping else "; or leave out the frames at fault with --on-bad-label drop"),
        )


def _fault(clip: ClipToStage, video: StagedVideo) -> LabelFault | None:
    if len(video.sizes) == video.decoded == clip.frames:
        return None  # whole, or damaged behind its last frame only
    rows = f"{clip.label_file} has {counted(clip.frames, 'row')}"
    if video.damage is not None:
        message = (
            f"{video.damage}; {len(video.sizes)} sound frames come first, {video.decoded} decode, {rows}"
        )
    else:
        message = f"holds {counted(video.decoded, 'frame')}, {rows}"
    return LabelFault(clip.task.root / clip.task.source, None, message, FaultKind.STRUCTURE)
