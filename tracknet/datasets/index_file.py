"""Reads `index.parquet`, which may be damaged or made to mislead, into columns of the types that it must have."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.manifest import THE_BUILD_COMMAND
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.schema import INDEX_COLUMNS, INDEX_NAME
from tracknet.datasets.table import NO_STATUS
from tracknet.utils.errors import RunError, first_line
from tracknet.utils.parquet import read_parquet

_DTYPES = {"float64": np.float64, "int8": np.int8, "int32": np.int32, "int64": np.int64, "uint32": np.uint32}

Columns = dict[str, npt.NDArray[Any]]


def build_again(command: str = THE_BUILD_COMMAND) -> str:
    """What makes a build whole."""
    return f"run {command} again: it replaces what is missing or damaged and keeps the rest"


def read_index(
    folder: Path | RemotePath,
    names: Sequence[str] = tuple(INDEX_COLUMNS),
    *,
    sha256: str | None = None,
    remedy: str = build_again(),
) -> tuple[Columns, str]:
    """The index of a build.

    Args:
        folder: of the build.
        names: of the columns wanted.
        sha256: that the file must have; `None` accepts any.
        remedy: what to do where it is missing or damaged.

    Returns:
        The columns by name, `[N]` each: text as objects, numbers in the index's own types; NaN where there are
        no coordinates, -1 where there is no status. And the file's SHA-256.

    Raises:
        RunError: there is no index, it has another hash, or it is no Parquet file with the columns of an index.
    """
    import pyarrow as pa

    path = folder / INDEX_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path} is missing", remedy=remedy) from None
    digest = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, digest):
        raise RunError(f"{path} is not the index that its manifest was written with", remedy=remedy)
    try:
        table = read_parquet(content, names)
        return {name: _column(table, name) for name in names}, digest
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise RunError(f"{path} is damaged: {first_line(error)}", remedy=remedy) from None


def as_rows(columns: Columns) -> list[dict[str, Any]]:
    """A whole index row by row, as it is written: Python's own numbers, `None` where there is nothing."""
    rows = [
        dict(zip(columns, values, strict=True))
        for values in zip(*(column.tolist() for column in columns.values()), strict=True)
    ]
    for row in rows:
        row["status"] = None if row["status"] == NO_STATUS else row["status"]
        for name in ("x_px", "y_px"):
            row[name] = None if math.isnan(row[name]) else row[name]
    return rows


def _column(table: Any, name: str) -> npt.NDArray[Any]:
    kind, may_be_null = INDEX_COLUMNS[name]
    column = table.column(name)
    if not may_be_null and column.null_count:
        raise ValueError(f"{column.null_count} rows have no {name}")
    if str(column.type) != ("double" if kind == "float64" else kind):
        raise ValueError(f"column {name} is of type {column.type}, not {kind}")
    if name == "status":
        column = column.fill_null(NO_STATUS)
    return np.asarray(column.to_numpy(), _DTYPES.get(kind, object))
