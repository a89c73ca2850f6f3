"""Who makes the batches: the caller itself, threads, or processes. All take tasks and give replies in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tracknet.datasets.maker import BatchMaker, Made
from tracknet.datasets.slots import Slot

# Opens what one worker needs; takes the worker's number.
MakerFactory = Callable[[int], BatchMaker]


class Task(NamedTuple):
    """One step to be made.

    Attributes:
        order: of the epoch's start; tasks of an epoch that was left are skipped.
        epoch: of the stream.
        step: of the epoch.
        slot: to be written.
    """

    order: int
    epoch: int
    step: int
    slot: Slot


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


def work_on(maker: BatchMaker, task: Task, order: npt.NDArray[np.int64]) -> Made | None:
    """Does a task, unless its epoch was left; `order` int64 `[1]` is that of the present one."""
    if task.order != order[0]:
        return None
    return maker.make(task.epoch, task.step, task.slot.array)


class Alone:
    """No workers: a batch is made when it is asked for."""

    def __init__(self, new_maker: MakerFactory, order: npt.NDArray[np.int64]) -> None:
        self._maker = new_maker(0)
        self._order = order
        self._tasks: deque[Task] = deque()

    def submit(self, worker: int, task: Task) -> None:
        """Notes the task."""
        del worker
        self._tasks.append(task)

    def receive(self, worker: int, timeout_s: float) -> Made | None:
        """Does the task."""
        del worker, timeout_s
        return work_on(self._maker, self._tasks.popleft(), self._order)

    def close(self) -> None:
        """Forgets the tasks."""
        self._tasks.clear()


class ThreadCrew:
    """A thread for each worker. What takes time in them, OpenCV and large copies, leaves Python to the others."""

    def __init__(self, workers: int, new_maker: MakerFactory, order: npt.NDArray[np.int64]) -> None:
        self._makers = [new_maker(number) for number in range(workers)]
        self._order = order
        # One pool each: a worker's tasks are done one after the other, by the thread that has its frames.
        self._pools = [ThreadPoolExecutor(1, f"loader-{number}") for number in range(workers)]
        self._replies: list[deque[Future[Made | None]]] = [deque() for _ in range(workers)]

    def submit(self, worker: int, task: Task) -> None:
        """Queues the task for the worker's thread."""
        future = self._pools[worker].submit(work_on, self._makers[worker], task, self._order)
        self._replies[worker].append(future)

    def receive(self, worker: int, timeout_s: float) -> Made | None:
        """Waits for the oldest task."""
        made = self._replies[worker][0]
        try:
            return made.result(timeout_s)
        finally:
            if made.done():
                self._replies[worker].popleft()

    def close(self) -> None:
        """Waits for the batches in hand; the others are not begun."""
        self._order[0] += 1
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)
        for replies in self._replies:
            replies.clear()
