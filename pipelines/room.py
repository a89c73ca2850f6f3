"""What a build says when the disk is full."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence

from pipelines.build_folder import FinishedShard, Task
from pipelines.store import NO_ROOM, Store
from pipelines.wording import megabytes
from tracknet.utils.errors import RunError
from tracknet.utils.naming import counted

_WHY = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may grow no larger",
}


@contextlib.contextmanager
def full_disk_explained(
    store: Store,
    tasks: Sequence[Task],
    done: Mapping[str, FinishedShard],
    *,
    elsewhere: str = "--out, or TMPDIR where --out is a URL",
) -> Iterator[None]:
    """Says how much is missing, as far as the finished shards tell, and what to do.

    Args:
        store: what is written to: that of the build, or the folder where its videos are staged.
        tasks: all shards of the build.
        done: those that are written and kept, by name; looked at when the disk turns out full.
        elsewhere: what takes the files to another disk, for the remedy.

    Raises:
        RunError: a file could not grow.

    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise _no_room(error, store, tasks, done, elsewhere) from None


def _no_room(
    error: OSError,
    store: Store,
    tasks: Sequence[Task],
    done: Mapping[str, FinishedShard],
    elsewhere: str,
) -> RunError:
    free = store.free_bytes()
    stored = sum(shard.entry.frames for shard in done.values())
    left = sum(len(task.frames) for task in tasks if task.name not in done)
    needed = round(sum(shard.entry.bytes for shard in done.values()) / stored * left) if stored else None
    room = "" if free is None else f": {megabytes(free)} free"
    if needed is None:
        need = f"; the first shard has {counted(len(tasks[0].frames), 'frame')}"
    else:
        need = f"; the {counted(left, 'frame')} left need about {megabytes(needed)}"
    if error.errno == errno.EFBIG:
        more = "raise the limit for the size of a file (`ulimit -f`), or ask for more shards (--num-shards N)"
    elif needed is None:
        more = "make room"
    else:
        more = f"make room for about {megabytes(max(needed - (free or 0), 0))} more"
    return RunError(
        f"{error.filename or store}: {_WHY[error.errno or 0]}{room}{need}; "
        f"{len(done)} of {len(tasks)} shards are finished and kept",
        remedy=f"{more}, or choose another disk ({elsewhere}); the same command goes on from there",
    )
