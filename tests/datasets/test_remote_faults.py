"""Training from a server that fails: what is outlived, what ends a run by name, and what is skipped."""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.datasets import http_server
from tests.datasets.http_server import Fault, Site
from tests.datasets.remote_shards import CONFIG, a_third, loader_of, remote, stream_of
from tests.datasets.test_stream import assert_equal
from tracknet.datasets import lost_shards
from tracknet.datasets.fetch_ahead import FetchAhead
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_file import Patience
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_set import ShardSet
from tracknet.utils.errors import Interrupted, RunError

pytestmark = pytest.mark.usefixtures("uploaded")


@pytest.mark.parametrize("fault", ["stall", "cut", "503", "wrong"])
def test_a_fault_while_training_is_outlived(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec, fault: Fault
) -> None:
    site.faults = {"/shards/train-002.tar": [fault], "/shards/index.parquet": ["503"]}
    loader = loader_of(remote(site, tmp_path), spec, "threads", 2)
    assert_equal(list(loader.epoch()), list(loader_of(local, spec).epoch()))
    loader.close()


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), ("threads", 2), ("processes", 2)])
def test_a_shard_that_cannot_be_had_ends_the_run_by_name(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec, mode: str, workers: int
) -> None:
    shards = remote(site, tmp_path, a_third(local))
    site.files["/shards/train-003.tar"] = site.files["/shards/train-004.tar"]
    loader = loader_of(shards, spec, mode, workers)
    with pytest.raises(RunError, match=r"/shards/train-003\.tar: "):
        list(loader.epoch())
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch-ahead"]


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), ("threads", 2), ("processes", 2)])
def test_a_shard_that_is_known_not_to_come_is_not_waited_for(
    site: Site, tmp_path: Path, spec: SampleSpec, monkeypatch: pytest.MonkeyPatch, mode: str, workers: int
) -> None:
    monkeypatch.setattr(http_server, "STALL_S", 5.0)
    shards = open_split(
        RemotePath(f"{site.url}/shards", ShardCache(tmp_path, 10**9, Patience(attempts=1, timeout_s=5.0))),
        "train",
    )
    site.faults = {f"/shards/{name}": ["stall"] for name in shards.shard_names}

    def known(self: FetchAhead) -> None:
        raise RunError("known by now")

    monkeypatch.setattr(FetchAhead, "check", known)
    with pytest.raises(RunError, match="known by now"):
        next(loader_of(shards, spec, mode, workers).epoch())


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), ("threads", 2), ("processes", 2)])
def test_a_stop_does_not_wait_for_a_silent_server(
    site: Site, tmp_path: Path, spec: SampleSpec, monkeypatch: pytest.MonkeyPatch, mode: str, workers: int
) -> None:
    monkeypatch.setattr(http_server, "STALL_S", 60.0)
    patient = ShardCache(tmp_path, 10**9, Patience(attempts=3, timeout_s=60.0))
    shards = open_split(RemotePath(f"{site.url}/shards", patient), "train")
    site.faults = {f"/shards/{name}": ["stall"] * 3 for name in shards.shard_names}
    loader = loader_of(shards, spec, mode, workers)
    began = time.monotonic()

    def stop() -> None:
        if time.monotonic() > began + 0.5:
            raise Interrupted("enough")

    loader.check_wait = stop
    with pytest.raises(Interrupted):
        next(loader.epoch())
    # Far below the timeout; not a measurement.
    assert time.monotonic() - began < 30
    assert not [
        thread.name for thread in threading.enumerate() if thread.name.startswith(("loader", "fetch"))
    ]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), ("threads", 2), ("processes", 2)])
