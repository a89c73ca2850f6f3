"""What is to be built: the request, and what reading the labels makes of it. Nothing is written here."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.ball_csv import Asked
from pipelines.plan import Plan, ShardPlan, make_plan
from pipelines.reading import size_and_time
from pipelines.shard_writer import FrameTask, ShardTask
from pipelines.sources import AUTO, read_source
from pipelines.stage_clips import ClipToStage, clips_to_stage
from pipelines.staging import STAGED_NAME
from tracknet.datasets.label_faults import FaultKind, LabelFault, Policy
from tracknet.datasets.schema import NOTES_NAME, LabelledClip
from tracknet.utils.geometry import Size
from tracknet.utils.images import Decode
from tracknet.utils.urls import shown


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build, from what, where to."""

    root: Path
    out: Path | str
    """A folder, or an fsspec URL."""
    size: Size
    jpeg_quality: int
    segment_frames: int
    num_shards: int
    val_games: tuple[str, ...] | None
    split_seed: int
    on_bad_label: Policy = "error"
    overwrite: bool = False
    test_games: tuple[str, ...] = ()
    decode: Decode = "full"
    layout: str = AUTO
    coordinates: Asked = "auto"
    staging_parent: Path | None = None
    """Where videos are staged; `None` for beside the builder's notes, or for `TMPDIR` where these are at a URL."""

    @property
    def shown_out(self) -> str:
        """`out` as messages may name it: no password is printed."""
        return str(self.out) if isinstance(self.out, Path) else shown(self.out)

    @property
    def staging(self) -> Path:
        """The folder of staged videos; it is this build's own, and goes when the build is published."""
        out = self.out.resolve() if isinstance(self.out, Path) else self.out
        if isinstance(out, Path) and self.staging_parent is None:
            return out / NOTES_NAME / STAGED_NAME
        parent = self.staging_parent or Path(tempfile.gettempdir())
        build = hashlib.sha256(str(out).encode()).hexdigest()[:16]
        return parent.resolve() / f"tracknet-{STAGED_NAME}-{build}"

    def config(self, plan: Plan) -> dict[str, Any]:
        """What the dataset depends on beside its sources; another one is another dataset."""
        config: dict[str, Any] = {
            "resize": list(self.size),
            "jpeg_quality": self.jpeg_quality,
            "segment_frames": self.segment_frames,
            "num_shards": self.num_shards,
            "val_games": plan.games.get("val", []),
            "split_seed": self.split_seed,
        }
        # What came later is noted where it is used, so that older builds stay what they are.
        if "test" in plan.games:
            config["test_games"] = plan.games["test"]
        if self.decode != "full":
            config["decode"] = self.decode
        return config


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with its labels read and its shards planned; nothing is written yet."""

    request: BuildRequest
    plan: Plan
    clips: tuple[LabelledClip, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    videos: dict[Path, ClipToStage]

    def with_rows(self, faults: Sequence[LabelFault]) -> list[LabelFault]:
        """The same faults of frames, said of their rows in the label files."""
        rows = {
            frame.path: (clip.label_file, frame.row)
            for clip in self.clips
            for frame in clip.frames
            if frame.path not in self.videos  # which holds many frames
        }

        def with_row(fault: LabelFault) -> LabelFault:
            label_file, row = rows.get(fault.file, (None, None))
            if fault.kind is FaultKind.FILE or label_file is None or row is None:
                return fault  # the system's refusal to read is no matter of a row
            return replace(fault, file=label_file, row=row, message=f"{fault.file} {fault.message}")

        return [with_row(fault) for fault in faults]

    def owner(self) -> dict[str, Any]:
        """What the output folder belongs to: a configuration and a root."""
        return {**self.request.config(self.plan), "root": str(self.request.root.resolve())}

    def tasks(self) -> list[ShardTask]:
        """One task per shard, with the sources' present sizes and times."""
        return [_task(self.request, shard, self.videos) for shard in self.plan.shards]

    def first_task(self) -> ShardTask:
        """The first of `tasks`, for those who need no more than an example."""
        return _task(self.request, self.plan.shards[0], self.videos)


def prepare(request: BuildRequest) -> Prepared:
    """Reads the labels and plans the shards; raises `UserError` for everything that is wrong with them."""
    source = read_source(request.root, request.on_bad_label, request.layout, request.coordinates)
    plan = make_plan(
        source.clips,
        val_games=request.val_games,
        test_games=request.test_games,
        num_shards=request.num_shards,
        segment_frames=request.segment_frames,
        seed=request.split_seed,
    )
    videos = clips_to_stage(
        source.clips,
        root=request.root,
        folder=request.staging,
        size=request.size,
        jpeg_quality=request.jpeg_quality,
    )
    return Prepared(request, plan, source.clips, source.warnings, source.notes, videos)


def _task(request: BuildRequest, shard: ShardPlan, videos: Mapping[Path, ClipToStage]) -> ShardTask:
    frames = []
    for segment in shard.segments:
        # A clip's frames share a folder, and a path costs more to make than a frame's label to read.
        folder = segment.frames[0].path.parent.relative_to(request.root).as_posix()
        for frame in segment.frames:
            staged = None
            if (video := videos.get(frame.path)) is not None:
                staged, size, mtime_ns = video.task.name, video.task.bytes, video.task.mtime_ns
            else:
                size, mtime_ns = size_and_time(frame.path)
            frames.append(
                FrameTask(
                    source=f"{folder}/{frame.path.name}",
                    game=segment.game,
                    clip=segment.clip,
                    segment=segment.number,
                    number=frame.number,
                    frame_size=segment.frame_size,
                    visibility=int(frame.visibility),
                    xy_px=frame.xy_px,
                    status=None if frame.status is None else int(frame.status),
                    bytes=size,
                    mtime_ns=mtime_ns,
                    staged=staged,
                )
            )
    return ShardTask(
        name=shard.name,
        split=shard.split,
        root=request.root.resolve(),
        out=request.out.resolve() if isinstance(request.out, Path) else request.out,
        size=request.size,
        jpeg_quality=request.jpeg_quality,
        keep_going=request.on_bad_label == "drop",
        frames=tuple(frames),
        decode=request.decode,
        staging=request.staging,
    )
