"""All rows of a build's index as columns, whatever their split: what statistics and verification go through."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.schema import INDEX_COLUMNS, INDEX_NAME, Manifest
from tracknet.datasets.table import NO_STATUS
from tracknet.utils.errors import RunError

_DTYPES = {"float64": np.float64, "int8": np.int8, "int32": np.int32, "int64": np.int64, "uint32": np.uint32}


@dataclass(frozen=True)
class Contents:
    """A build and its N index rows.

    Attributes:
        folder: of the build.
        manifest: of the build.
        columns: by name, `[N]` each: text as objects, numbers in the index's own types; NaN where there are no
            coordinates, -1 where there is no status.
        index_is_the_manifests: whether the index has the hash that the manifest states.
    """

    folder: Path
    manifest: Manifest
    columns: dict[str, npt.NDArray[Any]]
    index_is_the_manifests: bool

    def __len__(self) -> int:
        return len(self.columns["key"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    @property
    def clip_ids(self) -> npt.NDArray[np.int64]:
        """`[N]`: one number per (split, game, clip), in order of appearance in the index."""
        names = [self[name] for name in ("split", "game", "clip")]
        numbers: dict[tuple[str, ...], int] = {}
        return np.array(
            [numbers.setdefault(name, len(numbers)) for name in zip(*names, strict=True)], np.int64
        )

    @classmethod
    def read(cls, folder: Path) -> Contents:
        """Reads manifest and index.

        Raises:
            UserError: there is no manifest, or none of this format.
            RunError: there is no index, or it is no Parquet file with the columns of an index.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        manifest = Manifest.read(folder)
        path = folder / INDEX_NAME
        remedy = "run the build command again: it replaces what is missing or damaged and keeps the rest"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise RunError(f"{path} is missing", remedy=remedy) from None
        try:
            table = pq.read_table(io.BytesIO(content), columns=list(INDEX_COLUMNS))
            columns = {name: _column(table, name) for name in INDEX_COLUMNS}
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise RunError(f"{path} is damaged: {str(error).splitlines()[0]}", remedy=remedy) from None
        digest = hashlib.sha256(content).hexdigest()
        return cls(folder, manifest, columns, digest == manifest.index_sha256)


def _column(table: Any, name: str) -> npt.NDArray[Any]:
    kind, may_be_null = INDEX_COLUMNS[name]
    column = table.column(name)
    if not may_be_null and column.null_count:
        raise ValueError(f"{column.null_count} rows have no {name}")
    if str(column.type) != ("double" if kind == "float64" else kind):
        raise ValueError(f"column {name} is of type {column.type}, not {kind}")
    if name == "status":
        column = column.fill_null(NO_STATUS)
    values = column.to_numpy()
    return np.asarray(values, _DTYPES.get(kind, object))
