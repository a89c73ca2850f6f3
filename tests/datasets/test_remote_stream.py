"""Training from a real HTTP server: the batches that local shards give, with room for all of them and without."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import build_shards
from tests.conftest import draw_dataset
from tests.datasets import http_server
from tests.datasets.conftest import STORED
from tests.datasets.http_server import Fault, Site, serve
from tests.datasets.test_stream import assert_equal
from tracknet.datasets import lost_shards
from tracknet.datasets.batch import Batch
from tracknet.datasets.fetch_ahead import FetchAhead, RemoteShards, room_wanted
from tracknet.datasets.index import ShardSet, open_shards, open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_file import Patience
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.shard_streams import evaluation_stream, training_stream
from tracknet.datasets.sources import join_shards, open_sources
from tracknet.datasets.stream import WindowStream
from tracknet.utils.errors import Interrupted, RunError, UserError
from tracknet.utils.settings import CacheConfig, DataConfig, LoaderConfig, PasteConfig

QUICK = Patience(attempts=3, timeout_s=0.5, pause_s=0.01)
CONFIG = LoaderConfig(workers=0, lanes=4, run_length=8)
BATCH = 4
MODES = [("threads", 0), ("threads", 1), ("threads", 2), ("processes", 1), ("processes", 2)]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """128 training frames in 6 shards, segments of 8; 12 of validation."""
    folder = tmp_path_factory.mktemp("remote")
    root = draw_dataset(folder / "raw", games=2, clips=4, frames=16, seed=4)
    held = draw_dataset(folder / "held", games=3, clips=1, frames=12, seed=5)
    shutil.move(held / "game3", root / "game3")
    arguments = ["--root", str(root), "--out", str(folder / "shards"), "--workers", "0", "--num-shards", "6"]
    options = [f"data.resize=[{STORED.width},{STORED.height}]", "data.segment_frames=8", "data.val_games=[3]"]
    assert build_shards.run([*arguments, *options]) == 0
    return folder / "shards"


@pytest.fixture
def site(build: Path) -> Iterator[Site]:
    with serve() as site:
        site.files = {f"/shards/{path.name}": path.read_bytes() for path in build.iterdir() if path.is_file()}
        yield site


@pytest.fixture
def local(build: Path) -> ShardSet:
    return open_split(build, "train")


def size_of(shards: ShardSet) -> int:
    return sum(entry.bytes for entry in shards.manifest.shards_of("train"))


def a_third(shards: ShardSet) -> int:
    """A cache for two of six shards, whichever they are."""
    return 2 * max(entry.bytes for entry in shards.manifest.shards)


def remote(site: Site, cache: Path, max_bytes: int = 10**9, split: str = "train") -> ShardSet:
    return open_split(RemotePath(f"{site.url}/shards", ShardCache(cache, max_bytes, QUICK)), split)


def stream_of(shards: ShardSet, spec: SampleSpec) -> WindowStream:
    return training_stream(shards, spec, CONFIG, batch_size=BATCH, seed=1)


def loader_of(shards: ShardSet, spec: SampleSpec, mode: str = "threads", workers: int = 0) -> StreamLoader:
    return StreamLoader(stream_of(shards, spec), replace(CONFIG, mode=mode, workers=workers))


# ---------------------------------------------------------------- opening


@pytest.mark.parametrize(
    "spec", ["", "/", "/manifest.json", "/train-{000..005}.tar", "/train-<000..005>.tar", "/train-*.tar"]
)
def test_urls_name_what_paths_name(site: Site, tmp_path: Path, local: ShardSet, spec: str) -> None:
    cache = ShardCache(tmp_path, 10**9, QUICK)
    shards = open_shards(expand_shards([f"{site.url}/shards{spec}"], cache))
    assert (shards.shard_names, shards.table.keys) == (local.shard_names, local.table.keys)
    assert shards.origin(0) == f"{site.url}/shards/{local.origin(0).rpartition('/')[2]}"
    assert shards.describe() == local.describe()
    assert not list(tmp_path.iterdir())  # no shard is fetched before it is read


def test_a_configuration_names_urls_and_validation_finds_its_own(site: Site, tmp_path: Path) -> None:
    cache = CacheConfig(dir=str(tmp_path), max_gb=0.5, timeout_s=2.0)
    sources = open_sources(DataConfig(shards=f"{site.url}/shards", cache=cache))
    assert len(sources.train) == 128
    val = sources.open_val()
    assert val is not None
    assert [str(folder) for folder in val.folders()] == [f"{site.url}/shards"]
    assert val.cache is not None
    assert (val.cache.folder, val.cache.max_bytes) == (tmp_path, 5 * 10**8)
    assert val.cache.patience == Patience(attempts=6, timeout_s=2.0)
    assert ShardReader(val).read(11).shape == (STORED.height, STORED.width, 3)


def test_the_usual_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ShardCache.of(CacheConfig()).folder == tmp_path / "tracknet" / "shards"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ShardCache.of(CacheConfig()).folder == tmp_path / ".cache" / "tracknet" / "shards"


def test_what_a_server_gives_is_checked_before_it_is_used(site: Site, tmp_path: Path) -> None:
    whole = site.files["/shards/index.parquet"]
    site.files["/shards/index.parquet"] = whole[:-9] + bytes(9)
    with pytest.raises(RunError, match=r"/shards/index\.parquet is not the index that its manifest"):
        remote(site, tmp_path)
    del site.files["/shards/index.parquet"]
    with pytest.raises(RunError, match=r"/shards/index\.parquet is missing"):
        remote(site, tmp_path)
    manifest = site.files["/shards/manifest.json"].decode()
    site.files["/shards/manifest.json"] = manifest.replace('"sha256": "', '"sha256": "../', 1).encode()
    with pytest.raises(RunError, match=r"its manifest gives it the hash '\.\./"):
        remote(site, tmp_path)
    site.files["/shards/manifest.json"] = manifest.replace("train-000.tar", "../evil.tar").encode()
    with pytest.raises(UserError, match=r"manifest\.json lists 1 shards that no build has"):
        remote(site, tmp_path)
    del site.files["/shards/manifest.json"]
    with pytest.raises(UserError, match=r"/shards has no manifest\.json"):
        remote(site, tmp_path)


def test_wrong_urls_are_named_without_their_secrets(site: Site, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 10**9, QUICK)
    with pytest.raises(UserError, match="runs a command to read data, which is refused"):
        expand_shards(["pipe:curl https://host/shards"], cache)
    with pytest.raises(UserError) as caught:
        expand_shards([f"{site.url}/shards/test-*.tar"], cache)
    assert caught.value.problems == (f"{site.url}/shards/test-*.tar: matches no file",)
    secret = site.url.replace("http://", "http://me:hush@") + "/nowhere?token=hush"
    with pytest.raises(UserError, match="has no manifest") as caught:
        expand_shards([secret], cache)
    assert "hush" not in str(caught.value)
    with pytest.raises(UserError, match=r"does not know train-009\.tar"):
        open_shards(expand_shards([f"{site.url}/shards/train-009.tar"], cache))


def test_a_librarys_message_is_told_without_the_query(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.faults["/shards/manifest.json?token=hush"] = ["503"] * 9
    with pytest.raises(
        RunError, match=r"3 attempts failed, the last with ClientResponseError: 503"
    ) as caught:
        expand_shards([f"{site.url}/shards?token=hush"], ShardCache(tmp_path, 10**9, QUICK))
    assert f"{site.url}/shards/manifest.json?***" in str(caught.value)
    assert "hush" not in str(caught.value) + capsys.readouterr().err


def test_a_query_goes_with_every_file(tmp_path: Path) -> None:
    folder = RemotePath("https://host/shards/?sig=a/b", ShardCache(tmp_path, 1, QUICK))
    assert (folder / "x.tar").url == "https://host/shards/x.tar?sig=a/b"
    assert (folder / "x.tar").parent.url == "https://host/shards?sig=a/b"
    assert (folder.name, str(folder / "x.tar")) == ("shards", "https://host/shards/x.tar?***")


# ---------------------------------------------------------------- all shards fit


@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_batches_are_those_of_local_shards(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec, mode: str, workers: int
) -> None:
    loader = loader_of(remote(site, tmp_path), spec, mode, workers)
    assert loader.stream.describe_plan() == stream_of(local, spec).describe_plan()
    theirs = loader_of(local, spec)
    for epoch in range(2):
        assert_equal(list(loader.epoch(epoch)), list(theirs.epoch(epoch)))
    loader.close()
    asked = [path for path, _ in site.requests if path.endswith(".tar")]
    assert len(asked) == len(set(asked)) == 6  # each once: the second epoch is served from the cache


def test_evaluation_goes_through_the_cache(
    site: Site, build: Path, tmp_path: Path, plain_spec: SampleSpec, local: ShardSet
) -> None:
    def batches(shards: ShardSet) -> list[Batch]:
        return list(StreamLoader(evaluation_stream(shards, plain_spec, batch_size=5), CONFIG).epoch())

    assert_equal(batches(remote(site, tmp_path, split="val")), batches(open_split(build, "val")))
    # 128 frames in canonical order through room for two of six shards.
    assert_equal(batches(remote(site, tmp_path / "small", a_third(local))), batches(local))


# ---------------------------------------------------------------- more shards than the cache holds


def test_what_an_evaluation_needs_is_fetched_ahead_or_its_room_is_named(
    site: Site, tmp_path: Path, spec: SampleSpec
) -> None:
    def both(max_bytes: int) -> tuple[RemoteShards, RemoteShards, bool]:
        train, val = (remote(site, tmp_path, max_bytes, split) for split in ("train", "val"))
        ahead = evaluation_stream(val, spec, batch_size=BATCH).fetch_ahead(0, 0)
        if ahead is not None:
            ahead.close()
        one, other = RemoteShards.of(train), RemoteShards.of(val)
        assert one is not None
        assert other is not None
        return one, other, ahead is not None

    train, val, fetched = both(10**9)
    assert (room_wanted(train, val), room_wanted(None, val), fetched) == (None, None, True)
    train, val, fetched = both(train.bytes + 1)
    assert "validation, and the epoch after it, fetch" in str(room_wanted(train, val))
    assert fetched
    train, val, fetched = both(val.bytes - 1)
    assert "fetched again for nearly every clip: set data.cache.max_gb to at least 0.0" in str(
        room_wanted(None, val)
    )
    assert not fetched


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[list[int]]:
    """The bytes in the cache, looked at all the time."""
    seen: list[int] = [0]
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.002):
            total = 0
            for path in [*tmp_path.rglob("*.tar"), *tmp_path.rglob("*.part")]:
                try:
                    total += path.stat().st_size
                except FileNotFoundError:
                    continue
            seen.append(total)

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    stop.set()
    thread.join()


@pytest.mark.parametrize(("mode", "workers"), MODES)
def test_blocks_pass_through_a_small_cache(
    site: Site,
    tmp_path: Path,
    local: ShardSet,
    spec: SampleSpec,
    watched: list[int],
    mode: str,
    workers: int,
) -> None:
    limit = a_third(local)
    loader = loader_of(remote(site, tmp_path, limit), spec, mode, workers)
    blocks = loader.stream.blocks
    assert blocks is not None
    assert len(blocks) == 6
    fetched = []
    for epoch in range(2):
        site.requests.clear()
        batches = list(loader.epoch(epoch))
        assert len(batches) == loader.num_steps
        shown = Counter(row for batch in batches for row in batch.rows.flatten().tolist())
        assert set(shown.values()) == {1}
        assert len(shown) + blocks.left_out + 6 * (BATCH - 1) >= 128
        fetched.append({path for path, _ in site.requests})
    # The frames are those of the shards.
    reader, rows = ShardReader(local), loader.stream.windows.rows(batches[0].rows.flatten().numpy())
    assert {local.shard_id[row] for row in rows.flatten()} <= {
        blocks.shards[loader.stream.plan_of(1).whole.order[0]][0]
    }
    assert reader.read(int(rows[0, 0])).shape == (STORED.height, STORED.width, 3)
    loader.close()
    assert len(fetched[0]) == 6
    assert len(fetched[1]) >= 4  # at most two were still there
    assert limit / 2 < max(watched) <= limit


def test_any_position_is_returned_to(site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec) -> None:
    limit = a_third(local)
    whole = list(loader_of(remote(site, tmp_path / "a", limit), spec).epoch(1))
    for mode, workers, step in (("threads", 2, 7), ("processes", 1, len(whole) - 1)):
        resumed = loader_of(remote(site, tmp_path / mode, limit), spec, mode, workers)
        assert_equal(list(resumed.epoch(1, step)), whole[step:])
        resumed.close()
    plan = stream_of(remote(site, tmp_path, limit), spec).describe_plan()
    assert (plan["blocks"], plan["cache_bytes"]) == (6, limit)
    other = stream_of(remote(site, tmp_path, limit + 1), spec).describe_plan()
    assert {key for key in plan if plan[key] != other[key]} == {"cache_bytes"}


def test_the_next_block_is_fetched_while_one_is_served(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec
) -> None:
    loader = loader_of(remote(site, tmp_path, a_third(local)), spec)
    batches = loader.epoch()
    next(batches)
    blocks, plan = loader.stream.blocks, loader.stream.plan_of(0).whole
    assert blocks is not None
    files = remote(site, tmp_path).remote_shards()
    second = files[blocks.shards[plan.order[1]][0]]
    cache = ShardCache(tmp_path, 0, QUICK)
    give_up_at = time.monotonic() + 5
    while not cache.holds(second):
        assert time.monotonic() < give_up_at, "not fetched ahead"
        time.sleep(0.01)
    loader.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "fetch-ahead"]


def test_what_is_waited_for_is_not_thrown_out(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec
) -> None:
    loader = loader_of(remote(site, tmp_path, 2 * a_third(local)), spec)
    assert loader.stream.blocks is not None
    assert [len(block) for block in loader.stream.blocks.shards] == [2, 2, 2]
    for _ in loader.epoch():
        time.sleep(0.01)
    assert Counter(path for path, _ in site.requests if path.endswith(".tar")).most_common(1)[0][1] == 1


def test_frames_of_shards_that_are_not_there_are_not_looked_for(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec
) -> None:
    assert spec.augment is not None
    pasting = replace(spec, augment=replace(spec.augment, paste=PasteConfig(prob=0.1)))
    with pytest.raises(UserError, match="paste and streak look at frames around a window") as caught:
        stream_of(remote(site, tmp_path, 2 * a_third(local)), pasting)
    assert "set data.cache.max_gb to at least" in str(caught.value.remedy)
    assert stream_of(remote(site, tmp_path / "all", 10**9), pasting).blocks is None


def test_a_cache_for_less_than_two_shards_and_a_mix_are_refused(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec
) -> None:
    with pytest.raises(UserError, match=r"holds less than two shards of 0\.000133 GB"):
        stream_of(remote(site, tmp_path, a_third(local) - 1), spec)
    halves = [
        open_shards(expand_shards([f"{site.url}/shards/{name}"], ShardCache(tmp_path, 10, QUICK)))
        for name in ("train-{000..002}.tar", "train-{003..005}.tar")
    ]
    with pytest.raises(UserError, match="several sources are mixed only where all of them are there"):
        stream_of(join_shards(halves), spec)


def test_a_mix_of_here_and_there(site: Site, build: Path, tmp_path: Path, spec: SampleSpec) -> None:
    cache = ShardCache(tmp_path, 10**9, QUICK)
    here, there = f"{build}/train-00[0-2].tar", f"{site.url}/shards/train-00[3-5].tar"
    mixed = join_shards([open_shards(expand_shards([spec], cache)) for spec in (here, there)])
    local = join_shards(
        [open_shards(expand_shards([f"{build}/train-00{n}.tar"])) for n in ("[0-2]", "[3-5]")]
    )
    assert mixed.describe() == local.describe()
    assert_equal(list(loader_of(mixed, spec).epoch()), list(loader_of(local, spec).epoch()))


# ---------------------------------------------------------------- servers that fail


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


def test_a_flaw_in_the_cache_is_found_and_says_what_to_delete(
    site: Site, tmp_path: Path, spec: SampleSpec
) -> None:
    shards = remote(site, tmp_path)
    reader = ShardReader(shards)
    reader.read(0)
    path = next(tmp_path.rglob("*.tar"))
    at = int(shards.offset[0]) + 100
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match="damaged") as caught:
        reader.read(0)
    assert caught.value.remedy == f"delete {path}: it is fetched again when it is needed"


def _serve_an_epoch(url: str, cache: Path, limit: int, spec: SampleSpec, rows: object) -> None:
    shards = open_split(RemotePath(url, ShardCache(cache, limit, QUICK)), "train")
    found = [batch.rows.flatten().tolist() for batch in loader_of(shards, spec, "threads", 1).epoch()]
    rows.put(found)  # type: ignore[attr-defined]


def test_trainings_that_share_a_cache_do_not_disturb_each_other(
    site: Site, tmp_path: Path, local: ShardSet, spec: SampleSpec, watched: list[int]
) -> None:
    limit = a_third(local)
    context = multiprocessing.get_context("fork")
    rows = context.Queue()
    for _ in range(2):
        context.Process(
            target=_serve_an_epoch, args=(f"{site.url}/shards", tmp_path, limit, spec, rows), daemon=True
        ).start()
    ones, others = rows.get(timeout=20), rows.get(timeout=20)
    expected = loader_of(remote(site, tmp_path / "own", limit), spec).epoch()
    assert ones == others == [batch.rows.flatten().tolist() for batch in expected]
    assert max(watched) <= 2 * limit  # its own and the one that was compared with
