"""Training and evaluation from a real HTTP server: the batches that local shards give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.http_server import Site
from tests.datasets.remote_shards import BATCH, CONFIG, MODES, QUICK, a_third, loader_of, remote, stream_of
from tests.datasets.test_stream import assert_equal
from tracknet.datasets.batch import Batch
from tracknet.datasets.fetch_ahead import RemoteShards, room_wanted
from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream
from tracknet.datasets.sources import join_shards

pytestmark = pytest.mark.usefixtures("uploaded")


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
    asked = [request.path for request in site.requests if request.path.endswith(".tar")]
    assert len(asked) == len(set(asked)) == 6  # each once: the second epoch is served from the cache


def test_evaluation_goes_through_the_cache(
    site: Site, build: Path, tmp_path: Path, plain_spec: SampleSpec, local: ShardSet
) -> None:
    def batches(shards: ShardSet) -> list[Batch]:
        return list(StreamLoader(evaluation_stream(shards, plain_spec, batch_size=5), CONFIG).epoch())

    assert_equal(batches(remote(site, tmp_path, split="val")), batches(open_split(build, "val")))
    # 128 frames in canonical order through room for two of six shards.
    assert_equal(batches(remote(site, tmp_path / "small", a_third(local))), batches(local))


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


def test_a_mix_of_here_and_there(site: Site, build: Path, tmp_path: Path, spec: SampleSpec) -> None:
    cache = ShardCache(tmp_path, 10**9, QUICK)
    here, there = f"{build}/train-00[0-2].tar", f"{site.url}/shards/train-00[3-5].tar"
    mixed = join_shards([open_shards(expand_shards([spec], cache)) for spec in (here, there)])
    local = join_shards(
        [open_shards(expand_shards([f"{build}/train-00{n}.tar"])) for n in ("[0-2]", "[3-5]")]
    )
    assert mixed.describe() == local.describe()
    assert_equal(list(loader_of(mixed, spec).epoch()), list(loader_of(local, spec).epoch()))
