"""Predictions as the bytes of a CSV, Parquet or JSON file, and back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tracknet.utils.csv_rows import read_rows
from tracknet.utils.errors import UserError
from tracknet.utils.files import finite_or_none
from tracknet.utils.geometry import Size
from tracknet.utils.parquet import read_parquet

COLUMNS = ("frame", "time_s", "x", "y", "score", "visible")
"""That every file has."""
# A hundredth of a pixel and a microsecond: both far below what a model or a camera knows.
_DECIMALS = {
    "time_s": 6,
    "score": 6,
    "x": 2,
    "y": 2,
    "x_raw": 2,
    "y_raw": 2,
    "score_raw": 6,
    "event_score": 6,
}
_META = b"tracknet"
# Columns that CSV files write as 0 and 1, and columns whose empty cells are empty texts.
_FLAGS, _TEXTS = ("visible", "visible_raw", "filled"), ("event",)
_KINDS: dict[str, type] = {
    "frame": np.int64,
    **dict.fromkeys(_FLAGS, bool),
    **dict.fromkeys(("time_s", "x", "y", "score"), np.float64),
}


class Stored(NamedTuple):
    """What files keep of predictions.

    Attributes:
        columns: `[N]` by name, `COLUMNS` first, in the order in which files have them.
        frame_size: of the source; `None` where not known.
        about: what made them, plain values.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    frame_size: Size | None
    about: Mapping[str, Any]


def encode(predictions: Stored, form: str) -> bytes:
    """The bytes of a file of one of `FORMATS`."""
    return FORMATS[form](predictions)


def csv_header(columns: Sequence[str] = COLUMNS) -> str:
    """The first line."""
    return ",".join(columns) + "\n"


def csv_rows(columns: Mapping[str, npt.NDArray[Any]]) -> str:
    """A line per frame, of columns `[N]` by name."""
    written = [_csv_cells(name, values) for name, values in columns.items()]
    return "".join(",".join(cells) + "\n" for cells in zip(*written, strict=True))


def read(path: Path) -> Stored:
    """What `encode` wrote; the ending of the name says which format. Raises as `Predictions.read` does."""
    reader = {".csv": _read_csv, ".parquet": _read_parquet, ".json": _read_json}.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path} has no known ending", remedy="give a file that ends in .csv, .parquet or .json"
        )
    if not path.exists():
        raise UserError(f"there is no file {path}")
    try:
        return reader(path)
    except (ValueError, KeyError, TypeError) as error:  # pyarrow's own errors are ValueErrors too
        raise UserError(f"{path} holds no predictions: {error}") from None


def _to_csv(predictions: Stored) -> bytes:
    return (csv_header(tuple(predictions.columns)) + csv_rows(predictions.columns)).encode()


def _to_tracknetv2(predictions: Stored) -> bytes:
    lines = ["Frame,Visibility,X,Y\n"]
    columns = (predictions.columns[name].tolist() for name in ("frame", "visible", "x", "y"))
    for frame, visible, x, y in zip(*columns, strict=True):
        lines.append(f"{frame},1,{x:.2f},{y:.2f}\n" if visible else f"{frame},0,0,0\n")
    return "".join(lines).encode()


def _to_parquet(predictions: Stored) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(values, from_pandas=True)  # NaN is null
        for name, values in predictions.columns.items()
    }
    meta = {_META: json.dumps(_meta(predictions)).encode()}
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays).replace_schema_metadata(meta), sink)
    return sink.getvalue()


def _to_json(predictions: Stored) -> bytes:
    table = {name: values.tolist() for name, values in predictions.columns.items()}
    rows = [
        dict(zip(table, finite_or_none(cells), strict=True)) for cells in zip(*table.values(), strict=True)
    ]
    head = json.dumps(_meta(predictions), indent=2)[:-2]
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    return f'{head},\n  "frames": [\n{lines}\n]}}\n'.encode()


FORMATS: dict[str, Callable[[Stored], bytes]] = {
    "csv": _to_csv,
    "parquet": _to_parquet,
    "json": _to_json,
    "tracknetv2": _to_tracknetv2,
}


def _meta(predictions: Stored) -> dict[str, Any]:
    size = predictions.frame_size
    return {
        "about": finite_or_none(dict(predictions.about)),
        "frame_size": None if size is None else list(size),
    }


def _csv_cells(name: str, values: npt.NDArray[Any]) -> list[str]:
    if values.dtype == bool:
        return ["1" if value else "0" for value in values.tolist()]
    if values.dtype.kind == "f":
        decimals = _DECIMALS.get(name, 6)
        return ["" if value != value else f"{value:.{decimals}f}" for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def _read_csv(path: Path) -> Stored:
    rows = read_rows(path)
    header = rows[0].cells if rows else []
    if missing := [name for name in COLUMNS if name not in header]:
        raise ValueError(f"no column {', '.join(missing)}")
    for row in rows[1:]:
        if len(row.cells) != len(header):
            raise ValueError(f"line {row.line} has {len(row.cells)} cells, the header {len(header)}")
    cells = {name: [row.cells[at] for row in rows[1:]] for at, name in enumerate(header)}
    return _from_columns({name: _from_text(name, values) for name, values in cells.items()}, {})


def _read_parquet(path: Path) -> Stored:
    table = read_parquet(path.read_bytes())
    meta = json.loads((table.schema.metadata or {}).get(_META, b"{}"))
    columns = {}
    for name in table.column_names:
        # Only columns of floats have nulls, and they become NaN.
        columns[name] = table.column(name).to_numpy()
        if columns[name].dtype == object:
            columns[name] = columns[name].astype(str)
    return _from_columns(columns, meta)


def _read_json(path: Path) -> Stored:
    plain = json.loads(path.read_text(encoding="utf-8"))
    names = list(plain["frames"][0]) if plain["frames"] else list(COLUMNS)
    columns = {}
    for name in names:
        values = [row[name] for row in plain["frames"]]
        floats = any(value is None or isinstance(value, float) for value in values)
        columns[name] = np.array(values, np.float64) if floats else np.array(values)
    return _from_columns(columns, plain)


def _from_text(name: str, cells: list[str]) -> npt.NDArray[Any]:
    if name == "frame" or name in _FLAGS:
        return np.array(cells, np.int64)
    if name in _TEXTS:
        return np.array(cells, str)
    try:
        return np.array([cell or "nan" for cell in cells], np.float64)
    except ValueError:
        return np.array(cells, str)


def _from_columns(columns: dict[str, npt.NDArray[Any]], meta: dict[str, Any]) -> Stored:
    ordered = {name: columns[name] for name in COLUMNS} | columns
    size = meta.get("frame_size")
    return Stored(
        columns={
            name: values.astype(_KINDS[name]) if name in _KINDS else values
            for name, values in ordered.items()
        },
        frame_size=None if size is None else Size(*size),
        about=meta.get("about") or {},
    )
