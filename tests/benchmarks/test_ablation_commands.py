"""A command of the ablation is stopped as if a person ran it: it is told once, and waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.ablation import commands

CHECKOUT = Path(__file__).resolve().parents[2]
# Stops as a training does: after the first signal it has something to write, after the second it ends at once.
SLOW = """
import os, signal, sys, time
from pathlib import Path
came = []
def note(number, frame):
    came.append(signal.Signals(number).name)
    if len(came) == 2:
        sys.exit(9)
for one in (signal.SIGINT, signal.SIGTERM):
    signal.signal(one, note)
Path("begun").write_text(str(os.getpid()))
while not came:
    time.sleep(0.01)
Path("noted").touch()
for _ in range(int(sys.argv[1])):
    time.sleep(0.1)
Path("checkpoint").write_text(" ".join(came))
"""
# Under `nohup`, as tests may run too, a process would ignore a closed terminal.
CALL = """
import signal, sys
from benchmarks.ablation import commands
from tracknet.utils.errors import cli_main
signal.signal(signal.SIGHUP, signal.SIG_DFL)
commands._ECHO_S = {echo_s}
sys.exit(cli_main(lambda _: commands.call("slow", ["{tenths}"], None)))
"""


class Ablation:
    """A process that calls a slow command."""

    def __init__(self, folder: Path, *, echo_s: float, tenths: int) -> None:
        (folder / "slow.py").write_text(SLOW)
        self._folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALL.format(echo_s=echo_s, tenths=tenths)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(CHECKOUT)])},
            text=True,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_for(self, name: str) -> str:
        """What stands in a file that the command writes."""
        deadline_s = time.monotonic() + 60
        while not (file := self._folder / name).exists() or (name == "begun" and not file.read_text()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return file.read_text()

    def end(self) -> None:
        """Leaves nothing running."""
        begun = self._folder / "begun"
        if begun.exists() and _lives(int(begun.read_text())):
            os.kill(int(begun.read_text()), signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def ablations() -> Iterator[list[Ablation]]:
    """To be ended with the test."""
    started: list[Ablation] = []
    yield started
    for one in started:
        one.end()


@pytest.mark.parametrize(
    ("sent", "to_group", "told"),
    [
        (signal.SIGINT, True, "SIGINT"),  # Ctrl-C on a terminal
        (signal.SIGINT, False, "SIGINT"),
        (signal.SIGTERM, False, "SIGTERM"),
        (signal.SIGTERM, True, "SIGTERM"),  # `timeout`
        (signal.SIGHUP, True, "SIGTERM"),  # a closed terminal
    ],
)
def test_a_command_that_is_stopped_writes_its_checkpoint_first(
    tmp_path: Path, ablations: list[Ablation], sent: signal.Signals, to_group: bool, told: str
) -> None:
    ablation = Ablation(tmp_path, echo_s=60, tenths=10)
    ablations.append(ablation)
    child = int(ablation.wait_for("begun"))
    if to_group:
        os.killpg(ablation.process.pid, sent)
    ablation.process.send_signal(sent)
    _, errors = ablation.process.communicate(timeout=30)
    # Once: a second would have ended it at once.
    assert (tmp_path / "checkpoint").read_text() == told
    assert not _lives(child)
    assert ablation.process.returncode == 130
    assert "waiting for slow to stop (Ctrl-C again: at once)\n" in errors
    assert f"stopped: {told} while slow ran; the same command goes on from there\n" in errors


def test_a_terminal_that_is_gone_costs_no_checkpoint(tmp_path: Path, ablations: list[Ablation]) -> None:
    ablation = Ablation(tmp_path, echo_s=60, tenths=10)
    ablations.append(ablation)
    child = int(ablation.wait_for("begun"))
    assert ablation.process.stderr is not None
    ablation.process.stderr.close()
    ablation.process.send_signal(signal.SIGHUP)
    ablation.process.wait(timeout=30)
    assert (tmp_path / "checkpoint").read_text() == "SIGTERM"
    assert not _lives(child)


def test_a_signal_between_the_start_and_the_hand_over_is_sent_once() -> None:
    sent: list[int] = []

    class Late(commands._HandedOn):
        """Hears a signal as soon as it knows the other process."""

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "_hand_on" and value is not None:
                self.note(signal.SIGINT, None)

    Late("slow").hand_to(sent.append)
    assert sent == [signal.SIGINT]
    # One from before there was a process is handed on once there is.
    early = commands._HandedOn("slow")
    early.note(signal.SIGTERM, None)
    early.hand_to(sent.append)
    assert sent == [signal.SIGINT, signal.SIGTERM]


def test_a_second_signal_stops_it_at_once(tmp_path: Path, ablations: list[Ablation]) -> None:
    ablation = Ablation(tmp_path, echo_s=0, tenths=600)
    ablations.append(ablation)
    child = int(ablation.wait_for("begun"))
    ablation.process.send_signal(signal.SIGINT)
    ablation.wait_for("noted")
    ablation.process.send_signal(signal.SIGINT)
    ablation.process.communicate(timeout=30)
    assert ablation.process.returncode == 130
    assert not _lives(child)
    assert not (tmp_path / "checkpoint").exists()
