"""Training from a real HTTP server with room for a few of its shards, which pass through the cache."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.datasets.conftest import STORED
from tests.datasets.http_server import Site
from tests.datasets.remote_shards import BATCH, MODES, QUICK, a_third, loader_of, remote, stream_of
from tests.datasets.test_stream import assert_equal
from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.sources import join_shards
from tracknet.utils.errors import UserError
from tracknet.utils.settings import PasteConfig

pytestmark = pytest.mark.usefixtures("uploaded")


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
        fetched.append({request.path for request in site.requests})
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
    assert (
        Counter(request.path for request in site.requests if request.path.endswith(".tar")).most_common(1)[0][
            1
        ]
        == 1
    )


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
