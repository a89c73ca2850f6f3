"""A build on an HTTP server, and streams of it that give up soon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.datasets.http_server import Site
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.remote_file import Patience
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import training_stream
from tracknet.datasets.stream import WindowStream
from tracknet.utils.settings import LoaderConfig

QUICK = Patience(attempts=3, timeout_s=0.5, pause_s=0.01)
CONFIG = LoaderConfig(workers=0, lanes=4, run_length=8)
BATCH = 4
MODES = [("threads", 0), ("threads", 1), ("threads", 2), ("processes", 1), ("processes", 2)]


def a_third(shards: ShardSet) -> int:
    """A cache for two of six shards, whichever they are."""
    return 2 * max(entry.bytes for entry in shards.manifest.shards)


def remote(site: Site, cache: Path, max_bytes: int = 10**9, split: str = "train") -> ShardSet:
    return open_split(RemotePath(f"{site.url}/shards", ShardCache(cache, max_bytes, QUICK)), split)


def stream_of(shards: ShardSet, spec: SampleSpec) -> WindowStream:
    return training_stream(shards, spec, CONFIG, batch_size=BATCH, seed=1)


def loader_of(shards: ShardSet, spec: SampleSpec, mode: str = "threads", workers: int = 0) -> StreamLoader:
    return StreamLoader(stream_of(shards, spec), replace(CONFIG, mode=mode, workers=workers))
