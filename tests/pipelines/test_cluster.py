"""Shards on a dask cluster: a real scheduler and real worker processes, one of which is killed half-way."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

from pipelines.cluster import is_no_end
from pipelines.executors import check_executor
from tests.pipelines.conftest import CHECKOUT, SMALL, MakeDataset, contents, run, start
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_REQUEST, UserError

distributed = pytest.importorskip("distributed")
SLOW = ("data.resize=[768,432]", "data.segment_frames=3", "--num-shards", "16")


class Cluster:
    """Processes as a person would start them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._start("distributed.cli.dask_scheduler", "--port", "0", "--host", "127.0.0.1")
        self._wait(self.file.exists)

    def add_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        options = (
            "--no-nanny",
            "--nthreads",
            "1",
            "--host",
            "127.0.0.1",
            "--local-directory",
            str(self.folder),
        )
        return self._start("distributed.cli.dask_worker", *options, **environment)

    def wait_for_workers(self, count: int) -> None:
        with distributed.Client(scheduler_file=str(self.file), set_as_default=False) as client:
            self._wait(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == count)

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def _start(self, module: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            module,
            "--no-dashboard",
            "--scheduler-file",
            str(self.file),
            *options,
        ]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    @staticmethod
    def _wait(ready: Callable[[], Any]) -> None:
        deadline_s = time.monotonic() + 60
        while not ready():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop()


def test_an_end_that_is_told_in_words_leaves_no_traceback_in_the_log_of_dask() -> None:
    from distributed.comm import CommClosedError

    log = logging.getLogger("tornado.application")
    for error, is_shown in ((CancelledError(), False), (CommClosedError("closed"), False), (OSError(), True)):
        exc_info = (type(error), error, None)
        record = log.makeRecord(log.name, logging.ERROR, "", 0, "Exception in callback", (), exc_info)
        assert is_no_end(record) is is_shown


def test_a_killed_worker_and_a_killed_build_change_no_byte(
    make_dataset: MakeDataset, tmp_path: Path, cluster: Cluster
) -> None:
    root, out = make_dataset(games=2, clips=4, frames=12), tmp_path / "shards"
    dask = ("--executor", "dask", "--scheduler", str(cluster.file))

    nobody = start(root, out, *SLOW, *dask)
    errors = nobody.communicate(timeout=120)[1]
    assert nobody.returncode == EXIT_FAILED
    assert "no worker has joined it" in errors

    workers = [cluster.add_worker() for _ in range(2)]
    run(root, tmp_path / "undisturbed", *SLOW, "--workers", "0")
    cluster.wait_for_workers(2)

    def build_until(notes: int, *, to: str | Path) -> subprocess.Popen[str]:
        folder = tmp_path / str(to).rpartition("/")[2]
        process = start(root, to, *SLOW, *dask)
        while len(list(folder.glob(".build/*-*.json"))) < notes:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        return process

    # Ctrl-C, and the process itself killed: what the workers are at ends, and nothing is lost.
    for stop, code in ((signal.SIGINT, EXIT_INTERRUPTED), (signal.SIGKILL, -signal.SIGKILL)):
        process = build_until(1 if stop == signal.SIGINT else 4, to=out)
        process.send_signal(stop)
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == code
        assert "Traceback" not in errors
        assert not (out / "manifest.json").exists()
    kept = {path.stem: path.stat().st_mtime_ns for path in out.glob(".build/*-*.json")}
    assert 4 <= len(kept) < 32

    process = build_until(len(kept) + 4, to=out)
    workers[0].kill()
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == EXIT_DONE, errors
    assert f", {len(kept)} kept" in printed
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert {name: (out / f".build/{name}.json").stat().st_mtime_ns for name in kept} == kept

    # To a URL, with a worker that has no such package: refused by name; without it: the same bytes.
    (tmp_path / "bare" / "pipelines").mkdir(parents=True)
    (tmp_path / "bare" / "pipelines" / "__init__.py").write_text("raise ImportError('no builder here')")
    bare = cluster.add_worker(PYTHONPATH=str(tmp_path / "bare"))
    cluster.wait_for_workers(2)
    process = start(root, f"file://{tmp_path}/far", *SLOW, *dask)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == EXIT_FAILED
    assert "cannot run the builder" in errors
    assert "no builder here" in errors
    assert not (tmp_path / "far").exists()
    bare.kill()
    cluster.wait_for_workers(1)
    process = start(root, f"file://{tmp_path}/far", *SLOW, *dask)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == EXIT_DONE, errors
    assert contents(tmp_path / "far") == contents(tmp_path / "undisturbed")


