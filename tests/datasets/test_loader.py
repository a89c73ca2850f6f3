"""The loader: equal batches in every mode, held batches untouched, nothing left behind, a clean end whatever dies."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks.stock_stream import StockStream
from tests.datasets.conftest import CountingSource, SmallBuild, fake_stream
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.crew import THREADS_AT_MOST
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import Frame
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream, training_stream
from tracknet.datasets.slots import HELD
from tracknet.datasets.stream import WindowStream
from tracknet.utils.errors import EXIT_FAILED, RunError, UserError
from tracknet.utils.settings import LoaderConfig, SequenceConfig

CONFIG = LoaderConfig(lanes=6, run_length=4)
BATCH = 4  # 71 windows: 17 steps
MODES = [("threads", 0), ("threads", 1), ("threads", 2), ("threads", 3)]
MODES += [("processes", 1), ("processes", 2), ("processes", 3)]
WITH_WORKERS = [("threads", 2), ("processes", 2)]


def stream_of(shards: ShardSet, spec: SampleSpec, *, training: bool = True) -> WindowStream:
    if training:
        return training_stream(shards, spec, CONFIG, batch_size=BATCH, seed=spec.seed)
    return evaluation_stream(shards, spec, batch_size=BATCH)


def loader_of(shards: ShardSet, spec: SampleSpec, mode: str, workers: int) -> StreamLoader:
    return StreamLoader(stream_of(shards, spec), replace(CONFIG, mode=mode, workers=workers))


def content(batch: Batch) -> list[bytes]:
    return [getattr(batch, name).contiguous().numpy().tobytes() for name in TENSORS]


def contents(batches: Iterator[Batch]) -> list[tuple[int, list[bytes]]]:
    return [(batch.step, content(batch)) for batch in batches]


# ---------------------------------------------------------------- equal, and untouched


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_every_mode_gives_what_torchs_own_workers_give(
    small_build: SmallBuild, spec: SampleSpec, plain_spec: SampleSpec, mode: str, workers: int, training: bool
) -> None:
    shards = small_build.open()
    stream = stream_of(shards, spec if training else plain_spec, training=training)
    stock = StockStream(stream)
    loader = StreamLoader(stream, replace(CONFIG, mode=mode, workers=workers))
    assert loader.workers == workers
    assert loader.mode == (mode if workers else "alone")
    for epoch in (0, 1):
        stock.begin(epoch)
        assert contents(loader.epoch(epoch)) == contents(DataLoader(stock, batch_size=None))
    loader.close()


@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_batches_that_are_held_do_not_change_and_do_not_stop_the_others(
    small_build: SmallBuild, spec: SampleSpec, mode: str, workers: int
) -> None:
    loader = loader_of(small_build.open(), spec, mode, workers)
    held: list[tuple[list[bytes], Batch]] = []
    windows: list[tuple[bytes, torch.Tensor]] = []
    for epoch in range(3):
        for batch in loader.epoch(epoch):
            if batch.step % 3 != 1:
                held.append((content(batch), batch))
            else:
                # A part of a batch holds it as well as the whole does.
                windows.append((batch.frames[2].contiguous().numpy().tobytes(), batch.frames[2]))
    loader.close()
    assert len(held) + len(windows) == 3 * 17
    assert all(content(batch) == before for before, batch in held)
    assert all(frames.contiguous().numpy().tobytes() == before for before, frames in windows)


@pytest.mark.parametrize(("mode", "workers"), WITH_WORKERS)
def test_a_loop_that_holds_one_batch_takes_no_new_memory(
    small_build: SmallBuild, spec: SampleSpec, mode: str, workers: int
) -> None:
    loader = loader_of(small_build.open(), spec, mode, workers)
    places = {batch.frames.data_ptr() for epoch in range(3) for batch in loader.epoch(epoch)}
    assert len(places) <= workers * CONFIG.prefetch + HELD


@pytest.mark.parametrize(("mode", "workers"), WITH_WORKERS)
def test_an_epoch_that_was_left_is_over(
    small_build: SmallBuild, spec: SampleSpec, mode: str, workers: int
) -> None:
    shards = small_build.open()
    expected = contents(loader_of(shards, spec, "threads", 0).epoch(1))
    loader = loader_of(shards, spec, mode, workers)
    left = loader.epoch(0)
    next(left)
    assert contents(loader.epoch(1)) == expected
    with pytest.raises(RuntimeError, match="this epoch was left"):
        next(left)
    assert contents(loader.epoch(1, 15)) == expected[15:]
    # Not a short epoch that looks whole.
    closed = loader.epoch(0)
    next(closed)
    loader.close()
    with pytest.raises(RuntimeError, match="this epoch was left"):
        next(closed)


def test_auto_takes_threads_for_few_workers_and_processes_for_many(spec: SampleSpec) -> None:
    def mode(workers: int, wanted: str = "auto") -> tuple[str, int]:
        stream = fake_stream(spec, CountingSource(), [list(range(400))], batch_size=4)
        loader = StreamLoader(stream, LoaderConfig(workers=workers, mode=wanted))
        return loader.mode, loader.workers

    assert mode(0) == mode(0, "processes") == ("alone", 0)
    assert mode(THREADS_AT_MOST) == ("threads", THREADS_AT_MOST)
    assert mode(8) == ("processes", 8)
    assert mode(8, "threads") == ("threads", 8)


def test_processes_are_refused_where_they_are_not_safe(
    spec: SampleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    stream = fake_stream(spec, CountingSource(), [list(range(400))], batch_size=4)
    assert StreamLoader(stream, LoaderConfig(workers=8)).mode == "threads"
    with pytest.raises(UserError, match="needs Linux") as caught:
        StreamLoader(stream, LoaderConfig(workers=2, mode="processes"))
    assert "data.loader.mode=threads" in str(caught.value.remedy)


# ---------------------------------------------------------------- what goes wrong


class FailingSource(CountingSource):
    def read(self, row: int) -> Frame:
        raise RuntimeError(f"no such thing as row {row}")


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), *WITH_WORKERS])
def test_a_programming_error_arrives_as_what_it_is_and_ends_the_workers(
    spec: SampleSpec, mode: str, workers: int
) -> None:
    before = left_behind()
    stream = fake_stream(spec, FailingSource(), [list(range(40))], batch_size=4)
    with pytest.raises(RuntimeError, match="no such thing as row") as caught:
        next(StreamLoader(stream, LoaderConfig(workers=workers, mode=mode)).epoch(0))
    assert not isinstance(caught.value, UserError)
    # Also from another process it says where.
    story = "".join(getattr(caught.value, "__notes__", []))
    assert mode != "processes" or "test_loader.py" in story
    assert left_behind().processes == before.processes


class HeldUpSource(CountingSource):
    """Each picture is filled with its row's number; that of one row comes only once somebody lets it go."""

    def __init__(self, held_row: int) -> None:
        super().__init__()
        self.let_go = multiprocessing.get_context("fork").Event()
        self._held_row = held_row

    def read(self, row: int) -> Frame:
        if row == self._held_row:
            assert self.let_go.wait(60)
        return np.full((2, 4, 3), row, np.uint8)


