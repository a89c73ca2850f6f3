"""What Ctrl-C and SIGTERM do while something runs."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class StopSignals:
    """A context within which Ctrl-C and SIGTERM call `note`; outside of the main thread it does nothing.

    No other thread hears signals or may say what they do. A signal that is ignored stays ignored: a shell's background
    jobs do not hear Ctrl-C.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # None is a handler that was not set by Python, and that Python could not put back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self.note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal came, between any two instructions of the main thread."""
        raise NotImplementedError


class Interrupts(StopSignals):
    """Raises KeyboardInterrupt at once: SIGTERM stops what Ctrl-C stops.

    Attributes:
        came: whether one of them did, even where the exception was swallowed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.came = False

    def note(self, number: int, frame: FrameType | None) -> None:
        """Raises."""
        del number, frame
        self.came = True
        raise KeyboardInterrupt
