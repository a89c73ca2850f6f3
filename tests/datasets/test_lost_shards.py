"""A shard that cannot be had is remembered for a while, and no longer."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from tests.datasets.cached_files import QUICK, put, read
from tests.datasets.http_server import Site
from tracknet.datasets import lost_shards
from tracknet.datasets.remote_file import Patience, RemoteFile
from tracknet.datasets.shard_cache import ShardCache
from tracknet.utils.errors import RunError

pytestmark = pytest.mark.usefixtures("small_parts")


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
