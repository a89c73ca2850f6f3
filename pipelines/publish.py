"""From finished shards to `index.parquet` and `manifest.json`: equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tracknet.datasets.manifest import Manifest, ShardEntry
from tracknet.datasets.schema import FORMAT_VERSION, SPLITS, index_schema
from tracknet.utils.geometry import Size
from tracknet.utils.naming import natural_key

# What a dataset is made of, whatever file of whatever bytes it ended in.
_IDENTITY = (
    *("key", "split", "segment", "visibility", "x_px", "y_px", "status"),
    *("source_width", "source_height", "source", "source_sha256"),
)

Rows = Sequence[dict[str, Any]]


def sort_rows(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in the index's order: split, game, clip, frame."""
    order_of: dict[tuple[str, str, str], tuple[Any, ...]] = {}

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        clip = row["split"], row["game"], row["clip"]
        if clip not in order_of:
            split, game, name = clip
            order_of[clip] = (SPLITS.index(split), natural_key(game), game, natural_key(name), name)
        return *order_of[clip], row["frame"]

    return sorted(rows, key=order)


def index_bytes(rows: Rows) -> bytes:
    """The rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=index_schema()), sink, compression="zstd")
    return bytes(sink.getvalue())


def build_id(config: dict[str, Any], rows: Rows) -> str:
    """Hash of the configuration, the sources' content and the labels; of no path, date or machine."""
    digest = hashlib.sha256(
        json.dumps({"version": FORMAT_VERSION, "config": config}, sort_keys=True).encode()
    )
    for row in rows:
        digest.update(json.dumps([row[name] for name in _IDENTITY]).encode())
    return digest.hexdigest()


def make_manifest(
    *,
    config: dict[str, Any],
    image_size: Size,
    games: dict[str, list[str]],
    shards: Sequence[ShardEntry],
    rows: Rows,
    index: bytes,
) -> Manifest:
    """The manifest of finished shards; `rows` sorted and `index` made of them."""
    return Manifest(
        build_id=build_id(config, rows),
        image_size=image_size,
        config=config,
        games=games,
        shards=tuple(sorted(shards, key=lambda entry: (SPLITS.index(entry.split), entry.name))),
        index_sha256=hashlib.sha256(index).hexdigest(),
        totals={
            "frames": len(rows),
            "bytes": sum(entry.bytes for entry in shards),
            "splits": {split: _totals(split, shards, rows) for split in games},
        },
    )


def _totals(split: str, shards: Sequence[ShardEntry], rows: Rows) -> dict[str, Any]:
    mine = [row for row in rows if row["split"] == split]
    entries = [entry for entry in shards if entry.split == split]
    visibility = Counter(row["visibility"] for row in mine)
    return {
        "games": len({row["game"] for row in mine}),
        "clips": len({(row["game"], row["clip"]) for row in mine}),
        "frames": len(mine),
        "visibility": {str(code): visibility[code] for code in sorted(visibility)},
        "shards": len(entries),
        "bytes": sum(entry.bytes for entry in entries),
    }
