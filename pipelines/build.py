"""The build as a function: labels -> plan -> shards on any workers -> index and manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from itertools import islice

from pipelines.build_folder import BuildFolder, FinishedShard
from pipelines.publish import index_bytes, make_manifest, sort_rows
from pipelines.request import Prepared
from pipelines.room import full_disk_explained
from pipelines.shard_writer import ShardResult, ShardTask, write_shard
from pipelines.stage_clips import stage_clips
from pipelines.staging import clear_staged
from pipelines.store import Lease, LocalStore
from pipelines.workers import Workers
from tracknet.datasets.label_faults import FaultKind, LabelFault, list_faults
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import Interrupted, RunError
from tracknet.utils.naming import counted
from tracknet.utils.progress import Progress

TASKS_AT_ONCE = 256
"""Tasks handed to workers and not yet finished; more than any cluster's workers can do with at a time."""


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


def build(prepared: Prepared, workers: Workers | None = None) -> BuildReport:
    """Writes what is not written yet, then index and manifest.

    Args:
        prepared: see `prepare`.
        workers: runs one task per shard; `None` runs them here.

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
            _stage(prepared, tasks, done, workers, lease)
            with full_disk_explained(folder.store, tasks, done):
                _write(prepared, folder, tasks, done, workers, lease)
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
        if prepared.videos:
            clear_staged(request.staging)
    return BuildReport(
        manifest=manifest,
        written=len(to_do),
        frames_written=sum(len(task.frames) for task in to_do),
        changed=changed,
        left_out=tuple(line for shard in done.values() for line in shard.left_out),
        seconds=time.monotonic() - start_s,
    )


def _stage(
    prepared: Prepared,
    tasks: Sequence[ShardTask],
    done: Mapping[str, FinishedShard],
    workers: Workers | None,
    lease: Lease,
) -> None:
    """Stages the videos of which the shards that `done` lacks hold a frame; see `stage_clips`."""
    needed = {frame.staged for task in tasks if task.name not in done for frame in task.frames}
    staging = prepared.request.staging
    try:
        with full_disk_explained(LocalStore(staging), tasks, done, elsewhere="--staging DIR"):
            stage_clips(
                [video for video in prepared.videos.values() if video.task.name in needed],
                dropping=tasks[0].keep_going,
                workers=workers,
                check_stop=lease,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            f"the videos that are decoded are kept in {staging}; the same command goes on from there"
        ) from None
    except BrokenExecutor:
        raise RunError(
            "a worker process died while videos were decoded; those that are done are kept",
            remedy="most often memory ran out: run the same command with fewer --workers",
        ) from None


def _write(
    prepared: Prepared,
    folder: BuildFolder,
    tasks: Sequence[ShardTask],
    done: dict[str, FinishedShard],
    workers: Workers | None,
    lease: Lease,
) -> None:
    """Writes the shards that `done` lacks, and puts each there when it is noted."""
    to_do = [task for task in tasks if task.name not in done]
    try:
        with Progress("building", sum(len(task.frames) for task in to_do), "frames") as progress:
            faults = folder.record(_run(to_do, workers, lease, progress), done, len(tasks))
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
    tasks: Sequence[ShardTask], workers: Workers | None, lease: Lease, progress: Progress
) -> Iterator[tuple[ShardTask, ShardResult]]:
    """The tasks with their results, in the order in which they end."""
    if workers is None:
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
                running[workers.submit(write_shard, task, lease)] = task
            if not running:
                return
            for future in workers.wait_for_some(running):
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
