"""A build that is killed, wherever it is: nothing that looks complete is not, and the next start goes on.

Builds run in processes forked from a server that has everything imported, so that a round takes milliseconds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pipelines import remote_lock
from pipelines.build import build
from pipelines.remote_store import SCRATCH_PREFIX
from pipelines.request import BuildRequest, prepare
from tests.pipelines.conftest import MakeDataset, contents, start
from tracknet.utils.errors import EXIT_FAILED
from tracknet.utils.geometry import Size

STEPS = ("replace", "unlink", "fsync", "mkdir")
PRELOADED = (__name__, "pipelines.build", "pyarrow.parquet", "PIL.JpegImagePlugin")


def _request(root: Path, out: Path | str) -> BuildRequest:
    return BuildRequest(root, out, Size(64, 36), 95, 4, 12, ("game2",), 0)


AS_COMMAND = ("data.resize=[64,36]", "data.segment_frames=4", "--num-shards", "12", "--val-games", "2")


def _build(root: Path, out: Path | str, die_at: int, steps: Any) -> None:
    """In a process group of its own: builds, and dies before its `die_at`-th change to the disk."""
    os.setsid()
    remote_lock.SETTLE_S, tempfile.tempdir = 0.0, str(root.parent)
    for name in STEPS:
        setattr(os, name, _counted(getattr(os, name), die_at, steps))
    with Path(os.devnull).open("w") as null, contextlib.redirect_stderr(null):
        build(prepare(_request(root, out)))


def _counted(call: Any, die_at: int, steps: Any) -> Any:
    def counted(*args: Any, **options: Any) -> Any:
        steps.value += 1
        if steps.value == die_at:
            os.killpg(0, signal.SIGKILL)
        return call(*args, **options)

    return counted


class Builder:
    """Starts builds of one folder and holds each against an undisturbed one."""

    def __init__(self, root: Path, expected: dict[str, bytes]) -> None:
        self.root, self.expected = root, expected
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOADED))
        self.steps = self._context.Value("i", 0)

    def start(self, out: Path | str, die_at: int = 0) -> BaseProcess:
        self.steps.value = 0
        process = self._context.Process(target=_build, args=(self.root, out, die_at, self.steps))
        process.start()
        return process

    def build(self, out: Path | str, die_at: int = 0) -> int | None:
        process = self.start(out, die_at)
        process.join(30)
        return process.exitcode

    def check(self, out: Path) -> dict[str, int]:
        """No file under a final name differs from the undisturbed build's; returns the finished shards' age."""
        there = contents(out) if out.is_dir() else {}
        for name, data in there.items():
            if not name.startswith("."):
                assert data == self.expected[name], f"{name} is not what it should be"
        if "manifest.json" in there:
            assert {name for name in there if not name.startswith(".")} == self.expected.keys()
        noted = [path.stem for path in out.glob(".build/*-*.json")]
        assert {f"{name}.tar" for name in noted} <= there.keys()
        return {name: (out / f"{name}.tar").stat().st_mtime_ns for name in noted}


def _builder(root: Path, tmp_path: Path) -> Builder:
    build(prepare(_request(root, tmp_path / "undisturbed")))
    return Builder(root, contents(tmp_path / "undisturbed"))


def test_killed_before_any_of_its_steps(make_dataset: MakeDataset, tmp_path: Path) -> None:
    """Every change to the disk in turn: between two of them lies every state that a kill can leave."""
    builder = _builder(make_dataset(games=2, clips=1, frames=4), tmp_path)
    assert builder.build(tmp_path / "counted") == 0
    steps = builder.steps.value
    assert steps > 20
    manifests = 0
    for step in range(1, steps + 1):
        out = tmp_path / f"step{step}"
        assert builder.build(out, die_at=step) == -signal.SIGKILL
        kept = builder.check(out)
        tars = len(list(out.glob("*.tar")))
        assert tars - len(kept) <= 1  # a shard in its place and not yet noted: at most the one in flight
        manifests += (out / "manifest.json").exists()
        assert builder.build(out) == 0
        after = builder.check(out)
        assert {name: after[name] for name in kept} == kept
        assert contents(out) == builder.expected
        assert not [path for path in out.rglob("*") if ".tmp-" in path.name]
    assert manifests < 4


def _delays(longest_s: float) -> Iterator[float]:
    seed = int(os.environ.get("TRACKNET_KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"TRACKNET_KILL_SEED={seed} repeats these delays")
    chance = random.Random(seed)
    while True:
        yield chance.uniform(0, longest_s)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_killed_at_random_moments_again_and_again(
    make_dataset: MakeDataset, tmp_path: Path, scheme: str
) -> None:
    builder = _builder(make_dataset(games=2, clips=2, frames=24), tmp_path)
    out, killed, kept = tmp_path / "shards", 0, dict[str, int]()
    for delay_s in islice(_delays(0.08), 25):
        process = builder.start(f"{scheme}{out}" if scheme else out)
        process.join(delay_s)
        if process.is_alive():
            process.kill()
            killed += 1
        process.join(30)
        before, kept = kept, builder.check(out)
        assert {name: kept.get(name) for name in before} == before, "a finished shard was written again"
        assert len(list(out.glob("*.tar"))) - len(kept) <= 1
    assert killed > 1
    assert builder.build(f"{scheme}{out}" if scheme else out) == 0
    assert not list(tmp_path.glob(f"{SCRATCH_PREFIX}*"))
    assert contents(out) == builder.expected
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name]


def test_killed_at_random_moments_with_its_workers(make_dataset: MakeDataset, tmp_path: Path) -> None:
    root, out = make_dataset(games=2, clips=2, frames=24), tmp_path / "shards"
    builder, kept = _builder(root, tmp_path), dict[str, int]()
    for delay_s in islice(_delays(0.05), 3):
        process = start(root, out, *AS_COMMAND, "--workers", "2")
        while process.poll() is None and not list(out.glob(".*.tmp-*")):
            time.sleep(0.001)
        time.sleep(delay_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        before, kept = kept, builder.check(out)
        assert {name: kept.get(name) for name in before} == before, "a finished shard was written again"
    assert builder.build(out) == 0
    assert contents(out) == builder.expected
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name]


def test_one_worker_killed(make_dataset: MakeDataset, tmp_path: Path) -> None:
    root, out = make_dataset(games=2, clips=2, frames=24), tmp_path / "shards"
    slow = ("data.resize=[1280,720]", *AS_COMMAND[1:])
    process = start(root, out, *slow, "--workers", "2")
    while len(writing := list(out.glob(".*.tmp-*"))) < 2:
        assert process.poll() is None, process.communicate()
    victim = _writer_of(writing[0], process.pid)
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == EXIT_FAILED
    kept = len(list(out.glob(".build/*-*.json")))
    assert f"a worker process died; {kept} of 24 shards are finished and kept" in errors
    assert "fewer --workers" in errors
    assert "Traceback" not in errors
    assert not (out / "manifest.json").exists()


def _writer_of(path: Path, session: int) -> int:
    """The process of a session that has a file open; else any that is not its first."""
    workers = [int(p.name) for p in Path("/proc").glob("[0-9]*") if _session_of(p) == session]
    for pid in workers:
        with contextlib.suppress(OSError):
            if path in [handle.readlink() for handle in Path(f"/proc/{pid}/fd").iterdir()]:
                return pid
    return max(workers)


def _session_of(process: Path) -> int | None:
    with contextlib.suppress(OSError):
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    return None
