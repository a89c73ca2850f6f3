"""The shards that a training reads: of one build, or of several that are mixed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.lost_frames import LostFrames
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.table import FrameTable
from tracknet.utils.errors import UserError, shorten
from tracknet.utils.settings import DataConfig


@dataclass(frozen=True)
class Sources:
    """What a configuration trains and validates on.

    Attributes:
        train: the training frames of all sources.
        weights: of each source, in `train`'s order; `None` where there is one source, or where they go by size.
    """

    train: ShardSet
    weights: tuple[float, ...] | None

    def open_val(self) -> ShardSet | None:
        """All validation frames of the sources that have any; `None` where none has.

        Raises:
            RunError: a local shard is missing, cut or replaced, whatever may be skipped in training: a figure over
                other frames cannot be compared with the one before it.
        """
        parts = self.train.parts or (self.train,)
        having = [part for part in parts if any(True for _ in part.manifest.shards_of("val"))]
        # Two sources may be two shards of one build.
        folders = list(dict.fromkeys(part.folder for part in having))
        if not folders:
            return None
        return join_shards([open_split(folder, "val") for folder in folders])


def open_sources(data: DataConfig, say: Callable[[str], None] = print) -> Sources:
    """Opens `data.sources`, or `data.files` or `data.shards` where there are none.

    Args:
        data: the settings. With `loader.on_bad_frame` `skip` local training shards may be missing, cut or replaced:
            their frames count as bad ones when they are read, as those of remote shards that do not come.
        say: takes a line for the person watching about such shards, once all are known to be few enough
            (`loader.max_bad_frames`).

    Raises:
        UserError: shards of another split than train, sources whose frames are stored at different sizes, or shards
            that two sources share; all that are wrong are named.
        RunError: a shard or an index is damaged, or more frames are lost than may be skipped.
    """
    cache = ShardCache.of(data.cache)
    lost = LostFrames.of(data.loader)
    specs = [data.files or (data.shards,)] if data.sources is None else [one.shards for one in data.sources]
    sets = [_open_train(spec, cache, lost) for spec in specs]
    if lost is not None:
        lost.tell(say)
    if data.sources is None:
        return Sources(sets[0], None)
    _refuse_shared(sets)
    given = tuple(source.weight for source in data.sources if source.weight is not None)
    return Sources(join_shards(sets), given if len(given) == len(sets) > 1 else None)


def join_shards(sets: Sequence[ShardSet]) -> ShardSet:
    """Sets of frames as one, in the order given; one alone as it is.

    Raises:
        UserError: their frames are not all stored at one size.
    """
    if len(sets) == 1:
        return sets[0]
    if len({part.manifest.image_size for part in sets}) > 1:
        raise UserError(
            "the sources hold frames of different sizes",
            problems=[f"{part.folder}: {part.manifest.image_size}" for part in sets],
            remedy="build all of them with the same data.resize",
        )
    shards_before = np.cumsum([0, *(len(part.shard_names) for part in sets)])
    return ShardSet(
        folder=Path(),
        manifest=_manifest_of(sets),
        split=sets[0].split,
        table=FrameTable.concat([part.table for part in sets]),
        shard_names=tuple(str(part.folder / name) for part in sets for name in part.shard_names),
        shard_id=np.concatenate(
            [part.shard_id + before for part, before in zip(sets, shards_before, strict=False)]
        ).astype(np.int32),
        offset=np.concatenate([part.offset for part in sets]),
        size=np.concatenate([part.size for part in sets]),
        crc32c=np.concatenate([part.crc32c for part in sets]),
        parts=tuple(sets),
    )


def split_by_source(runs: WindowRuns, shards: ShardSet) -> list[WindowRuns]:
    """The windows of each build among the shards; raises UserError where one has none left."""
    ends = np.cumsum([len(part) for part in shards.parts or (shards,)])
    source_of = np.searchsorted(ends, runs.ids, side="right")
    sources = [runs.only(source_of == number) for number in range(len(ends))]
    empty = [f"data.sources[{number}]" for number, source in enumerate(sources) if not len(source)]
    if empty and len(runs):
        raise UserError(
            f"data.filter leaves nothing of {' and '.join(empty)}",
            remedy="loosen the filter, or leave out the source",
        )
    return sources


def _open_train(specs: Sequence[str], cache: ShardCache, on_lost: LostFrames | None) -> ShardSet:
    shards = open_shards(expand_shards(specs, cache, lost_too=on_lost is not None), on_lost=on_lost)
    if shards.split != "train":
        raise UserError(
            f"the shards given belong to the split {shards.split!r}",
            remedy="train on train-*.tar; validation finds its own shards beside them",
        )
    return shards


def _refuse_shared(sets: Sequence[ShardSet]) -> None:
    # By build and name, so that a copy in another folder is found too.
    first_with: dict[tuple[str, str], int] = {}
    problems = []
    for number, part in enumerate(sets):
        for name in part.shard_names:
            other = first_with.setdefault((part.manifest.build_id, name), number)
            if other != number:
                problems.append(f"{part.folder / name} is in data.sources[{other}] and [{number}]")
    if problems:
        raise UserError(
            f"{len(problems)} of the shards are given to two sources",
            problems=shorten(problems),
            remedy="name each shard once, and say with the weights what should come more often",
        )


def _manifest_of(sets: Sequence[ShardSet]) -> Manifest:
    """What stands for several builds: an id of all their ids, the games of all, no shards of its own."""
    manifests = [part.manifest for part in sets]
    splits = dict.fromkeys(split for manifest in manifests for split in manifest.games)
    return Manifest(
        build_id=hashlib.sha256(" ".join(manifest.build_id for manifest in manifests).encode()).hexdigest(),
        image_size=manifests[0].image_size,
        config={},
        games={
            split: list(dict.fromkeys(game for m in manifests for game in m.games.get(split, [])))
            for split in splits
        },
        shards=(),
        index_sha256="",
    )
