"""An executor whose user is interrupted between two results, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from types import FrameType
from typing import ParamSpec, TypeVar

from tracknet.utils.signals import StopSignals

# How long Ctrl-C may go unanswered while no result comes.
_LOOK_S = 0.1

_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


class HeldInterrupts(StopSignals):
    """A context in which Ctrl-C and SIGTERM wait for `check`; a second one is answered at once.

    Python raises KeyboardInterrupt between any two instructions of the main thread: also after it has taken a lock
    of a future or of the pool, and before it would let go of it. Whoever waits for that lock then waits for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._noted = False

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal came."""
        if self._noted:
            raise KeyboardInterrupt

    def note(self, number: int, frame: FrameType | None) -> None:
        """Keeps the first for `check`."""
        del number, frame
        if self._noted:
            raise KeyboardInterrupt
        self._noted = True


class Workers:
    """Runs tasks elsewhere.

    Args:
        executor: where.
        interrupts: held as long as the executor works.
    """

    def __init__(self, executor: Executor, interrupts: HeldInterrupts) -> None:
        self._executor = executor
        self._interrupts = interrupts

    def submit(
        self, task: Callable[_Arguments, _Result], /, *args: _Arguments.args, **options: _Arguments.kwargs
    ) -> Future[_Result]:
        """See `concurrent.futures.Executor`."""
        return self._executor.submit(task, *args, **options)

    def wait_for_some(self, futures: Collection[Future[_Result]]) -> set[Future[_Result]]:
        """Those that are done, as soon as there are any.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM came.
        """
        while True:
            self._interrupts.check()
            if done := wait(futures, timeout=_LOOK_S, return_when=FIRST_COMPLETED).done:
                return done

    def results(self, futures: Collection[Future[_Result]]) -> Iterator[Future[_Result]]:
        """All of them, in the order in which they end; those that are left when the user leaves are cancelled.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM came.
        """
        left = set(futures)
        try:
            while left:
                done = self.wait_for_some(left)
                left -= done
                yield from done
        finally:
            for future in left:
                future.cancel()
