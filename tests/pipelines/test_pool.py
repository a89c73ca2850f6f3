"""Worker processes: deaf to Ctrl-C, told by their parent, gone with it."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path

import pytest

from pipelines.pool import check_stop, worker_pool


def _ignores(pid: int, number: signal.Signals) -> bool:
    lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    (mask,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:")]
    return bool(mask >> (number - 1) & 1)


def test_every_worker_leaves_ctrl_c_to_its_parent() -> None:
    with worker_pool(3) as workers:
        for task in workers.results([workers.submit(time.sleep, 0.1) for _ in range(3)]):
            task.result()
        pids = [child.pid for child in multiprocessing.active_children() if child.pid]
        assert len(pids) == 3
        deadline_s = time.monotonic() + 10
        while not all(_ignores(pid, signal.SIGINT) for pid in pids):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_exception_stops_the_tasks_in_progress(tmp_path: Path) -> None:
    started = tmp_path / "started"
    start_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt), worker_pool(1) as workers:
        workers.submit(_work_for_a_minute, started)
        while not started.exists():
            assert time.monotonic() < start_s + 20
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert time.monotonic() < start_s + 30


def _work_for_a_minute(started: Path) -> None:
    started.touch()
    for _ in range(6000):
        check_stop()
        time.sleep(0.01)


def test_outside_a_pool_nothing_stops() -> None:
    check_stop()
