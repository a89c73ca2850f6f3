"""The predict command in a process of its own, which can be sent signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(model: Path, url: str, out: Path, *more: str) -> list[str]:
    """Its arguments."""
    return [
        sys.executable,
        "-m",
        "tracknet.scripts.predict",
        str(model),
        url,
        "--out",
        str(out),
        "--device",
        "cpu",
        *more,
    ]


def interrupted_with_rows(model: Path, url: str, out: Path, *more: str) -> str:
    """What it says of a stream that Ctrl-C ends once some rows are there; it must end with 0."""
    process = subprocess.Popen(command(model, url, out, *more), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline_s = time.monotonic() + 120
    while not any(len(path.read_bytes()) > 500 for path in out.glob("*.partial.csv")):
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said
