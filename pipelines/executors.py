"""Where the shards are written: in this process, in processes of this machine, or on a running cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal

from pipelines.pool import worker_pool
from pipelines.request import BuildRequest
from pipelines.shard_writer import ShardTask
from pipelines.workers import Workers
from tracknet.utils.cpus import usable_cpus
from tracknet.utils.errors import UserError

ExecutorKind = Literal["auto", "serial", "processes", "dask"]


def check_executor(kind: ExecutorKind, workers: int | None, scheduler: str | None) -> None:
    """Refuses arguments that do not fit together."""
    if workers is not None and workers < 0:
        raise UserError(f"--workers {workers}: must be 0 or more")
    if kind == "dask" and scheduler is None:
        raise UserError(
            "--executor dask needs the address of a running scheduler",
            remedy="--scheduler tcp://HOST:8786, or the scheduler file of `dask scheduler --scheduler-file FILE`",
        )
    if kind != "dask" and scheduler is not None:
        raise UserError(
            f"--scheduler {scheduler} is for a cluster, and --executor is {kind}",
            remedy="add --executor dask",
        )
    if kind == "dask" and workers is not None:
        raise UserError(
            f"--workers {workers}: a cluster has as many workers as joined its scheduler",
            remedy="leave --workers out",
        )
    if kind == "serial" and workers not in (None, 0, 1):
        raise UserError(
            f"--workers {workers} with --executor serial",
            remedy=f"leave one of them out: --workers {workers} alone takes processes",
        )


def check_staging(kind: ExecutorKind, request: BuildRequest) -> None:
    """Refuses to stage videos where the workers of a cluster would not find them."""
    if kind == "dask" and isinstance(request.out, str) and request.staging_parent is None:
        raise UserError(
            f"--out {request.out} with --executor dask: videos are decoded into a folder first, and there is none "
            "that all workers see",
            remedy="--staging DIR, a folder that this machine and all workers see under one name; it grows by "
            "the size of the shards for the time of the build",
        )


@contextlib.contextmanager
def open_executor(
    kind: ExecutorKind,
    *,
    workers: int | None,
    scheduler: str | None,
    shards: int,
    example: Callable[[], ShardTask],
) -> Iterator[Workers | None]:
    """What runs the tasks; `None` runs them in this process.

    Args:
        kind: `auto` takes processes where more than one can be used.
        workers: processes on this machine; `None` is one per CPU.
        scheduler: of a cluster: an address or a scheduler file.
        shards: how many tasks there are at most; more processes would idle.
        example: gives a task whose files every machine of a cluster must see.

    """
    check_executor(kind, workers, scheduler)
    if scheduler is not None:
        from pipelines.cluster import cluster_workers

        with cluster_workers(scheduler, example()) as there:
            yield there
        return
    count = min(usable_cpus() if workers is None else workers, shards)
    if kind == "serial" or count == 0 or (kind == "auto" and count == 1):
        yield None
        return
    with worker_pool(count) as here:
        yield here
