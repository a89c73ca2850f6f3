"""Who makes the batches: the caller itself, threads, or processes. All take tasks and give replies in order.

Threads or processes? By `benchmarks/stream.py` (its results are under `benchmarks/results/stream`; 2 idle cores, T =
3, 2 workers) processes that write into a ring of shared memory serve 5 % more windows/s than threads at 512x288 and 2 %
fewer at 640x352; torch's own workers, which send every batch through fresh shared memory, half as many.
Threads are the default for few workers all the same: that share is one of the loader alone, no model training beside
it, and against it threads take a third less memory (536 to 810 MB after 1,000 windows of 512x288), need no fork
beside CUDA, and write straight into pinned memory, into which batches of processes are copied once more. What takes
time in them (JPEG decoding, resampling, copies) runs outside Python's lock, but 0.035 ms a window does not, so that
`auto` takes processes beyond `THREADS_AT_MOST` workers, to leave the trainer its turn (reasoned, not measured: there
were 2 cores). All modes, and torch's own workers, give equal batches, bit for bit.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from tracknet.datasets.maker import BatchMaker, Made, Task
from tracknet.datasets.stream import WindowStream
from tracknet.utils.errors import UserError

THREADS_AT_MOST = 4
# Opens what one worker needs; takes the worker's number.
MakerFactory = Callable[[int], BatchMaker]
# What is left of a task that was given up ends in milliseconds, unless a disk hangs; that is not waited for.
_CLOSE_S = 2.0


class TaskLeft(Exception):
    """The epoch of a task was left while a shard for it was waited for."""


class Crew(Protocol):
    """Workers. Each has its own tasks, and its own decoded frames."""

    def submit(self, worker: int, task: Task) -> None:
        """Gives a worker another task; returns at once."""
        ...

    def receive(self, worker: int, timeout_s: float) -> Made | None:
        """What came of the oldest task of a worker not yet received; `None` if it was skipped.

        Raises:
            TimeoutError: it is not done yet; ask again.
            RunError: a frame cannot be had; or the worker died.
        """
        ...

    def close(self) -> None:
        """Ends the workers; what they have not begun is not done."""
        ...


def work_on(
    maker: BatchMaker,
    task: Task,
    order: npt.NDArray[np.int64],
    check_wait: Callable[[], None] = lambda: None,
) -> Made | None:
    """Does a task, unless its epoch was left or is left while a shard is waited for.

    Args:
        maker: of the worker.
        task: see there.
        order: int64 `[1]`, that of the present epoch; may change at any time.
        check_wait: called too while a shard is waited for, and only then; may raise.
    """
    if task.order != order[0]:
        return None

    def check_stop() -> None:
        if task.order != order[0]:
            raise TaskLeft
        check_wait()

    try:
        return maker.make(task, check_stop)
    except TaskLeft:
        return None


class Alone:
    """No workers: a batch is made when it is asked for."""

    def __init__(
        self, new_maker: MakerFactory, order: npt.NDArray[np.int64], check_wait: Callable[[], None]
    ) -> None:
        self._maker = new_maker(0)
        self._order = order
        self._check_wait = check_wait
        self._tasks: deque[Task] = deque()

    def submit(self, worker: int, task: Task) -> None:
        """Notes the task."""
        del worker
        self._tasks.append(task)

    def receive(self, worker: int, timeout_s: float) -> Made | None:
        """Does the task."""
        del worker, timeout_s
        return work_on(self._maker, self._tasks.popleft(), self._order, self._check_wait)

    def close(self) -> None:
        """Forgets the tasks."""
        self._tasks.clear()


class ThreadCrew:
    """A thread for each worker. What takes time in them, OpenCV and large copies, leaves Python to the others."""

    def __init__(self, workers: int, new_maker: MakerFactory, order: npt.NDArray[np.int64]) -> None:
        self._makers = [new_maker(number) for number in range(workers)]
        self._order = order
        # A worker's tasks are done one after the other, by the thread that has its frames.
        self._threads = [_Thread(f"loader-{number}") for number in range(workers)]
        self._replies: list[deque[Future[Made | None]]] = [deque() for _ in range(workers)]

    def submit(self, worker: int, task: Task) -> None:
        """Queues the task for the worker's thread."""
        maker = self._makers[worker]
        self._replies[worker].append(self._threads[worker].submit(maker, task, self._order))

    def receive(self, worker: int, timeout_s: float) -> Made | None:
        """Waits for the oldest task."""
        made = self._replies[worker][0]
        try:
            return made.result(timeout_s)
        finally:
            if made.done():
                self._replies[worker].popleft()

    def close(self) -> None:
        """Waits for the batches in hand, but not for a disk that hangs; the others are not begun."""
        self._order[0] += 1
        for thread in self._threads:
            thread.end()
        deadline_s = time.monotonic() + _CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        for replies in self._replies:
            replies.clear()


_Job = tuple[Future[Made | None], BatchMaker, Task, npt.NDArray[np.int64]]


class _Thread:
    """Does tasks one after the other. A daemon, unlike an executor's: Python's exit waits for no hanging disk."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=_do, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()
        self.join = self._thread.join

    def submit(self, maker: BatchMaker, task: Task, order: npt.NDArray[np.int64]) -> Future[Made | None]:
        future: Future[Made | None] = Future()
        self._jobs.put((future, maker, task, order))
        return future

    def end(self) -> None:
        self._jobs.put(None)


def _do(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, maker, task, order = job
        try:
            future.set_result(work_on(maker, task, order))
        except BaseException as error:
            future.set_exception(error)
        # While it waits for the next, it holds neither batch nor maker.
        del job, future, maker, task, order


def mode_of(wanted: str, workers: int) -> Literal["alone", "threads", "processes"]:
    """What so many workers are, as `data.loader.mode` and the system allow.

    Raises:
        UserError: processes are wanted where they cannot be had.
    """
    if not workers:
        return "alone"
    # Elsewhere forked processes are not safe, or cannot be had.
    linux = sys.platform == "linux"
    if wanted == "processes" and not linux:
        raise UserError(
            "data.loader.mode=processes needs Linux",
            remedy="set data.loader.mode=threads",
        )
    many = workers > THREADS_AT_MOST and linux
    return "processes" if wanted == "processes" or (wanted == "auto" and many) else "threads"


def useful_workers(stream: WindowStream, wanted: int) -> int:
    """At most as many as wanted and as there are batches, such that each serves whole lanes of the plan.

    Five workers for 24 lanes would each meet every fifth window of a lane and find none of its frames decoded:
    2.99 decodes per window instead of four workers' 1.08 (T = 3).
    """
    most = min(wanted, stream.num_steps)
    if not 0 < stream.lanes < stream.num_steps:
        return most
    return max((count for count in range(1, most + 1) if stream.lanes % count == 0), default=0)