@pytest.mark.parametrize("leave_first", [False, True])
@pytest.mark.parametrize(("mode", "workers"), WITH_WORKERS)
def test_an_epoch_after_an_interrupted_wait_is_as_ever(
    spec: SampleSpec, mode: str, workers: int, leave_first: bool
) -> None:
    """Ctrl-C while a batch is waited for, or while the rest of an epoch that was left is."""
    # Without a plan windows come in their order, so that row 20 is of the sixth batch.
    stream = fake_stream(
        replace(spec, sequence=SequenceConfig(1), map_frames=(0,)),
        HeldUpSource(20),
        [list(range(40))],
        batch_size=4,
        training=False,
    )
    source = stream.open_source()
    assert isinstance(source, HeldUpSource)
    loader = StreamLoader(stream, LoaderConfig(workers=workers, mode=mode, prefetch=2))

    def interrupt() -> None:
        loader.check_wait = lambda: None
        source.let_go.set()
        raise KeyboardInterrupt

    loader.check_wait = interrupt
    if leave_first:
        next(loader.epoch(0, 4))
    with pytest.raises(KeyboardInterrupt):
        list(loader.epoch(0))
    steps = [(batch.step, batch.frames[:, 0, 0, 0, 0].tolist()) for batch in loader.epoch(1)]
    assert steps == [(step, list(range(4 * step, 4 * step + 4))) for step in range(10)]
    loader.close()


def test_a_killed_worker_ends_in_a_clean_error_at_once(small_build: SmallBuild, spec: SampleSpec) -> None:
    loader = loader_of(small_build.open(), spec, "processes", 2)
    expected = contents(loader.epoch(0))
    batches = loader.epoch(0)
    next(batches)
    victim = next(p for p in multiprocessing.active_children() if p.name == "loader-1")
    assert victim.pid
    os.kill(victim.pid, signal.SIGKILL)
    started = time.monotonic()
    died = rf"worker of the data loader died: number 1 \(pid {victim.pid}\) by SIGKILL"
    with pytest.raises(RunError, match=died) as caught:
        list(batches)
    assert time.monotonic() - started < 5
    assert caught.value.exit_code == EXIT_FAILED
    assert "data.loader.workers" in str(caught.value.remedy)
    assert not multiprocessing.active_children()
    # It can go on all the same.
    assert contents(loader.epoch(0)) == expected
    loader.close()
    assert not multiprocessing.active_children()


