"""The build as a function: labels -> plan -> shards on any executor -> index and manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines.build_folder import BuildFolder, FinishedShard
from pipelines.plan import Plan, ShardPlan, make_plan
from pipelines.publish import index_bytes, make_manifest, sort_rows
from pipelines.room import full_disk_explained
from pipelines.shard_writer import FrameTask, ShardResult, ShardTask, write_shard
from pipelines.sources import read_clips
from pipelines.store import Lease
from pipelines.wording import counted
from tracknet.datasets.label_csv import LABEL_NAME, FaultKind, LabelFault, Policy, list_faults
from tracknet.datasets.schema import Manifest
from tracknet.utils.errors import Interrupted, RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import Decode
from tracknet.utils.progress import Progress

TASKS_AT_ONCE = 256
"""Tasks handed to an executor and not yet finished; more than any cluster's workers can do with at a time."""


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
    warnings: tuple[str, ...]

    def with_rows(self, faults: Sequence[LabelFault]) -> list[LabelFault]:
        """The same faults of frames, said of their rows in the label files."""
        rows = {
            frame.path: frame.row
            for shard in self.plan.shards
            for segment in shard.segments
            for frame in segment.frames
        }

        def with_row(fault: LabelFault) -> LabelFault:
            if fault.kind is FaultKind.FILE or rows.get(fault.file) is None:
                return fault  # the system's refusal to read is no matter of a row
            message = f"{fault.file} {fault.message}"
            return replace(fault, file=fault.file.parent / LABEL_NAME, row=rows[fault.file], message=message)

        return [with_row(fault) for fault in faults]

    def owner(self) -> dict[str, Any]:
        """What the output folder belongs to: a configuration and a root."""
        return {**self.request.config(self.plan), "root": str(self.request.root.resolve())}

    def tasks(self) -> list[ShardTask]:
        """One task per shard, with the sources' present sizes and times."""
        return [_task(self.request, shard) for shard in self.plan.shards]

    def first_task(self) -> ShardTask:
        """The first of `tasks`, for those who need no more than an example."""
        return _task(self.request, self.plan.shards[0])


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes:
        manifest: of the finished build.
        written: shards that were written now.
        frames_written: frames in them.
        changed: whether anything in the folder changed.
        left_out: frames that could not be decoded and were left out, as messages.
        seconds: the build took.

    """

    manifest: Manifest
    written: int
    frames_written: int
    changed: bool
    left_out: tuple[str, ...]
    seconds: float


def prepare(request: BuildRequest) -> Prepared:
    """Reads the labels and plans the shards; raises `UserError` for everything that is wrong with them."""
    clips, warnings = read_clips(request.root, request.on_bad_label)
    plan = make_plan(
        clips,
        val_games=request.val_games,
        test_games=request.test_games,
        num_shards=request.num_shards,
        segment_frames=request.segment_frames,
        seed=request.split_seed,
    )
    return Prepared(request, plan, tuple(warnings))


def build(prepared: Prepared, executor: Executor | None = None) -> BuildReport:
    """Writes what is not written yet, then index and manifest.

    Args:
        prepared: see `prepare`.
        executor: runs one task per shard; `None` runs them here.

    Raises:
        UserError: the output folder belongs to another build.
        RunError: frames cannot be read or decoded (all are named), or a worker died. Finished shards stay.
        Interrupted: by Ctrl-C; finished shards stay.

    """
    start_s = time.monotonic()
    request, plan = prepared.request, prepared.plan
    folder = BuildFolder(request.out)
    config = request.config(plan)
    owner = prepared.owner()
    if not request.overwrite:
        folder.check(owner)  # before the lock, whose notes would be a change to the folder of another
    with folder.lock() as lease:
        if not request.overwrite:
            folder.check(owner)  # again, for what another build claimed since
        folder.claim(owner)
        tasks = prepared.tasks()
        done = folder.finished(tasks)
        to_do = [task for task in tasks if task.name not in done]
        if to_do:
            folder.begin(to_do)
            with full_disk_explained(folder.store, tasks, done):
                _write(prepared, folder, tasks, done, executor, lease)
        rows = sort_rows(row for shard in done.values() for row in shard.rows)
        index = index_bytes(rows)
        manifest = make_manifest(
            config=config,
            image_size=request.size,
            games=plan.games,
            shards=[shard.entry for shard in done.values()],
            rows=rows,
            index=index,
        )
        lease.check()
        with full_disk_explained(folder.store, tasks, done):
            changed = folder.publish(done.keys(), index, manifest.to_json()) or bool(to_do)
    return BuildReport(
        manifest=manifest,
        written=len(to_do),
        frames_written=sum(len(task.frames) for task in to_do),
        changed=changed,
        left_out=tuple(line for shard in done.values() for line in shard.left_out),
        seconds=time.monotonic() - start_s,
    )


def _write(
    prepared: Prepared,
    folder: BuildFolder,
    tasks: Sequence[ShardTask],
    done: dict[str, FinishedShard],
    executor: Executor | None,
    lease: Lease,
) -> None:
    """Writes the shards that `done` lacks, and puts each there when it is noted."""
    to_do = [task for task in tasks if task.name not in done]
    faults: list[LabelFault] = []
    try:
        with Progress("building", sum(len(task.frames) for task in to_do), "frames") as progress:
            for task, result in _run(to_do, executor, lease, progress):
                if result.entry is None:
                    faults += result.faults
                else:
                    done[task.name] = folder.record(task, result.entry, result)
    except KeyboardInterrupt:
        raise Interrupted(
            f"{len(done)} of {len(tasks)} shards are finished and kept in {folder.store}; "
            "the same command goes on from there"
        ) from None
    except BrokenExecutor:
        raise RunError(
            f"a worker process died; {len(done)} of {len(tasks)} shards are finished and kept",
            remedy="most often memory ran out: run the same command with fewer --workers",
        ) from None
    if faults:
        faults = prepared.with_rows(faults)
        faults.sort(key=lambda fault: (fault.kind is not FaultKind.FILE, str(fault.file)))
        raise RunError(
            f"{counted(len(faults), 'frame')} cannot be stored; "
            f"{len(done)} of {len(tasks)} shards are finished and kept",
            problems=list_faults(faults),
            remedy=_remedy(faults, dropping=tasks[0].keep_going),
        )


def _remedy(faults: Sequence[LabelFault], *, dropping: bool) -> str:
    if faults[0].kind is FaultKind.FILE:
        return (
            "the system does not let these files be read: mend that (their permissions, the disk, "
            "`ulimit -n`) and run the same command"
        )
    if dropping:
        return "that leaves a shard without a frame: replace or delete these files, and run the same command"
    return "replace these files and run the same command, or leave them out with --on-bad-label drop"


def _run(
    tasks: Sequence[ShardTask], executor: Executor | None, lease: Lease, progress: Progress
) -> Iterator[tuple[ShardTask, ShardResult]]:
    """The tasks with their results, in the order in which they end."""
    if executor is None:
        for task in tasks:
            yield task, write_shard(task, _advancing(task, lease, progress))
        return
    # Longest first: at the end no worker starts on a long one while the others have nothing left.
    waiting = iter(sorted(tasks, key=lambda task: -len(task.frames)))
    running: dict[Future[ShardResult], ShardTask] = {}
    try:
        while True:
            # Not all at once: a task is as large as its frames' labels, and a scheduler keeps what it is given.
            for task in islice(waiting, TASKS_AT_ONCE - len(running)):
                running[executor.submit(write_shard, task, lease)] = task
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                progress.advance(len(task.frames))
                yield task, future.result()
    finally:
        for future in running:
            future.cancel()


def _advancing(task: ShardTask, lease: Lease, progress: Progress) -> Callable[[], None]:
    """The `check_stop` of a task that runs here; also asked once after the last frame, which is no progress."""
    frames = iter(task.frames)

    def check() -> None:
        lease()
        if next(frames, None) is not None:
            progress.advance(1)

    return check


def _task(request: BuildRequest, shard: ShardPlan) -> ShardTask:
    frames = []
    for segment in shard.segments:
        # A clip's frames share a folder, and a path costs more to make than a frame's label to read.
        folder = segment.frames[0].path.parent.relative_to(request.root).as_posix()
        for frame in segment.frames:
            status = frame.path.stat()
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
                    bytes=status.st_size,
                    mtime_ns=status.st_mtime_ns,
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
    )
