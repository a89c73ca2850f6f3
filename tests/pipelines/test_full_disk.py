"""A disk that fills up while shards are written: said with its numbers, nothing half-written, nothing lost."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.conftest import SMALL, contents, run, start
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED


class Disk:
    """Refuses to sync files whose bytes in sum are beyond its room, as a network disk does."""

    def __init__(self, room: int, number: int) -> None:
        self.room, self.number, self._fsync = room, number, os.fsync

    def fsync(self, handle: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{handle}"):  # noqa: PTH113
            self.room -= os.fstat(handle).st_size
            if self.room < 0:
                raise OSError(self.number, os.strerror(self.number))
        self._fsync(handle)


@pytest.mark.parametrize(
    ("number", "why"), [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "the disk quota is used up")]
)
@pytest.mark.parametrize("whole", ["first shard", "some shards", "all shards", "all but the manifest"])
def test_wherever_the_disk_fills_up(
    root: Path,
    out: Path,
    tmp_path: Path,
    whole: str,
    number: int,
    why: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(root, tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    notes = list((tmp_path / "undisturbed" / ".build").glob("*.json"))
    config = (tmp_path / "undisturbed" / ".build" / "config.json").stat().st_size
    shards = sum(p.stat().st_size for p in notes) + sum(
        len(d) for n, d in expected.items() if n[-4:] == ".tar"
    )
    room = {
        "first shard": config + 100,
        "some shards": shards // 2,
        "all shards": shards + 100,
        "all but the manifest": shards + len(expected["index.parquet"]) + 100,
    }[whole]
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", Disk(room, number).fsync)
        assert run(root, out) == EXIT_FAILED
    message = capsys.readouterr().err
    assert f": {why}: " in message
    assert "MB free" in message
    (kept,) = [int(found) for found in re.findall(r"(\d) of 5 shards are finished and kept", message)]
    assert kept == len(list(out.glob(".build/*-*.json")))
    if whole == "first shard":
        assert kept == 0
        assert "; the first shard has" in message
    elif whole == "some shards":
        assert 0 < kept < 5
        assert re.search(r"the \d+ frames left need about 0\.\d MB", message)
        assert re.search(r"make room for about \d+\.\d MB more, or choose another disk", message)
    else:
        assert kept == 5
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name]
    for name, data in contents(out).items():
        assert data == expected[name]
    assert not (out / "manifest.json").exists()
    assert run(root, out) == EXIT_DONE
    printed = capsys.readouterr().out
    if kept < 5:
        assert f"{5 - kept} shard{'s' * (kept != 4)} written" in printed
    assert contents(out) == expected


def test_a_limit_on_the_size_of_files(root: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The system's own refusal, in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        assert run(root, out) == EXIT_FAILED
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = capsys.readouterr().err
    assert "a file may grow no larger" in message
    assert "`ulimit -f`" in message
    assert contents(out) == {}
    assert run(root, out) == EXIT_DONE


def test_full_for_the_workers_and_for_a_remote_store(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit: Callable[[], Any] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    for out in (tmp_path / "here", f"file://{tmp_path}/far"):
        process = start(root, out, *SMALL[:-1], "2", preexec_fn=limit)
        _, message = process.communicate(timeout=60)
        assert process.returncode == EXIT_FAILED
        assert "a file may grow no larger" in message
        assert "Traceback" not in message
        folder = tmp_path / str(out).rpartition("/")[2]
        assert contents(folder) == {}
        assert run(root, out) == EXIT_DONE
