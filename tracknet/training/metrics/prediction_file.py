"""predictions.parquet: a row per frame, what was said beside what is true, so that a model runs only once.

    key split game clip frame          who the frame is
    x_px y_px score blob_score         the guess, in frame pixels; x and y null where none was made
    true_x_px true_y_px                the label; null where the ball is absent
    visibility status width height     the label's codes (status null where there is none), the frame's size

The file's metadata are the fields of `PredictionOrigin`, in JSON where they are no text, and `crc32`, the checksum
of these and of every row. A file without it (of another program, or of before) is taken at its word.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.schema import Status, Visibility
from tracknet.datasets.table import NO_STATUS, FrameTable
from tracknet.training.metrics.origin import PredictionOrigin, ThresholdOrigin
from tracknet.training.metrics.prediction_checksum import CHECKSUM_KEY, checksum_of
from tracknet.training.metrics.predictions import Predictions
from tracknet.utils.errors import RunError, UserError, first_line
from tracknet.utils.files import finite_or_none, replace_file
from tracknet.utils.naming import listed
from tracknet.utils.parquet import read_parquet

PREDICTIONS_NAME = "predictions.parquet"

# Column -> (Arrow type, may be null).
COLUMNS: dict[str, tuple[str, bool]] = {
    "key": ("string", False),
    "split": ("string", False),
    "game": ("string", False),
    "clip": ("string", False),
    "frame": ("int32", False),
    "x_px": ("float64", True),
    "y_px": ("float64", True),
    "score": ("float64", False),
    "blob_score": ("float64", False),
    "true_x_px": ("float64", True),
    "true_y_px": ("float64", True),
    "visibility": ("int8", False),
    "status": ("int8", True),
    "width": ("int32", False),
    "height": ("int32", False),
}


def columns_of(predictions: Predictions, split: str) -> dict[str, npt.NDArray[Any]]:
    """The file's columns as arrays `[N]`: NaN for null coordinates, -1 for a null status."""
    frames = predictions.frames
    games, clips = np.array(frames.clips, object).reshape(-1, 2).T
    return {
        "key": np.array(frames.keys, object),
        "split": np.full(len(frames), split, object),
        "game": games[frames.clip_id],
        "clip": clips[frames.clip_id],
        "frame": frames.frame,
        "x_px": predictions.xy_px[:, 0],
        "y_px": predictions.xy_px[:, 1],
        "score": predictions.score,
        "blob_score": predictions.blob_score,
        "true_x_px": frames.xy_px[:, 0],
        "true_y_px": frames.xy_px[:, 1],
        "visibility": frames.visibility,
        "status": frames.status,
        "width": frames.source_size[:, 0],
        "height": frames.source_size[:, 1],
    }


