"""A small build by the command, and what tests of worker processes may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.build_shards import main

MakeDataset = Callable[..., Path]
SMALL = ("data.resize=[64,36]", "data.segment_frames=6", "--num-shards", "3", "--workers", "0")


def run(root: Path, out: Path, *options: str) -> int:
    return main(["--root", str(root), "--out", str(out), *(options or SMALL)])


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


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
