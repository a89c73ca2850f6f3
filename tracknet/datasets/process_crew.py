"""Workers that are processes: they write batches into memory that they share with the trainer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.datasets.crew import MakerFactory, work_on
from tracknet.datasets.maker import Made, Task
from tracknet.datasets.slots import SharedRing
from tracknet.utils.errors import RunError

# A worker looks this often whether its parent still lives.
_LOOK_FOR_PARENT_S = 1.0
# A worker whose pipe is closed leaves after its frame; one that hangs in a read, on a network disk that is gone, is
# killed. All that it holds, its cache locks among it, ends with it.
_LEAVE_S = 0.5
_EXIT_S = 5.0
# What goes over a pipe for a task: its order, epoch, step, and the slot's number.
_Message = tuple[int, int, int, int]
_Answer = Made | None | BaseException


class ProcessCrew:
    """A forked process for each worker. They die with their parent, however it ends."""

    def __init__(
        self, workers: int, new_maker: MakerFactory, order: npt.NDArray[np.int64], ring: SharedRing
    ) -> None:
        """Starts the processes.

        Args:
            workers: how many.
            new_maker: called in each process with the worker's number.
            order: int64 `[1]` in shared memory.
            ring: where they write.
        """
        # Forked, because the ring has no name by which another process could find it.
        context = multiprocessing.get_context("fork")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(workers):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            process = context.Process(
                target=_serve,
                args=(theirs, tuple(self._pipes), number, new_maker, order, ring, os.getpid()),
                name=f"loader-{number}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._processes.append(process)

    def submit(self, worker: int, task: Task) -> None:
        """Sends the task to the worker's process."""
        message: _Message = (task.order, task.epoch, task.step, task.slot.number)
        try:
            self._pipes[worker].send(message)
        except OSError:
            raise self._died(worker) from None

    def receive(self, worker: int, timeout_s: float) -> Made | None:
        """Waits for the oldest task, or for the worker's death."""
        pipe, process = self._pipes[worker], self._processes[worker]
        ready = wait([pipe, process.sentinel], timeout_s)
        if not ready:
            raise TimeoutError
        try:
            # What a worker sent before it died is still to be had.
            if not pipe.poll():
                raise EOFError
            answer: _Answer = pipe.recv()
        except (EOFError, OSError):
            raise self._died(worker) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.close()
        deadline_s = time.monotonic() + _LEAVE_S
        for process in self._processes:
            process.join(max(0.0, deadline_s - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(_EXIT_S)
            if not process.is_alive():
                process.close()
        self._processes, self._pipes = [], []

    def _died(self, worker: int) -> RunError:
        process = self._processes[worker]
        process.join(_EXIT_S)
        code = process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return RunError(
            f"a worker of the data loader died: number {worker} (pid {process.pid}) {how}",
            remedy="it may have run out of memory: lower data.loader.workers, data.loader.memory_gb or "
            "training.batch_size; then go on with --resume",
        )


def _serve(
    pipe: Connection,
    of_parent: Sequence[Connection],
    number: int,
    new_maker: MakerFactory,
    order: npt.NDArray[np.int64],
    ring: SharedRing,
    parent: int,
) -> None:
    """A worker's life."""
    # Ctrl-C, and a scheduler's SIGTERM, reach the whole process group; only the trainer may decide what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()
    # While another process held the parent's ends, they would not close with the parent.
    for other in of_parent:
        other.close()
    # One decoding thread a worker: more would fight over the cores that the other workers use.
    cv2.setNumThreads(0)
    maker = new_maker(number)
    while True:
        try:
            order_of_task, epoch, step, slot = pipe.recv()
            answer: _Answer
            try:
                answer = work_on(maker, Task(order_of_task, epoch, step, ring.slots[slot]), order)
            except Exception as error:
                answer = _portable(error)
            pipe.send(answer)
        except (EOFError, OSError):
            return


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone, whatever it is doing."""
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT_S)
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error with where it was raised, as it can be sent to another process."""
    if not isinstance(error, RunError):
        error.add_note("in a worker of the data loader:\n" + traceback.format_exc())
    try:
        multiprocessing.reduction.ForkingPickler.dumps(error)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error
