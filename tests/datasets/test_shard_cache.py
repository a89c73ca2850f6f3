"""Remote shards in a local cache: kept, shared by processes, and thrown out to make room."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datasets.cached_files import QUICK, put, read
from tests.datasets.http_server import Site
from tracknet.datasets import cache_waiting, shard_cache
from tracknet.datasets.fetch_ahead import FetchAhead
from tracknet.datasets.remote_file import Patience, RemoteFile
from tracknet.datasets.shard_cache import CacheError, ShardCache
from tracknet.utils import lock_record
from tracknet.utils.errors import Interrupted, RunError, UserError
from tracknet.utils.file_lock import locked

pytestmark = pytest.mark.usefixtures("small_parts")


def test_a_shard_is_fetched_once_in_parts_and_kept(site: Site, tmp_path: Path) -> None:
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    assert not cache.holds(file)
    for _ in range(3):
        assert read(cache, file) == site.files["/a.tar"]
    assert [request.range for request in site.requests] == [
        "bytes=0-999",
        "bytes=1000-1999",
        "bytes=2000-2499",
    ]
    assert cache.holds(file)


def test_what_was_used_longest_ago_makes_room(site: Site, tmp_path: Path) -> None:
    files = [put(site, f"{name}.tar") for name in "abc"]
    cache = ShardCache(tmp_path, 5000, QUICK)
    for time_s, file in enumerate(files[:2]):
        read(cache, file)
        os.utime(tmp_path / file.sha256[:2] / f"{file.sha256}.tar", (time_s, time_s))
    read(cache, files[0])
    read(cache, files[2])
    assert [cache.holds(file) for file in files] == [True, False, True]


def test_a_shard_in_use_stays_and_the_budget_is_kept(site: Site, tmp_path: Path) -> None:
    files = [put(site, f"{name}.tar") for name in "abc"]
    cache = ShardCache(tmp_path, 5000, QUICK)
    held = [cache.open(file) for file in files[:2]]
    with pytest.raises(RunError, match=r"shards are in use, .*c\.tar needs 2\.5e-06 more"):
        cache.ensure(files[2])
    os.close(held[0])
    assert read(cache, files[2]) == site.files["/c.tar"]
    assert [cache.holds(file) for file in files] == [False, True, True]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.tar")) <= 5000
    with pytest.raises(UserError, match=r"data\.cache\.max_gb allows 5e-06"):
        cache.ensure(put(site, "big.tar", 5001))


def test_equal_names_of_other_content_do_not_collide(site: Site, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 10_000, QUICK)
    one, other = put(site, "x/train-000.tar"), put(site, "y/train-000.tar")
    assert read(cache, one) != read(cache, other)
    # And one content under two addresses is fetched once.
    site.files["/mirror.tar"] = site.files["/x/train-000.tar"]
    read(cache, RemoteFile(f"{site.url}/mirror.tar", one.bytes, one.sha256))
    assert site.asked_for("/mirror.tar") == 0


def _ensure(folder: Path, file: RemoteFile) -> None:
    ShardCache(folder, 10_000, Patience(attempts=2, timeout_s=5.0)).ensure(file)


def test_several_processes_fetch_a_shard_once(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_ensure, args=(tmp_path, file)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0] * 4
    assert site.asked_for("/a.tar") == 3


def test_a_killed_fetch_stops_nobody_and_its_part_is_gone_on_with(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["none", "stall"]
    process = multiprocessing.get_context("fork").Process(target=_ensure, args=(tmp_path, file))
    process.start()
    deadline = time.monotonic() + 20
    while site.asked_for("/a.tar") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    site.requests.clear()
    assert read(ShardCache(tmp_path, 10_000, QUICK), file) == site.files["/a.tar"]
    assert [request.range for request in site.requests] == ["bytes=1000-1999", "bytes=2000-2499"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_full_disk_names_shard_folder_and_room_whoever_fetches(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shard_cache, "fetch", full)
    message = r"a\.tar cannot be kept in .*: No space left on device\n  remedy: free at least 0\.01 GB there"
    with pytest.raises(CacheError, match=message):
        cache.open(file)
    # Frames may be skipped for a shard that is bad, not for a disk that is full.
    ahead = FetchAhead(cache, [[file]], lambda step: 0, 0, skip=True)
    deadline_s = time.monotonic() + 20
    with pytest.raises(CacheError, match=message):
        while time.monotonic() < deadline_s:
            ahead.reach(1)
            time.sleep(0.01)
    ahead.close()


def _late(fetch: Callable[[FetchAhead, int], None]) -> Callable[[FetchAhead, int], None]:
    def later(ahead: FetchAhead, place: int) -> None:
        time.sleep(0.02)
        fetch(ahead, place)

    return later


@pytest.mark.parametrize("first", ["thread", "reader"])
def test_training_and_validation_push_out_no_more_of_each_other_than_they_must(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Room for 9 of 6 + 4 shards: each validation, and each epoch after one, fetch one shard again."""
    train, val = (
        [put(site, f"{name}{number}.tar") for number in range(count)] for name, count in (("t", 6), ("v", 4))
    )
    cache = ShardCache(tmp_path, 9 * 2500, QUICK)
    fetched = []
    # Whoever comes first to a shard that is missing, the thread or the reader.
    if first == "reader":
        monkeypatch.setattr(FetchAhead, "_fetch", _late(FetchAhead._fetch))
    for _ in range(3):
        for files in (train, val):
            before = len(site.requests)
            ahead = FetchAhead(cache, [files], lambda step: 0, 0)
            for file in files * 2:
                read(cache, file)
            ahead.close()
            fetched.append((len(site.requests) - before) / 3)
    assert fetched == [6, 4, 1, 1, 1, 1]


def test_a_file_in_the_caches_place_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("mine")
    for folder in (tmp_path / "cache", tmp_path / "cache" / "below"):
        with pytest.raises(
            CacheError, match=rf"a\.tar cannot be kept in {folder}: Not a directory"
        ) as caught:
            ShardCache(folder, 10_000, QUICK).open(put(site, "a.tar"))
        assert "is a file: remove that, or name a folder with data.cache.dir" in str(caught.value.remedy)
    assert (tmp_path / "cache").read_text() == "mine"


@pytest.mark.parametrize("own", [True, False])
def test_who_is_waited_for_is_said_and_a_stop_ends_the_wait(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own: bool
) -> None:
    monkeypatch.setattr(cache_waiting, "_SECONDS_BEFORE_A_WORD", 0.0)
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    lock = cache.path_of(file).with_suffix(".lock")
    lock.parent.mkdir()
    looks = iter([None, None])

    def stop() -> None:
        if next(looks, "end") == "end":
            raise Interrupted("enough")

    with locked(lock, lambda holder: None):
        if not own:  # who waits is another run's
            monkeypatch.setattr(lock_record, "_main_pid", lambda: 1)
        with pytest.raises(Interrupted):
            cache.ensure(file, stop)
    said = capsys.readouterr().err
    assert said.count("waiting for") == 1
    if own:
        assert (
            f"waiting for process {os.getpid()}, which is of this very run, to fetch {file}; since 20" in said
        )
        assert "end it" not in said
    else:
        assert f"waiting for process {os.getpid()}, which holds {lock} since 20" in said
        assert f"to fetch {file}. The lock ends with that process: if it hangs, end it" in said
    cache.ensure(file)
