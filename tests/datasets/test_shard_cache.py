"""Remote shards in a local cache, from a server that does everything a server can do wrong."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.datasets import http_server
from tests.datasets.http_server import Fault, Site, serve
from tracknet.datasets import lost_shards, remote_file, shard_cache
from tracknet.datasets.fetch_ahead import FetchAhead
from tracknet.datasets.remote_file import Patience, RemoteFile
from tracknet.datasets.shard_cache import CacheError, ShardCache
from tracknet.utils import lock_record
from tracknet.utils.errors import Interrupted, RunError, UserError
from tracknet.utils.file_lock import locked
from tracknet.utils.urls import hide_secrets, is_url, open_filesystem, shown

QUICK = Patience(attempts=3, timeout_s=0.3, pause_s=0.01)
PART = 1000


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(remote_file, "PART_BYTES", PART)
    with serve() as site:
        yield site


def put(site: Site, name: str, size: int = 2500) -> RemoteFile:
    content = hashlib.shake_256(name.encode()).digest(size)
    site.files[f"/{name}"] = content
    return RemoteFile(f"{site.url}/{name}", size, hashlib.sha256(content).hexdigest())


def read(cache: ShardCache, file: RemoteFile) -> bytes:
    descriptor = cache.open(file)
    try:
        return os.pread(descriptor, file.bytes + 1, 0)
    finally:
        os.close(descriptor)


def test_a_shard_is_fetched_once_in_parts_and_kept(site: Site, tmp_path: Path) -> None:
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    assert not cache.holds(file)
    for _ in range(3):
        assert read(cache, file) == site.files["/a.tar"]
    assert [asked for _, asked in site.requests] == ["bytes=0-999", "bytes=1000-1999", "bytes=2000-2499"]
    assert cache.holds(file)


@pytest.mark.parametrize("fault", ["stall", "cut", "503", "wrong", "no range", "close", "page"])
@pytest.mark.parametrize("good_before", [0, 1])
def test_one_fault_of_a_server_is_outlived(
    site: Site, tmp_path: Path, fault: Fault, good_before: int
) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["none"] * good_before + [fault]
    assert read(ShardCache(tmp_path, 10_000, QUICK), file) == site.files["/a.tar"]
    # Three parts; one more for the fault, or three where only the hash of the whole tells; one where all came at once;
    # and no more where half came, for that half is kept.
    again = {"wrong": 3, "no range": -2 + good_before, "cut": 0}.get(fault, 1)
    assert site.asked_for("/a.tar") == 3 + again


def test_bytes_that_stay_wrong_are_never_used(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    site.files["/a.tar"] = site.files["/a.tar"][:-1] + b"?"
    found = hashlib.sha256(site.files["/a.tar"]).hexdigest()
    with pytest.raises(RunError, match=rf"a\.tar: has the hash {found}, its manifest says {file.sha256}"):
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".tar", ".part")] == []
    assert site.asked_for("/a.tar") == 9  # three parts, as often as there are attempts


@pytest.mark.parametrize("size", [1200, 900, 3000])
def test_a_file_of_another_size_is_refused(site: Site, tmp_path: Path, size: int) -> None:
    file = put(site, "a.tar")
    site.files["/a.tar"] = bytes(size)
    with pytest.raises(RunError, match=r"a\.tar: "):
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert not list(tmp_path.rglob("*.tar"))


def test_faults_that_do_not_end_are_named_with_the_attempts(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["503"] * 9
    with pytest.raises(RunError, match=r"a\.tar: 3 attempts failed, the last with .*503") as error:
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert "data.cache.attempts" in str(error.value)
    assert site.asked_for("/a.tar") == 3
    assert "attempt 2 of 3 in 0.01 s" in capsys.readouterr().err
    with pytest.raises(RunError, match=r"b\.tar: there is no such file"):
        ShardCache(tmp_path, 10_000, QUICK).open(RemoteFile(f"{site.url}/b.tar", 5, "0" * 64))


@pytest.mark.parametrize("status", ["401", "403", "410"])
def test_what_a_server_refuses_is_not_asked_for_again(site: Site, tmp_path: Path, status: Fault) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = [status] * 4
    for ask in (
        lambda: ShardCache(tmp_path, 10_000, QUICK).open(file),
        lambda: remote_file.read_whole(file.url, QUICK),
    ):
        before = site.asked_for("/a.tar")
        with pytest.raises(RunError, match=rf"a\.tar: ClientResponseError: {status}") as caught:
            ask()
        assert site.asked_for("/a.tar") == before + 1
        assert "check your credentials" in str(caught.value.remedy)
        assert "signed URL may have run out" in str(caught.value.remedy)


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


def _fails(cache: ShardCache, file: RemoteFile) -> None:
    with pytest.raises(RunError, match="2 attempts failed"):
        cache.ensure(file)


def test_who_waited_for_a_shard_that_does_not_come_does_not_try_it_again(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["503"] * 99
    patience = Patience(attempts=2, timeout_s=5.0, pause_s=0.2)
    cache = ShardCache(tmp_path, 10_000, patience)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fails, args=(cache, file)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert site.asked_for("/a.tar") == 2  # one of them tried, twice
    _fails(ShardCache(tmp_path, 10_000, patience), file)  # another run does not believe this one
    assert site.asked_for("/a.tar") == 4
    site.faults.clear()
    with pytest.raises(RunError):
        cache.ensure(file)
    more = ShardCache(tmp_path, 10_000, Patience(attempts=3, timeout_s=5.0))
    assert read(more, file) == site.files["/a.tar"]


def test_records_of_lost_shards_that_nobody_believes_any_more_are_removed(site: Site, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 10_000, QUICK)
    for name in ("old", "new"):
        with pytest.raises(RunError, match="there is no such file"):
            cache.ensure(RemoteFile(f"{site.url}/{name}.tar", 5, hashlib.sha256(name.encode()).hexdigest()))
    old, new = sorted(tmp_path.glob("??/*.lost"), key=lambda path: json.loads(path.read_text())["learned_s"])
    past_s = time.time() - lost_shards._LOST_AT_MOST_S - 1
    os.utime(old, (past_s, past_s))
    read(cache, put(site, "a.tar"))
    assert list(tmp_path.glob("??/*.lost")) == [new]


def test_what_ends_a_fetch_from_outside_is_no_fault_of_its_shard(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with data.loader.workers=0: the thread that fetches ahead found another shard lost meanwhile."""
    monkeypatch.setattr(lost_shards, "_LOST_FOR", 1e6)
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    other = RunError("b.tar: there is no such file", remedy="upload it")

    def stop() -> None:
        if site.requests:
            raise other

    with pytest.raises(RunError) as caught:
        cache.ensure(file, stop)
    assert caught.value is other
    assert not list(tmp_path.rglob("*.lost"))
    assert read(cache, file) == site.files["/a.tar"]


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
    assert [asked for _, asked in site.requests] == ["bytes=1000-1999", "bytes=2000-2499"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("fault", ["cut", "drip"])
def test_bytes_that_came_are_kept_and_count(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
) -> None:
    """More faults than attempts, each with half of what was asked for; and a server that is slow."""
    monkeypatch.setattr(remote_file, "PART_BYTES", 10_000)
    monkeypatch.setattr(remote_file, "_SECONDS_BEFORE_A_WORD", 0.0)
    file = put(site, "a.tar")
    site.faults["/a.tar"] = [fault] * (5 if fault == "cut" else 1)
    assert read(ShardCache(tmp_path, 10_000, QUICK), file) == site.files["/a.tar"]
    said = capsys.readouterr().err
    if fault == "cut":
        starts = ["0", "1250", "1875", "2187", "2343", "2421"]
        assert [asked for _, asked in site.requests] == [f"bytes={start}-2499" for start in starts]
        assert "a.tar: the answer broke off after 1,250 bytes, which are kept; goes on in 0.01 s" in said
    else:
        # How fast it is depends on the machine.
        words = r"a\.tar: 0\.00\d+ of 0\.0025 MB are there after [\d.]+ s: \S+ kB/s, about [\d.]+ s more"
        assert re.search(words, said)


def test_a_server_that_ends_early_for_good_leaves_what_came(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["cut", *["503"] * 3]
    with pytest.raises(RunError, match=r"3 attempts failed, the last with .*503") as error:
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert "500 bytes of it are kept" in str(error.value)
    assert [path.stat().st_size for path in tmp_path.rglob("*.part")] == [500]


@pytest.mark.parametrize("left", [b"", b"left by another process"])
def test_wrong_bytes_are_fetched_again_as_often_as_there_are_attempts(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left: bytes,
) -> None:
    monkeypatch.setattr(remote_file, "PART_BYTES", 10_000)
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    part = cache.path_of(file).with_suffix(f".{file.bytes}.part")
    part.parent.mkdir()
    part.write_bytes(left)
    # What another process left counts for no attempt.
    site.faults["/a.tar"] = ["none" if left else "wrong", "wrong"]
    site.faults["/a.tar"] += ["wrong"] if left else []
    assert read(cache, file) == site.files["/a.tar"]
    assert "fetched anew, attempt 3 of 3 in 0.02 s" in capsys.readouterr().err
    other = put(site, "b.tar")
    site.faults["/b.tar"] = ["wrong"] * 3
    with pytest.raises(RunError, match=rf"its manifest says {other.sha256}, 3 times in a row"):
        cache.open(other)


def test_the_room_stays_claimed_while_wrong_bytes_are_fetched_again(site: Site, tmp_path: Path) -> None:
    file, cache = put(site, "a.tar", 900), ShardCache(tmp_path, 10_000, QUICK)
    site.faults["/a.tar"] = ["wrong", "wrong"]
    part = tmp_path / "a.part"
    sizes: list[int] = []
    remote_file.fetch(
        file, part, cache.patience, on_trouble=lambda message: sizes.append(part.stat().st_size)
    )
    assert sizes == [0, 0]
    assert part.read_bytes() == site.files["/a.tar"]


def test_silence_is_called_that(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["stall"]
    read(ShardCache(tmp_path, 10_000, Patience(attempts=2, timeout_s=0.1, pause_s=0.01)), file)
    assert "a.tar: silent for 0.1 s; attempt 2 of 2 in 0.01 s" in capsys.readouterr().err


def test_a_hash_that_is_a_path_is_refused() -> None:
    with pytest.raises(RunError, match=r"gives it the hash '\.\./x'"):
        RemoteFile("http://h/a.tar", 5, "../x")


def test_urls_are_named_without_secrets_and_pipes_refused() -> None:
    assert (
        shown("https://me:secret@host:8080/a/b.tar?X-Amz-Signature=1") == "https://***@host:8080/a/b.tar?***"
    )
    command = "train https://h/train-{0..3}.tar?sig=hush data.files=[https://h/a?t=hush,s3://me:hush@b/c] x=1"
    assert hide_secrets(command) == (
        "train https://h/train-{0..3}.tar?*** data.files=[https://h/a?***,s3://***@b/c] x=1"
    )
    assert hide_secrets("404, url='https://h/a?token=hush' a/b?c=d") == "404, url='https://h/a?***' a/b?c=d"
    assert [
        is_url(text) for text in ("s3://b/a", "pipe:cat x", "shards/train-000.tar", "C:/x", "file:///x")
    ] == [*(True, True, False, False, True)]
    with pytest.raises(UserError, match="runs a command"):
        open_filesystem("pipe:curl x")
    with pytest.raises(UserError, match="nosuch://h/a"):
        open_filesystem("nosuch://h/a")


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
    monkeypatch.setattr(shard_cache, "_SECONDS_BEFORE_A_WORD", 0.0)
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


def test_a_stop_does_not_wait_for_a_silent_server_nor_for_a_pause(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "STALL_S", 60.0)
    started = time.monotonic()

    def stop() -> None:
        if time.monotonic() > started + 0.5:
            raise Interrupted("enough")

    for fault, patience in (
        ("stall", Patience(attempts=3, timeout_s=60.0)),
        ("503", Patience(attempts=3, timeout_s=60.0, pause_s=60.0)),
    ):
        file = put(site, f"{fault}.tar")
        site.faults[f"/{fault}.tar"] = [fault]  # type: ignore[list-item]
        with pytest.raises(Interrupted):
            ShardCache(tmp_path, 10_000, patience).open(file, stop)
    # Far below a timeout or a pause; not a measurement.
    assert time.monotonic() - started < 30


def test_a_shard_that_is_not_there_is_not_asked_for_again_at_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_shards, "_LOST_FOR", 1e6)
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    content = site.files.pop("/a.tar")
    for _ in range(3):
        with pytest.raises(RunError, match=r"a\.tar: there is no such file"):
            cache.open(file)
    assert site.asked_for("/a.tar") == 1
    site.files["/a.tar"] = content
    assert read(ShardCache(tmp_path, 10_000, QUICK), file) == content