def test_a_shard_that_cannot_be_had_may_be_skipped(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec, mode: str, workers: int
) -> None:
    """Exactly the windows with a frame of it are masked; it is named once, and its frames count."""
    del site.files["/shards/train-003.tar"]
    lost = set((local.shard_id == 3).nonzero()[0].tolist())
    said: list[str] = []
    config = replace(CONFIG, mode=mode, workers=workers, on_bad_frame="skip", max_bad_frames=len(lost))
    loader = StreamLoader(stream_of(remote(site, tmp_path), spec), config, warn=said.append)
    windows = loader.stream.windows
    masked = 0
    for batch in loader.epoch():
        rows = windows.rows(batch.rows[:, 0].numpy())
        expected = [not lost & set(of_window) for of_window in rows.tolist()]
        assert batch.valid.tolist() == expected
        masked += expected.count(False)
    loader.close()
    assert masked >= len(lost) == len(loader.faults) > 10
    assert [line for line in said if "train-003.tar" in line] == said
    assert len(said) == 1
    assert "there is no such file; its windows are masked (number 1 of at most" in said[0]


def test_more_frames_of_lost_shards_than_may_be_skipped_name_the_shard(
    site: Site, tmp_path: Path, spec: SampleSpec
) -> None:
    del site.files["/shards/train-003.tar"]
    config = replace(CONFIG, workers=0, on_bad_frame="skip", max_bad_frames=2)
    loader = StreamLoader(stream_of(remote(site, tmp_path), spec), config, warn=lambda line: None)
    with pytest.raises(
        RunError, match=r"3 bad frames are more than data\.loader\.max_bad_frames=2"
    ) as caught:
        list(loader.epoch())
    assert caught.value.problems == (
        f"{site.url}/shards/train-003.tar: there is no such file (3 frames so far)",
    )


def test_a_shard_that_is_lost_in_other_words_each_time_is_named_once(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_shards, "_LOST_FOR", 0)  # it is asked for again for each of its frames
    name = "/shards/train-003.tar"
    patience = Patience(attempts=1, timeout_s=5.0)
    shards = open_split(RemotePath(f"{site.url}/shards", ShardCache(tmp_path, 10**9, patience)), "train")
    site.faults[name] = [["503", "page"][number % 2] for number in range(999)]  # type: ignore[misc]
    lost = set((local.shard_id == 3).nonzero()[0].tolist())
    said: list[str] = []
    config = replace(CONFIG, workers=0, on_bad_frame="skip", max_bad_frames=len(lost))
    loader = StreamLoader(stream_of(shards, spec), config, warn=said.append)
    list(loader.epoch())
    loader.close()
    assert len(set(loader.faults.bad.values())) > 1
    assert len(said) == 1
    assert said[0].endswith("; so are those of other frames there, with no more words")
    few = StreamLoader(stream_of(shards, spec), replace(config, max_bad_frames=5), warn=lambda line: None)
    with pytest.raises(RunError, match="6 bad frames") as caught:
        list(few.epoch())
    (problem,) = caught.value.problems
    assert problem.startswith(f"{site.url}{name}: 1 attempts failed, the last with")
    assert problem.endswith(" (6 frames so far)")


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_copy_in_the_cache_is_fetched_anew(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: bool
) -> None:
    shards = remote(site, tmp_path)
    frame = ShardReader(shards).read(0)
    path = next(tmp_path.rglob("*.tar"))
    whole = path.read_bytes()
    at = int(shards.offset[0]) + 100
    path.write_bytes(whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert np.array_equal(ShardReader(shards).read(0), frame)
    assert path.read_bytes() == whole
    assert capsys.readouterr().err.count("is damaged; it is fetched anew") == 1
    assert not list(tmp_path.rglob("*.part"))


def test_a_flaw_in_the_cache_that_cannot_be_mended_says_what_to_delete(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One frame is lost for it, not the shard."""
    shards = remote(site, tmp_path)
    reader = ShardReader(shards)
    reader.read(0)
    site.files.clear()
    path = next(tmp_path.rglob("*.tar"))
    at = int(shards.offset[0]) + 100
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged") as caught:
        reader.read(0)
    assert caught.value.remedy == f"delete {path}: it is fetched again when it is needed"
    assert "the damaged copy stays: " in capsys.readouterr().err
    assert reader.read(1).any()
    # It is tried once.
    with pytest.raises(RunError, match="damaged"):
        reader.read(0)
    assert capsys.readouterr().err == ""
