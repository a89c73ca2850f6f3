"""predictions.parquet: what is written is read, and what is no such file is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.metrics.conftest import Frame, off_by, predictions_of
from tracknet.training.metrics import PredictionOrigin, Predictions, ThresholdOrigin
from tracknet.training.metrics.prediction_file import (
    COLUMNS,
    columns_of,
    onto,
    read_predictions,
    write_predictions,
)
from tracknet.utils.errors import RunError, UserError

FRAMES = [
    Frame((1.25, 2.5), (3.0, 4.0), 0.75, 2, ("game1", "Clip2"), status=1, blob=4.5),
    Frame(None, (5.0, 6.0), 0.25, 0, ("game1", "Clip2")),
    Frame((7.0, 8.0), None, 0.0, 3, ("game1", "Clip10"), number=4, size=(640, 360)),
]
ORIGIN = PredictionOrigin(
    "runs/a/model",
    "b" * 64,
    "val",
    0.375,
    threshold_chosen_on=ThresholdOrigin(("b" * 64,), "train", ("game1",), ("game1/Clip2",), "wasb"),
    decode="dark",
    provenance={"games": {"train": ["game1"]}, "step": 7, "loss": float("nan")},
)


def same(a: Predictions, b: Predictions) -> bool:
    columns, others = columns_of(a, "val"), columns_of(b, "val")
    for name in columns:
        np.testing.assert_array_equal(columns[name], others[name], err_msg=name)
    return True


def unsealed(path: Path) -> pa.Table:
    """The table as a program without checksums writes it."""
    table = pq.read_table(path)
    metadata = {key: text for key, text in table.schema.metadata.items() if key != b"crc32"}
    return table.replace_schema_metadata(metadata)


def test_comes_back_as_it_was(tmp_path: Path):
    path = tmp_path / "predictions.parquet"
    predictions = predictions_of(FRAMES)
    write_predictions(path, predictions, ORIGIN)
    back, origin = read_predictions(path)
    assert same(back, predictions)
    assert origin == replace(ORIGIN, provenance={**ORIGIN.provenance, "loss": None})
    table = pq.read_table(path)
    assert table.column_names == list(COLUMNS)
    assert table.column("x_px").to_pylist() == [3.0, 5.0, None]
    assert table.column("true_x_px").to_pylist() == [1.25, None, 7.0]
    assert table.column("status").to_pylist() == [1, None, 0]
    assert table.schema.metadata[b"model"] == b"runs/a/model"
    assert float(table.schema.metadata[b"threshold"]) == 0.375
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.parquet"]


def test_rows_in_another_order_and_without_metadata(tmp_path: Path):
    path, other = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_predictions(path, predictions_of([off_by(e) for e in (1.0, 2.0, 3.0)]), ORIGIN)
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array([2, 0, 1])).replace_schema_metadata(None), other)
    back, origin = read_predictions(other)
    assert back.frames.frame.tolist() == [0, 1, 2]
    assert back.error_px.tolist() == [1, 2, 3]
    assert (origin.threshold, origin.split, origin.threshold_chosen_on) == (0.5, "val", None)


def test_a_file_without_rows_is_refused(tmp_path: Path):
    write_predictions(tmp_path / "p.parquet", predictions_of([]), ORIGIN)
    with pytest.raises(UserError, match="holds no rows"):
        read_predictions(tmp_path / "p.parquet")


def test_no_flipped_bit_is_read_as_other_values(tmp_path: Path):
    """Every 307th bit of the whole file, so of pages, of the footer and of the metadata in it."""
    path, damaged = tmp_path / "p.parquet", tmp_path / "damaged.parquet"
    write_predictions(path, predictions_of(FRAMES), ORIGIN)
    predictions, origin = read_predictions(path)
    content = path.read_bytes()
    read, refused = 0, 0
    for bit in range(0, 8 * len(content), 307):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        try:
            back, told = read_predictions(damaged)
        except (RunError, UserError):
            refused += 1
        else:
            read += 1
            assert same(back, predictions), bit
            assert told == origin, bit
    # Statistics of the columns and the name of their writer may change.
    assert min(refused, read) > 50


def test_changed_rows_or_words_are_told_by_the_checksum(tmp_path: Path):
    path = tmp_path / "p.parquet"
    write_predictions(path, predictions_of(FRAMES), ORIGIN)
    table = pq.read_table(path)
    words = table.schema.metadata
    changed = {
        "a row less": table.slice(1),
        "another threshold": table.replace_schema_metadata({**words, b"threshold": b"0.25"}),
        "another score": table.set_column(7, "score", pa.array([0.75, 0.5, 0.0])),
    }
    for what, other in changed.items():
        pq.write_table(other, path)
        with pytest.raises(RunError, match="is damaged, or was changed") as error:
            read_predictions(path)
        assert "write it again: tracknet evaluate" in str(error.value), what
    # As other programs and earlier versions write them.
    del words[b"crc32"]
    pq.write_table(changed["another score"].replace_schema_metadata(words), path)
    assert read_predictions(path)[0].score.tolist() == [0.75, 0.5, 0.0]


def test_a_foreign_file_with_a_null_is_told_by_its_column(tmp_path: Path):
    path = tmp_path / "p.parquet"
    write_predictions(path, predictions_of(FRAMES), ORIGIN)
    table = unsealed(path)
    keys = [None, *table.column("key").to_pylist()[1:]]
    pq.write_table(table.set_column(0, "key", pa.array(keys, pa.string())), path)
    with pytest.raises(RunError, match="has rows without key"):
        read_predictions(path)


def test_metadata_that_are_no_text_are_damage(tmp_path: Path):
    path = tmp_path / "p.parquet"
    write_predictions(path, predictions_of(FRAMES), ORIGIN)
    table = pq.read_table(path)
    for metadata in (
        {b"model": b"run\xff"},
        {b"provenance": b"[1]"},
        {b"threshold_chosen_on": b'{"split": 1'},
    ):
        pq.write_table(table.replace_schema_metadata(metadata), path)
        with pytest.raises(RunError, match="damaged"):
            read_predictions(path)


def test_what_is_no_predictions_file_is_named(tmp_path: Path):
    path = tmp_path / "p.parquet"
    with pytest.raises(UserError, match="there is no predictions file"):
        read_predictions(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(RunError, match="is no Parquet file, or damaged"):
        read_predictions(path)
    pq.write_table(pa.table({"key": ["a"], "x_px": [1.0]}), path)
    with pytest.raises(UserError, match=r"lacks the columns split, game, clip"):
        read_predictions(path)


def test_rows_that_cannot_be_scored_are_all_named(tmp_path: Path):
    path = tmp_path / "p.parquet"
    write_predictions(path, predictions_of([off_by(e) for e in (1.0, 2.0, 3.0, 4.0)]), ORIGIN)
    table = unsealed(path)
    bad = {
        "key": pa.array(["a", "b", "a", "d"]),
        "score": pa.array([0.5, np.nan, 0.5, 0.5]),
        "true_x_px": pa.array([1.0, 1.0, None, 1.0]),
        "visibility": pa.array([1, 1, 1, 7], pa.int8()),
        "x_px": pa.array([1.0, np.inf, None, None]),
        "y_px": pa.array([1.0, 1.0, 1.0, None]),
        "width": pa.array([0, 9, 9, 9], pa.int32()),
        "status": pa.array([0, 0, None, 3], pa.int8()),
    }
    for name, column in bad.items():
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)
    with pytest.raises(RunError) as error:
        read_predictions(path)
    for fault in (
        "1 with a frame size below 1, the first a",
        "2 with a guess of one coordinate, or an infinite one, the first b",
        "1 with a score that is no number, the first b",
        "1 with visibility other than 0 to 3, the first d",
        "1 with a status other than 0 to 2, the first d",
        "1 with a ball without coordinates, the first a",
        "1 that repeat the key of another",
    ):
        assert fault in str(error.value)


def test_columns_of_another_kind_are_refused(tmp_path: Path):
    path = tmp_path / "p.parquet"
    write_predictions(path, predictions_of([off_by(1.0)]), ORIGIN)
    table = unsealed(path)
    for name, column in (("visibility", pa.array([300])), ("x_px", pa.array(["left"]))):
        pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
        with pytest.raises(RunError, match="has a column of another kind"):
            read_predictions(path)


def test_other_labels_of_the_same_frames_have_authority():
    said = predictions_of([Frame((10.0, 10.0), (12.0, 10.0), 0.8), Frame((10.0, 10.0), (13.0, 10.0), 0.7)])
    corrected = predictions_of([Frame(None, None), Frame((13.0, 14.0), None), Frame((1.0, 1.0), None)]).frames
    found, notes = onto(said, corrected, "p.parquet")
    assert found.error_px[1] == 4
    assert np.isnan(found.error_px[[0, 2]]).all()
    assert found.score.tolist() == [0.8, 0.7, 0]
    assert found.guessed.tolist() == [True, True, False]
    assert notes == ["p.parquet has no row for 1 of 3 frames: counted as without a detection"]


def test_frames_of_other_splits_are_told_and_missing_clips_refused():
    said = predictions_of([off_by(0.0), off_by(0.0, clip=("game1", "Clip9"))])
    _, notes = onto(said, predictions_of([off_by(0.0)]).frames, "p.parquet")
    assert notes == ["p.parquet has 1 rows for frames that are not in this split: left out"]
    asked = predictions_of([off_by(0.0), off_by(0.0, clip=("game2", "Clip1"))]).frames
    with pytest.raises(UserError, match=r"no prediction for 1 of 2 clips") as error:
        onto(said, asked, "p.parquet")
    assert "game2/Clip1" in str(error.value)
