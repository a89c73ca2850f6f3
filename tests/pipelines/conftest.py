"""A small build by the command, and what tests of worker processes may use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.build_shards import main

CHECKOUT = Path(__file__).resolve().parents[2]
MakeDataset = Callable[..., Path]
SMALL = ("data.resize=[64,36]", "data.segment_frames=6", "--num-shards", "3", "--workers", "0")


def run(root: Path, out: Path | str, *options: str) -> int:
    return main(["--root", str(root), "--out", str(out), *(options or SMALL)])


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def start(root: Path, out: Path | str, *options: str, **popen: Any) -> subprocess.Popen[str]:
    """The same as a command of its own, and first of a session of its own."""
    command = [
        sys.executable,
        "-m",
        "pipelines.build_shards",
        "--root",
        str(root),
        "--out",
        str(out),
        *options,
    ]
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **popen,
    )


@pytest.fixture
def root(make_dataset: MakeDataset) -> Path:
    return make_dataset(games=3, clips=2, frames=12)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "shards"


@pytest.fixture
def session_lives() -> Callable[[int], bool]:
    """Whether any process of a session (named by its first process) still runs."""
    return _session_lives


def _session_lives(session: int) -> bool:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False
