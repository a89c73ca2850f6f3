"""Ctrl-C and SIGTERM as a request: the loop finishes its step, saves, and then stops."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

from tracknet.utils.signals import StopSignals


class StopRequest(StopSignals):
    """A context within which the first signal is noted in `signal` and a second stops at once.

    Args:
        say: takes a line for the person watching.
        echo_s: a second signal so soon after the first is the same request once more: a batch system signals
            torchrun and its processes, and torchrun passes it on to them.

    """

    def __init__(self, say: Callable[[str], None], *, echo_s: float = 0.0) -> None:
        super().__init__()
        self.signal: signal.Signals | None = None
        self._echo_s = echo_s
        self._noted_s = 0.0
        self._say = say

    @property
    def asked_for_s(self) -> float:
        """How long ago the first signal came; 0 where none did."""
        return time.monotonic() - self._noted_s if self.signal is not None else 0.0

    def note(self, number: int, frame: FrameType | None) -> None:
        """Keeps the first and raises KeyboardInterrupt for the second."""
        del frame
        if self.signal is not None:
            if time.monotonic() - self._noted_s < self._echo_s:
                return
            raise KeyboardInterrupt
        self._noted_s = time.monotonic()
        self.signal = signal.Signals(number)
        self._say("stopping after this step, with a checkpoint (Ctrl-C again: at once, without)")
