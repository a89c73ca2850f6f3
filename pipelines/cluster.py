"""Shards on a running dask.distributed cluster (the extra `cluster`).

Every machine must see the sources and the output under the same names and run the same versions, because the
same task must give the same bytes everywhere: `cluster_workers` asks them all before any work is given out.
"""

from __future__ import annotations

import contextlib
import logging
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from pipelines.shard_writer import WRITER_VERSION, ShardTask
from pipelines.workers import HeldInterrupts, Workers
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.extras import install_command
from tracknet.utils.video import is_video

CONNECT_S = 10
RETRIES = 2
"""For what may succeed on another worker. A worker that dies needs none: its tasks go elsewhere by themselves."""
MTIME_TOLERANCE_S = 2.0
AS_PLANNED = "as planned"

_PACKAGES = ("tracknet", "distributed", "opencv-python", "numpy", "google-crc32c")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SourceProbe:
    """One source file as the plan found it, to ask other machines whether they see the same."""

    root: Path
    source: str
    bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, task: ShardTask) -> SourceProbe:
        """The first source of a shard."""
        frame = task.frames[0]
        return cls(task.root, frame.source, frame.bytes, frame.mtime_ns)

    def look(self) -> str:
        """`AS_PLANNED`, or what is different on this machine."""
        try:
            status = (self.root / self.source).stat()
        except OSError as error:
            return f"without {self.source} ({error.strerror})"
        if status.st_size != self.bytes:
            return f"with a {self.source} of {status.st_size} bytes, not {self.bytes}"
        if abs(status.st_mtime_ns - self.mtime_ns) > MTIME_TOLERANCE_S * 1e9:
            return f"with a {self.source} of another date"
        return AS_PLANNED


@contextlib.contextmanager
def cluster_workers(scheduler: str, task: ShardTask) -> Iterator[Workers]:
    """The workers of a scheduler.

    Args:
        scheduler: `tcp://host:8786`, or a scheduler file.
        task: one of those to come; every worker is asked whether it sees its first source as this machine does.

    Raises:
        UserError: distributed is not installed, or nobody answers at that address.
        RunError: workers lack the package, run other versions or see other files (all are named); or, in the
            course of the work, the scheduler is lost or a task takes down every worker that tries it.

    """
    probe = SourceProbe.of(task)
    client = _connect(scheduler)
    # For good: the loop's thread may outlive the client.
    logging.getLogger("tornado.application").addFilter(is_no_end)
    try:
        _check_workers(client, scheduler, probe)
        from distributed.scheduler import KilledWorker

        executor = _ClusterExecutor(client.get_executor(retries=RETRIES, pure=False), probe)
        try:
            with HeldInterrupts() as interrupts:
                yield Workers(executor, interrupts)
        except KilledWorker as error:
            raise RunError(
                f"{error.last_worker.address}: the workers that tried this shard or video died, one after "
                "another; what is finished is kept",
                remedy="most often memory ran out: give each worker more (`dask worker --memory-limit`), or take "
                "more and smaller shards (--num-shards)",
            ) from error
        except CancelledError:
            raise RunError(
                f"--scheduler {scheduler}: the connection was lost; finished shards are kept",
                remedy="start it again and run the same command",
            ) from None
    finally:
        client.close()


def is_no_end(record: logging.LogRecord) -> bool:
    """Whether a line of the loop's log is about anything but an end that is told here, in words.

    A task cancelled while its result is on the way, and a connection that closes while it is read: dask's client leaves
    both to that log, with their tracebacks.
    """
    from distributed.comm import CommClosedError

    return not (record.exc_info and isinstance(record.exc_info[1], (CancelledError, CommClosedError)))


class _ClusterExecutor(Executor):
    """Adds to every task what only its worker can say: where it failed."""

    def __init__(self, executor: Executor, probe: SourceProbe) -> None:
        self._executor, self._probe = executor, probe

    def submit(self, fn: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> Any:
        """See `concurrent.futures.Executor`."""
        return self._executor.submit(_on_worker, self._probe, fn, *args, **kwargs)


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            "--executor dask needs the package distributed", remedy=install_command("cluster")
        ) from None
    where: dict[str, Any] = {"address": scheduler}
    if "://" not in scheduler and (scheduler.endswith(".json") or Path(scheduler).is_file()):
        if not Path(scheduler).is_file():
            raise UserError(
                f"--scheduler {scheduler}: there is no such file",
                remedy="start one with `dask scheduler --scheduler-file FILE` in a folder that this machine sees",
            )
        where = {"scheduler_file": scheduler}
    try:
        return Client(**where, timeout=CONNECT_S, set_as_default=False, name="tracknet-build")
    except Exception as error:  # of its many kinds none says more than its text
        raise UserError(
            f"--scheduler {scheduler}: no scheduler answers there within {CONNECT_S} s "
            f"({type(error).__name__}: {error})",
            remedy="start one with `dask scheduler` and give the address that it prints, such as tcp://HOST:8786; "
            "it must run the same version of distributed",
        ) from None


def _check_workers(client: Any, scheduler: str, probe: SourceProbe) -> None:
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise RunError(
            f"--scheduler {scheduler}: no worker has joined it",
            remedy=f"start some: `dask worker {scheduler} --nthreads 1 --nworkers N`",
        )
    ours = _about_here(probe)
    faults = []
    for worker, answer in client.run(_about_here, probe, on_error="return").items():
        if isinstance(answer, Exception):  # raised while the question itself was unpickled there
            faults.append(f"worker {worker}: cannot run the builder ({answer})")
        else:
            name = f"worker {worker} on {answer.pop('host')}"
            faults += [
                f"{name}: {key} is {answer.get(key)}, here {value}"
                for key, value in ours.items()
                if key != "host" and answer.get(key) != value
            ]
    if faults:
        raise RunError(
            f"--scheduler {scheduler}: not all of its workers are as this machine",
            problems=faults,
            remedy="install the versions that are here on every machine, and mount --root under the same path there",
        )


def _about_here(probe: SourceProbe) -> dict[str, Any]:
    """What must be equal on all machines of a build, and the name of this one."""
    found = {"host": platform.node(), "Python": platform.python_version(), "shard writer": WRITER_VERSION}
    for package in (*_PACKAGES, "av") if is_video(Path(probe.source)) else _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, str(probe.root): probe.look()}


def _on_worker(probe: SourceProbe, fn: Callable[..., _Result], *args: Any) -> _Result:
    """Runs a task where a plain error would not say on which machine it arose."""
    import cv2

    cv2.setNumThreads(0)
    host = platform.node()
    if (seen := probe.look()) != AS_PLANNED:  # a worker may have joined after the check of all
        raise RunError(
            f"worker on {host}: {probe.root} is {seen}",
            remedy="mount the same --root there, or stop that worker; finished shards are kept",
        )
    try:
        return fn(*args)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{error.filename or ''}") from None