def test_videos_are_decoded_on_the_workers(tmp_path: Path, cluster: Cluster) -> None:
    pytest.importorskip("av")
    from tests.videos import write_match

    for match in (1, 2, 3):
        write_match(tmp_path / "videos", f"match{match}", seed=match)
    small = ("data.resize=[160,90]", "data.segment_frames=5", "--num-shards", "3")
    cluster.add_worker()
    run(tmp_path / "videos", tmp_path / "undisturbed", *small, "--workers", "0")
    cluster.wait_for_workers(1)
    dask = ("--executor", "dask", "--scheduler", str(cluster.file))
    assert run(tmp_path / "videos", tmp_path / "near", *small, *dask) == EXIT_DONE
    far, staging = f"file://{tmp_path}/far", ("--staging", str(tmp_path / "staging"))
    assert run(tmp_path / "videos", far, *small, *dask, *staging) == EXIT_DONE
    for name in ("near", "far"):
        assert contents(tmp_path / name) == contents(tmp_path / "undisturbed")
    assert not (tmp_path / "near" / ".build" / "staged").exists()
    assert not list((tmp_path / "staging").iterdir())


def test_decoders_must_agree_where_there_are_videos(tmp_path: Path) -> None:
    from pipelines.cluster import SourceProbe, _about_here

    assert "av" in _about_here(SourceProbe(tmp_path, "match1/video/00001.mp4", 1, 1))
    assert "av" not in _about_here(SourceProbe(tmp_path, "game1/Clip1/0000.jpg", 1, 1))


def test_a_worker_that_sees_other_files_is_named(root: Path, tmp_path: Path) -> None:
    from pipelines.cluster import AS_PLANNED, SourceProbe
    from pipelines.request import BuildRequest, prepare
    from tracknet.utils.geometry import Size

    task = prepare(BuildRequest(root, tmp_path / "out", Size(64, 36), 95, 6, 3, None, 0)).first_task()
    probe = SourceProbe.of(task)
    assert probe.look() == AS_PLANNED
    path = root / task.frames[0].source
    data = path.read_bytes()
    os.utime(path, (1, 1))
    assert "of another date" in probe.look()
    path.write_bytes(data[:-1])
    assert f"of {len(data) - 1} bytes, not {len(data)}" in probe.look()
    shutil.rmtree(root)
    assert "No such file" in probe.look()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--executor", "dask"), "needs the address of a running scheduler"),
        (("--scheduler", "tcp://h:1"), "add --executor dask"),
        (("--executor", "dask", "--scheduler", "tcp://h:1", "--workers", "2"), "leave --workers out"),
        (("--executor", "serial", "--workers", "2"), "--workers 2 alone takes processes"),
        (("--executor", "dask", "--scheduler", "none.json"), "none.json: there is no such file"),
        (
            ("--executor", "dask", "--scheduler", "tcp://127.0.0.1:9"),
            "no scheduler answers there within 0.2 s",
        ),
        (("--executor", "dask", "--scheduler", "nonsense"), "nonsense: no scheduler answers"),
    ],
)
def test_clusters_that_cannot_be(
    root: Path,
    out: Path,
    options: tuple[str, ...],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.cluster.CONNECT_S", 0.2)
    assert run(root, out, *SMALL[:-2], *options) == EXIT_WRONG_REQUEST
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_without_the_package(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run(root, out, *SMALL[:-2], "--executor", "dask", "--scheduler", "tcp://h:1") == EXIT_WRONG_REQUEST
    assert 'pip install "distributed' in capsys.readouterr().err


def test_one_process_of_its_own_when_asked_for(root: Path, out: Path, tmp_path: Path) -> None:
    run(root, out)
    options = (*SMALL[:-2], "--executor", "processes", "--workers", "1")
    assert run(root, tmp_path / "one", *options) == EXIT_DONE
    assert contents(tmp_path / "one") == contents(out)
    with pytest.raises(UserError):
        check_executor("serial", 3, None)
