"""The project's own commands, run as a person would run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tracknet.utils.errors import RunError


def call(module: str, arguments: Sequence[str], log: Path | None) -> None:
    """Runs one of the project's commands; a log is added to, and its end shown where the command fails.

    Raises:
        RunError: it failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    print("+ " + " ".join(command[1:]), flush=True)
    if log is None:
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    else:
        with log.open("a", encoding="utf-8") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        if log is not None:
            print("\n".join(log.read_text(encoding="utf-8").splitlines()[-12:]), file=sys.stderr)
        where = "its last words are above" + ("" if log is None else f", all of them in {log}")
        raise RunError(f"{module} ended with code {done.returncode}; {where}")
