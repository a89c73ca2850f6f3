"""Changes to a build on disk, as a failing disk or somebody who means harm would make them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracknet.datasets.schema import index_schema

SHARD = "train-001.tar"


def rows_of(folder: Path, shard: str = SHARD) -> list[dict[str, Any]]:
    rows = [row for row in pq.read_table(folder / "index.parquet").to_pylist() if row["shard"] == shard]
    return sorted(rows, key=lambda row: int(row["offset"]))


def change(path: Path, edit: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)


def flip(path: Path, at: int, bit: int = 0) -> None:
    change(path, lambda data: data.__setitem__(at, data[at] ^ 1 << bit))


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    body = json.loads((folder / "manifest.json").read_text())
    edit(body)
    (folder / "manifest.json").write_text(json.dumps(body))


def edit_index(folder: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    """Rewrites the index and puts its hash into the manifest, as somebody who means harm would."""
    rows = pq.read_table(folder / "index.parquet").to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=index_schema()), folder / "index.parquet")
    digest = hashlib.sha256((folder / "index.parquet").read_bytes()).hexdigest()
    edit_manifest(folder, lambda body: body.update(index_sha256=digest))


def rewrite_tar(path: Path, edit: Callable[[list[tuple[tarfile.TarInfo, bytes]]], object]) -> None:
    with tarfile.open(path) as tar:
        members = [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]
    edit(members)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