def write_predictions(path: Path, predictions: Predictions, origin: PredictionOrigin) -> None:
    """Writes the file in one step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = []
    for name, values in columns_of(predictions, origin.split).items():
        kind, nullable = COLUMNS[name]
        missing = None
        if nullable:
            missing = values == NO_STATUS if name == "status" else np.isnan(values)
        arrays.append(pa.array(values, getattr(pa, kind)(), mask=missing))
    schema = pa.schema(
        [pa.field(name, getattr(pa, kind)(), nullable=null) for name, (kind, null) in COLUMNS.items()]
    )
    table = pa.table(arrays, schema=schema)
    metadata = _metadata(origin)
    metadata[CHECKSUM_KEY] = checksum_of(_values(table), metadata)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(metadata), buffer, compression="zstd", write_page_checksum=True
    )
    replace_file(path, buffer.getvalue())


def read_predictions(path: Path) -> tuple[Predictions, PredictionOrigin]:
    """Predictions and where they come from; labels are those that the file was written with.

    Raises:
        UserError: there is no such file, or it is none of predictions.
        RunError: it is damaged.
    """
    if not path.is_file():
        raise UserError(f"there is no predictions file {path}")
    columns, metadata = _read_columns(path)
    if not columns["key"]:
        raise UserError(
            f"{path} holds no rows: there is nothing to score", remedy="predict the frames of a split into it"
        )
    holes = [name for name, (_, null) in COLUMNS.items() if not null and None in columns[name]]
    if holes:
        raise RunError(f"{path} has rows without {', '.join(holes)}")
    try:
        predictions = _from_columns(columns)
    except (TypeError, ValueError, OverflowError) as error:
        raise RunError(f"{path} has a column of another kind than it should be: {error}") from None
    _check(path, predictions)
    return predictions, _origin(path, metadata, columns["split"])


def onto(predictions: Predictions, table: FrameTable, what: str) -> tuple[Predictions, list[str]]:
    """The same guesses for the frames and labels of another table, which has authority.

    Args:
        predictions: by key.
        table: the frames to be scored.
        what: where the predictions come from, for messages.

    Returns:
        Predictions for every frame of `table`, and notes on what did not fit: a frame without a prediction
        counts as one without a detection.

    Raises:
        UserError: whole clips are missing.
    """
    row_of = {key: row for row, key in enumerate(predictions.frames.keys)}
    rows = np.array([row_of.get(key, -1) for key in table.keys], np.int64)
    check_clips(table, rows >= 0, what)
    empty = np.full((1, 2), np.nan)
    found = Predictions(
        frames=table,
        # Row -1 is the one that stands for none.
        xy_px=np.concatenate([predictions.xy_px, empty])[rows],
        score=np.append(predictions.score, 0.0)[rows],
        blob_score=np.append(predictions.blob_score, 0.0)[rows],
    )
    return found, fit_notes(len(table), int((rows >= 0).sum()), len(predictions), what)


def check_clips(table: FrameTable, covered: npt.NDArray[np.bool_], what: str) -> None:
    """Raises UserError naming every clip of which no frame is covered."""
    frames = np.bincount(table.clip_id, minlength=len(table.clips))
    found = np.bincount(table.clip_id[covered], minlength=len(table.clips))
    missing = [
        f"{game}/{clip}" for (game, clip), n, m in zip(table.clips, frames, found, strict=True) if n > 0 == m
    ]
    if missing:
        raise UserError(
            f"{what} has no prediction for {len(missing)} of {int((frames > 0).sum())} clips",
            problems=[listed(missing, 20)],
            remedy="predict these clips too, or name the split that was predicted with --split",
        )


def fit_notes(asked: int, found: int, given: int, what: str) -> list[str]:
    """What to tell of frames without a prediction, and of predictions without a frame."""
    notes = []
    if found < asked:
        notes.append(
            f"{what} has no row for {asked - found:,} of {asked:,} frames: counted as without a detection"
        )
    if given > found:
        notes.append(f"{what} has {given - found:,} rows for frames that are not in this split: left out")
    return notes


def _read_columns(path: Path) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """The columns' values and the metadata, as they were written."""
    import pyarrow as pa

    again = "write it again: tracknet evaluate MODEL --shards shards"
    # A flipped bit may give a column another name or type, and so nearly any error on the way to its values.
    on_damage = (pa.ArrowException, OSError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
    try:
        table = read_parquet(path.read_bytes())
        names = table.column_names
        metadata = {key.decode(): text.decode() for key, text in (table.schema.metadata or {}).items()}
        columns = _values(table)
        was = metadata.get(CHECKSUM_KEY)
        # Only where there is one: it takes no nulls, and what has nulls where there may be none is told by its name.
        now = None if was is None else checksum_of(columns, metadata)
    except on_damage as error:
        raise RunError(f"{path} is no Parquet file, or damaged: {first_line(error)}", remedy=again) from None
    lacking = [name for name in COLUMNS if name not in names]
    if lacking:
        raise UserError(
            f"{path} lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}",
            remedy="give a predictions.parquet as evaluate writes it, or a folder with GAME_CLIP.csv per clip",
        )
    if was != now:
        raise RunError(
            f"{path} is damaged, or was changed: its {len(columns['key']):,} rows and metadata have the checksum "
            f"{now}, and were written with {was}",
            remedy=f"{again}; other predictions than a model's are read from a folder with GAME_CLIP.csv per clip",
        )
    return columns, metadata


def _values(table: Any) -> dict[str, list[Any]]:
    """Those of the file's columns that are there, as plain values."""
    return {name: table.column(name).to_pylist() for name in COLUMNS if name in table.column_names}


def _from_columns(columns: Mapping[str, list[Any]]) -> Predictions:
    clips = list(dict.fromkeys(zip(columns["game"], columns["clip"], strict=True)))
    number = {clip: index for index, clip in enumerate(clips)}
    clip_id = np.array([number[c] for c in zip(columns["game"], columns["clip"], strict=True)], np.int32)
    frame = np.array(columns["frame"], np.int32)
    order = np.lexsort((frame, clip_id))

    def pair(x: str, y: str, kind: Any) -> npt.NDArray[Any]:
        # None becomes NaN.
        return np.stack([np.array(columns[x], kind), np.array(columns[y], kind)], axis=1)

    frames = FrameTable(
        keys=columns["key"],
        clips=clips,
        clip_id=clip_id,
        frame=frame,
        xy_px=pair("true_x_px", "true_y_px", np.float64),
        visibility=np.array(columns["visibility"], np.int8),
        status=np.array([NO_STATUS if code is None else code for code in columns["status"]], np.int8),
        source_size=pair("width", "height", np.int32),
    )
    return Predictions(
        frames=frames.take(order),
        xy_px=pair("x_px", "y_px", np.float64)[order],
        score=np.array(columns["score"], np.float64)[order],
        blob_score=np.array(columns["blob_score"], np.float64)[order],
    )


def _check(path: Path, predictions: Predictions) -> None:
    frames = predictions.frames
    wrong = {
        "a frame size below 1": (frames.source_size < 1).any(axis=1),
        "a guess of one coordinate, or an infinite one": np.isinf(predictions.xy_px).any(axis=1)
        | (np.isnan(predictions.xy_px).sum(axis=1) == 1),
        "a score that is no number": ~np.isfinite(predictions.score) | ~np.isfinite(predictions.blob_score),
        "visibility other than 0 to 3": (frames.visibility < 0) | (frames.visibility >= len(Visibility)),
        "a status other than 0 to 2": (frames.status < NO_STATUS) | (frames.status >= len(Status)),
        "a ball without coordinates": (frames.visibility > 0) & ~np.isfinite(frames.xy_px).all(axis=1),
    }
    problems = [
        f"{int(rows.sum()):,} with {what}, the first {frames.keys[int(rows.argmax())]}"
        for what, rows in wrong.items()
        if rows.any()
    ]
    doubled = len(frames) - len(set(frames.keys))
    if doubled:
        problems.append(f"{doubled:,} that repeat the key of another")
    if problems:
        raise RunError(f"{path} has rows that cannot be scored", problems=problems)


def _metadata(origin: PredictionOrigin) -> dict[str, str]:
    values = {f.name: getattr(origin, f.name) for f in fields(origin)}
    if origin.threshold_chosen_on is not None:
        values["threshold_chosen_on"] = origin.threshold_chosen_on.to_plain()
    return {
        name: value if isinstance(value, str) else json.dumps(finite_or_none(value))
        for name, value in values.items()
    }


def _origin(path: Path, metadata: Mapping[str, str], splits: list[str]) -> PredictionOrigin:
    origin = PredictionOrigin(model=str(path), build_id="", split=splits[0], threshold=0.5)
    known = {f.name for f in fields(PredictionOrigin)}
    read: dict[str, Any] = {name: text for name, text in metadata.items() if name in known}
    try:
        for name in read.keys() & {"threshold", "threshold_chosen_on", "flip", "provenance"}:
            read[name] = json.loads(read[name])
        if "threshold" in read:
            read["threshold"] = float(read["threshold"])
        if "threshold_chosen_on" in read:
            read["threshold_chosen_on"] = ThresholdOrigin.read(read["threshold_chosen_on"])
        if not isinstance(read.get("provenance", {}), dict):
            raise ValueError(f"provenance is {read['provenance']!r}")
    except (ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path} has damaged metadata: {error}") from None
    return replace(origin, **read)
