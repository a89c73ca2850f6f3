"""Reads every byte of a build once and holds it against manifest and index: all faults, by shard and key.

A shard is hashed, walked member by member and compared in one pass, with one member in memory at a time. What
is behind a fault is still checked, so that several faults in one shard are all found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tracknet.datasets.contents import Contents
from tracknet.datasets.schema import INDEX_NAME, MANIFEST_NAME
from tracknet.datasets.verify_features import FeatureShardCheck
from tracknet.datasets.verify_shard import BuildFault, ShardCheck
from tracknet.utils.tar_header import shown

MOST_FAULTS = 1000
"""Kept for each shard; the others are counted."""


@dataclass(slots=True)
class Verification:
    """What was read and what is wrong with it.

    Attributes:
        shards: read.
        frames: whose bytes have the checksum that the index states.
        bytes: read.
        faults: in the order of the manifest.
        more_faults: beyond `MOST_FAULTS` in one shard, counted only.
        notes: differences that are no damage.
    """

    shards: int = 0
    frames: int = 0
    bytes: int = 0
    faults: list[BuildFault] = field(default_factory=list)
    more_faults: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Of all faults."""
        return len(self.faults) + self.more_faults


def verify_build(
    contents: Contents, *, decode: bool = False, on_bytes: Callable[[int], object] = lambda count: None
) -> Verification:
    """Checks a build as a whole.

    Args:
        contents: its manifest and index.
        decode: decode every picture (or its features) too, which takes ten times as long and finds nothing in what
            was built and is undamaged.
        on_bytes: told how many bytes were read, again and again.
    """
    result = Verification()
    result.faults += _build_faults(contents)
    rows_of_shard: dict[str, list[int]] = {}
    for row, name in enumerate(contents["shard"].tolist()):
        rows_of_shard.setdefault(name, []).append(row)
    known = {entry.name for entry in contents.manifest.shards}
    for name in rows_of_shard.keys() - known:
        count = len(rows_of_shard[name])
        result.faults.append(
            BuildFault(INDEX_NAME, None, f"{count:,} rows are of {shown(name)!r}, no shard of this build")
        )
    older_labels = 0
    for entry in contents.manifest.shards:
        rows = np.array(rows_of_shard.get(entry.name, []), np.int64)
        kind = FeatureShardCheck if contents.manifest.features else ShardCheck
        check = kind(contents, entry, rows, decode=decode)
        faults = list(_capped(check.run(on_bytes), result))
        if check.sha256 not in ("", entry.sha256) and not faults:
            faults = [
                BuildFault(
                    entry.name,
                    None,
                    "its bytes are not those that were built (sha256), though every "
                    "member is as the index says: its headers or labels were changed",
                )
            ]
        result.faults += faults
        result.shards += bool(check.sha256)
        result.frames += check.good_frames
        result.bytes += check.bytes_read
        older_labels += check.older_labels
    if older_labels:
        result.notes.append(
            f"{older_labels:,} labels are newer in {INDEX_NAME}, which has authority, than in the tars' KEY.json"
        )
    return result


def _capped(faults: Iterator[BuildFault], result: Verification) -> Iterator[BuildFault]:
    for number, fault in enumerate(faults):
        if number < MOST_FAULTS:
            yield fault
        else:
            result.more_faults += 1


def _build_faults(contents: Contents) -> Iterator[BuildFault]:
    """What index and manifest alone give away."""
    manifest = contents.manifest
    if not contents.index_is_the_manifests:
        yield BuildFault(INDEX_NAME, None, f"is not the index that {MANIFEST_NAME} was written with (sha256)")
    names = [entry.name for entry in manifest.shards]
    for name, count in Counter(names).items():
        if count > 1:
            yield BuildFault(MANIFEST_NAME, None, f"lists {name} {count} times")
    for path in sorted(contents.folder.glob("*.tar")):
        if path.name not in names:
            yield BuildFault(path.name, None, f"is no shard of this build: {MANIFEST_NAME} does not list it")
    frames = zip(*(contents[name].tolist() for name in ("game", "clip", "frame")), strict=True)
    for what, values in (
        ("key", contents["key"].tolist()),
        ("frame", ["{}/{} {}".format(*f) for f in frames]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                yield BuildFault(INDEX_NAME, None, f"has {count} rows of {what} {shown(value)}")
    split_of = {entry.name: entry.split for entry in manifest.shards}
    wrong = Counter(
        (shard, split)
        for shard, split in zip(contents["shard"].tolist(), contents["split"].tolist(), strict=True)
        if split_of.get(shard, split) != split
    )
    for (shard, split), count in wrong.items():
        yield BuildFault(
            INDEX_NAME,
            None,
            f"{count:,} rows of {shard} are of split {shown(split)!r}, not {split_of[shard]}",
        )
    for where, stated, found in _totals(contents):
        if stated != found:
            yield BuildFault(MANIFEST_NAME, None, f"totals: {where} is {stated}, the index has {found}")


def _totals(contents: Contents) -> Iterator[tuple[str, Any, Any]]:
    """Every total that the manifest states, as (name, stated, found)."""
    totals = contents.manifest.totals
    yield "frames", totals.get("frames"), len(contents)
    yield "bytes", totals.get("bytes"), sum(entry.bytes for entry in contents.manifest.shards)
    clips = contents.clip_ids
    parts = totals.get("splits")
    for split, stated in (parts if isinstance(parts, dict) else {}).items():
        mine = contents["split"] == split
        counts = Counter(contents["visibility"][mine].tolist())
        found: dict[str, Any] = {
            "frames": int(mine.sum()),
            "games": len(set(contents["game"][mine].tolist())),
            "clips": len(np.unique(clips[mine])),
            "visibility": {str(code): counts[code] for code in sorted(counts)},
            "shards": len(list(contents.manifest.shards_of(split))),
        }
        for name, value in found.items():
            yield f"{split} {name}", stated.get(name) if isinstance(stated, dict) else None, value
