"""The streams of built shards: shuffled for a training, in order for an evaluation, here or fetched ahead."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NoReturn

from tracknet.datasets.blocks import make_blocks, smallest
from tracknet.datasets.features import FeatureSet
from tracknet.datasets.fetch_ahead import RemoteShards
from tracknet.datasets.filters import choose_windows
from tracknet.datasets.lanes import default_order
from tracknet.datasets.plan import PlanConfig
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.sources import split_by_source
from tracknet.datasets.stream import WindowStream
from tracknet.datasets.topology import Topology
from tracknet.datasets.windows import make_windows
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.gigabytes import GB, at_least_gb
from tracknet.utils.settings import FilterConfig, LoaderConfig


def training_stream(
    shards: ShardSet,
    spec: SampleSpec,
    config: LoaderConfig,
    *,
    batch_size: int,
    seed: int,
    filters: FilterConfig | None = None,
    weights: Sequence[float] | None = None,
    topology: Topology | None = None,
    features: FeatureSet | None = None,
) -> WindowStream:
    """The shuffled stream over shards.

    Args:
        shards: the frames, of one build or of several.
        spec: what a sample looks like.
        config: lanes and run length; what it leaves open is chosen by `lanes.default_order`.
        batch_size: windows per step, over all ranks.
        seed: of the order.
        filters: which windows to leave out; none where not given.
        weights: of the sources, where shards are of several builds; their sizes where not given.
        topology: this process among all.
        features: of the shards' frames, for every batch.

    Raises:
        UserError: a filter leaves nothing, or fewer windows than one batch; a cache too small for two remote shards,
            for a mix or for features; and as `WindowStream` does.
    """
    filters = filters or FilterConfig()
    windows = make_windows(shards.table, spec.sequence)
    chosen = choose_windows(shards.table, windows, filters, map_frames=spec.map_frames)
    sources = split_by_source(chosen, shards)
    remote = _remote_shards(shards, features)
    blocks = None
    if remote is not None and not remote.fit:
        if shards.parts or features is not None:
            _refuse_blocks(remote, "data.features" if features is not None else "data.sources")
        blocks = make_blocks(
            chosen,
            windows,
            shards.shard_id,
            [file.bytes for file in remote.files],
            cache_bytes=remote.cache.max_bytes,
            batch_size=batch_size,
            seed=seed,
        )
        if spec.augment is not None and spec.augment.looks_around:
            _refuse_looking_around(remote)
    ordered_at_once = smallest(blocks) if blocks is not None else len(chosen)
    lanes, run_length = default_order(ordered_at_once, batch_size, spec.sequence, filters.every)
    plan = PlanConfig(
        seed=seed,
        batch_size=batch_size,
        lanes=config.lanes or lanes,
        run_length=config.run_length or run_length,
    )
    return WindowStream(
        shards.table,
        functools.partial(ShardReader, shards),
        spec,
        batch_size=batch_size,
        plan=plan,
        sources=sources,
        weights=weights,
        topology=topology,
        filters=filters,
        remote=remote,
        blocks=blocks,
        features=features,
    )


def evaluation_stream(
    shards: ShardSet,
    spec: SampleSpec,
    *,
    batch_size: int,
    topology: Topology | None = None,
    features: FeatureSet | None = None,
) -> WindowStream:
    """Every window of the shards once over all ranks, in canonical order.

    Remote shards are fetched ahead where the cache holds all of them: so each that is fetched pushes out others, as
    of a training, and not those that this evaluation needs next because they were used longest ago, in the last one.
    """
    remote = _remote_shards(shards, features, read=True)
    return WindowStream(
        shards.table,
        functools.partial(ShardReader, shards),
        spec,
        batch_size=batch_size,
        plan=None,
        topology=topology,
        remote=remote if remote is not None and remote.fit else None,
        features=features,
    )


def check_stored_size(shards: ShardSet, input_size: Size) -> None:
    """Raises UserError unless the frames are stored at the model's input size."""
    stored = shards.manifest.image_size
    if stored != input_size:
        where = " and ".join(map(str, shards.folders()))
        raise UserError(
            f"the shards in {where} hold frames of {stored}, the model takes {input_size}",
            remedy=f"train at the stored size (data.resize=[{stored.width},{stored.height}]) or build shards for this "
            "one: python -m pipelines.build_shards --root YOUR_DATA --out ANOTHER_FOLDER "
            f"data.resize=[{input_size.width},{input_size.height}]",
        )


def _remote_shards(
    shards: ShardSet, features: FeatureSet | None, *, read: bool = False
) -> RemoteShards | None:
    """What is to be fetched: frames where they are wanted, and their features; `read` as of `RemoteShards.of`."""
    wanted = [shards] if features is None or features.with_frames else []
    wanted += [] if features is None else [features.shards]
    cache = next((one.cache for one in wanted if one.cache is not None), None)
    files = tuple(file for one in wanted for file in one.remote_shards(read=read))
    return None if cache is None else RemoteShards(cache, files)


def _refuse_blocks(remote: RemoteShards, key: str) -> NoReturn:
    why, other = {
        "data.sources": ("several sources are mixed only where all of them are there", "train on one source"),
        "data.features": ("features are streamed only where all of them are there", "copy the features here"),
    }[key]
    raise UserError(
        f"the remote shards of {key} have {remote.bytes / GB:.2f} GB together, data.cache.max_gb allows "
        f"{remote.cache.max_bytes / GB:.2f}: {why}",
        remedy=f"set data.cache.max_gb to at least {at_least_gb(remote.bytes)}, or {other}",
    )


def _refuse_looking_around(remote: RemoteShards) -> NoReturn:
    raise UserError(
        f"data.augment.paste and streak look at frames around a window, and of the {remote.bytes / GB:.2f} GB of "
        f"remote shards data.cache.max_gb keeps {remote.cache.max_bytes / GB:.2f}",
        remedy=f"set data.cache.max_gb to at least {at_least_gb(remote.bytes)}, or both of their prob to 0",
    )
