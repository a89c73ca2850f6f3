"""The project's own commands, run as a person would run them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Self

from tracknet.utils.errors import Interrupted, RunError
from tracknet.utils.signals import StopSignals

# `timeout` and batch systems signal a process and its group, which is one request.
_ECHO_S = 1.0


def call(module: str, arguments: Sequence[str], log: Path | None) -> None:
    """Runs one of the project's commands; a log is added to, and its end shown where the command fails.

    Ctrl-C and SIGTERM are handed on to the command, which is waited for: a training writes a checkpoint first. A
    second one stops it at once, as when a person runs it. A closed terminal is as SIGTERM.

    Raises:
        RunError: it failed.
        Interrupted: it was stopped.
    """
    command = [sys.executable, "-m", module, *arguments]
    print("+ " + " ".join(command[1:]), flush=True)
    if log is None:
        code = _run(command, module, subprocess.DEVNULL, None)
    else:
        with log.open("a", encoding="utf-8") as file:
            code = _run(command, module, file, subprocess.STDOUT)
    if code:
        if log is not None:
            print("\n".join(log.read_text(encoding="utf-8").splitlines()[-12:]), file=sys.stderr)
        where = "its last words are above" + ("" if log is None else f", all of them in {log}")
        raise RunError(f"{module} ended with code {code}; {where}")


def _run(command: Sequence[str], module: str, stdout: int | IO[str], stderr: int | None) -> int:
    """The command's exit code."""
    with _HandedOn(module) as signals:
        # In a group of its own: a signal that reached it twice would cost a training its checkpoint.
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, process_group=0)
        signals.hand_to(process.send_signal)
        code = process.wait()
    if signals.came is not None:
        raise Interrupted(f"{signals.came.name} while {module} ran; the same command goes on from there")
    return code


class _HandedOn(StopSignals):
    """A context within which what would end this process is handed on to another one.

    Args:
        name: of the other one, for the person watching.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.came: signal.Signals | None = None
        self._name = name
        self._hand_on: Callable[[int], None] | None = None
        self._was_handed_on = False
        self._noted_s = 0.0

    def __enter__(self) -> Self:
        super().__enter__()
        # By default, for `nohup` ignores it; no training answers it with a checkpoint.
        if self._before and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self.note)
        return self

    def hand_to(self, hand_on: Callable[[int], None]) -> None:
        """Takes what sends a signal to the other process, one that came before it was there among them."""
        self._hand_on = hand_on
        # One that comes just here has been handed on by `note`.
        if self.came is not None and not self._was_handed_on:
            self._pass(self.came)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Hands a signal on."""
        del frame
        is_first = self.came is None
        if not is_first and time.monotonic() - self._noted_s < _ECHO_S:
            return
        self._noted_s = time.monotonic()
        self.came = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
        self._pass(self.came)
        if is_first:
            # A terminal that was closed takes no more words.
            with contextlib.suppress(OSError):
                print(
                    f"waiting for {self._name} to stop (Ctrl-C again: at once)", file=sys.stderr, flush=True
                )

    def _pass(self, number: int) -> None:
        if self._hand_on is not None:
            self._was_handed_on = True
            self._hand_on(number)