def test_signals_to_the_whole_group_leave_the_workers_to_the_trainer(
    small_build: SmallBuild, spec: SampleSpec
) -> None:
    """As a scheduler's SIGTERM and a terminal's Ctrl-C reach every process."""
    loader = loader_of(small_build.open(), spec, "processes", 2)
    expected = contents(loader.epoch(0))
    batches = loader.epoch(0)
    first = [next(batches)]
    for worker in multiprocessing.active_children():
        assert worker.pid
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    assert contents(iter([*first, *batches])) == expected
    workers = multiprocessing.active_children()
    loader.close()
    assert len(workers) == 2
    assert not multiprocessing.active_children()


def test_workers_of_a_killed_training_end_and_leave_no_memory(
    small_build: SmallBuild, tmp_path: Path
) -> None:
    program = textwrap.dedent(f"""
        import multiprocessing, time
        from pathlib import Path
        from tracknet.datasets.sample_spec import SampleSpec
        from tracknet.datasets.index import open_split
        from tracknet.datasets.loader import StreamLoader
        from tracknet.datasets.shard_streams import training_stream
        from tracknet.utils.config import load_config
        from tracknet.utils.geometry import Size
        from tracknet.utils.settings import LoaderConfig, SequenceConfig

        loader = LoaderConfig(workers=2, lanes=6, mode="processes")
        spec = SampleSpec.for_training(load_config(overrides=["data.resize=[96,48]"]), Size(96, 48))
        shards = open_split(Path({str(small_build.folder)!r}), "train")
        stream = training_stream(shards, spec, loader, batch_size=4, seed=0)
        batches = StreamLoader(stream, loader).epoch()
        next(batches)
        print(*(p.pid for p in multiprocessing.active_children()), flush=True)
        time.sleep(60)
    """)
    training = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert training.stdout is not None
    pids = [int(pid) for pid in training.stdout.readline().split()]
    assert len(pids) == 2
    # Only what has a name can be left behind, and nothing has: the ring shows as /dev/zero.
    assert shared_memory(training.pid) == shared_memory(pids[0]) == []
    training.kill()
    training.wait()
    training.stdout.close()
    end = time.monotonic() + 5
    while any(is_running(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in pids)


def shared_memory(pid: int | str = "self") -> list[str]:
    """Shared memory of a process that has a name, which others and later ones would meet."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [line for line in maps if "/dev/shm/" in line and not line.endswith("(deleted)")]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------- nothing is left


class LeftBehind:
    """What this process has open."""

    def __init__(self) -> None:
        # What earlier tests left in cycles would go at any moment, and with it their files.
        gc.collect()
        self.files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        self.threads = threading.active_count()
        self.processes = len(multiprocessing.active_children())
        self.rings = Path("/proc/self/maps").read_text().count("/dev/zero (deleted)")
        self.kilobytes = (
            int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
        )


def left_behind() -> LeftBehind:
    return LeftBehind()


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), *WITH_WORKERS])
def test_fifty_epochs_leak_nothing(
    small_build: SmallBuild, spec: SampleSpec, mode: str, workers: int
) -> None:
    before = left_behind()
    loader = loader_of(small_build.open(), spec, mode, workers)
    for epoch in range(5):
        list(loader.epoch(epoch))
    early = left_behind()
    for epoch in range(5, 50):
        for batch in loader.epoch(epoch):
            if batch.step == epoch % 17:
                break  # every other epoch or so is left before its end
    late = left_behind()
    # Not equal: what earlier tests of this process left (a connection kept alive, a thread at its end)
    # may close in between, while a leak of one an epoch would show as 45 more.
    assert late.files <= early.files
    assert late.threads <= early.threads
    assert late.processes == early.processes
    assert late.kilobytes - early.kilobytes < 4096
    loader.close()
    del batch
    after = left_behind()
    assert after.threads <= before.threads
    assert after.processes == before.processes
    assert after.files <= before.files + 1
    del loader
    assert left_behind().rings <= before.rings
    assert not shared_memory()


@pytest.mark.parametrize(("mode", "workers"), WITH_WORKERS)
def test_a_loader_that_is_forgotten_ends_its_workers(
    small_build: SmallBuild, spec: SampleSpec, mode: str, workers: int
) -> None:
    before = left_behind()
    for _ in range(3):
        next(loader_of(small_build.open(), spec, mode, workers).epoch())
    after = left_behind()
    assert after.threads <= before.threads
    assert after.processes == before.processes
    assert after.files <= before.files + 1
