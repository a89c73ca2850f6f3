"""Predictions of other programs, in the forms that they write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.metrics.conftest import NAN, off_by, predictions_of
from tracknet.datasets.table import FrameTable
from tracknet.training.metrics.prediction_csv import read_prediction_folder
from tracknet.utils.errors import UserError


def table(*clips: tuple[str, int]) -> FrameTable:
    """Clips of game1 with so many frames."""
    return predictions_of([off_by(0.0, clip=("game1", name)) for name, n in clips for _ in range(n)]).frames


def test_tracknet_form_with_gaps_and_more_columns(tmp_path: Path):
    (tmp_path / "game1_Clip1.csv").write_text(
        "Frame,Visibility,X,Y,Inpaint_Mask\n0,1,10,20.5,0\n1,0,0,0,1\n3,1,30,40,0\n9,1,1,1,0\n"
    )
    found, notes, has_scores = read_prediction_folder(tmp_path, table(("Clip1", 4)))
    np.testing.assert_array_equal(found.xy_px, [[10, 20.5], [NAN, NAN], [NAN, NAN], [30, 40]])
    assert found.score.tolist() == [1, 0, 0, 1]
    assert len(notes) == 3
    assert "no row for 1 of 4 frames" in notes[0]
    assert "1 rows for frames that are not in this split" in notes[1]
    assert "gives no scores" in notes[2]
    assert not has_scores


def test_scores_and_the_columns_of_label_csv(tmp_path: Path):
    (tmp_path / "game1_Clip1.csv").write_text(
        "\ufeffSCORE,frame,visibility,x,y\r\n0.25,0,1,1,2\r\n7.5,1.0,2,3,4\r\n"
    )
    (tmp_path / "game1_Clip2.csv").write_text(
        "file name,visibility,x-coordinate,y-coordinate,status\n0000.jpg,1,5,6,0\n0001.jpg,0,,,\n"
    )
    found, notes, has_scores = read_prediction_folder(tmp_path, table(("Clip1", 2), ("Clip2", 2)))
    np.testing.assert_array_equal(found.xy_px, [[1, 2], [3, 4], [5, 6], [NAN, NAN]])
    assert found.score.tolist() == [0.25, 7.5, 1, 0]
    assert found.blob_score.tolist() == found.score.tolist()
    assert len(notes) == 1
    assert has_scores
    assert notes[0].endswith("gives no scores for some clips: every detection counts as sure")


def test_missing_clips_are_listed_with_what_is_there(tmp_path: Path):
    (tmp_path / "game1_Clip1.csv").write_text("Frame,Visibility,X,Y\n0,0,0,0\n")
    (tmp_path / "1_01_00.csv").write_text("Frame,Visibility,X,Y\n0,0,0,0\n")
    with pytest.raises(UserError) as error:
        read_prediction_folder(tmp_path, table(("Clip1", 1), ("Clip2", 1), ("Clip3", 1)))
    assert "no file for 2 of 3 clips" in str(error.value)
    assert "game1_Clip2.csv, game1_Clip3.csv" in str(error.value)
    assert "1 other files are there, such as 1_01_00.csv" in str(error.value)


def test_a_file_of_other_frame_numbers_is_a_missing_clip(tmp_path: Path):
    (tmp_path / "game1_Clip1.csv").write_text("Frame,Visibility,X,Y\n100,1,1,1\n")
    with pytest.raises(UserError, match="no prediction for 1 of 1 clips"):
        read_prediction_folder(tmp_path, table(("Clip1", 2)))


def test_every_fault_is_named_by_file_and_line(tmp_path: Path):
    (tmp_path / "game1_Clip1.csv").write_text(
        "Frame,Visibility,X,Y,Score\n0,1,nan,2,1\n1,1,1,2,-0.5\n2,9,1,2,1\n2.5,1,1,2,1\n\n3,1,1\n4,1,1,1,1\n4,1,1,1,1\n"
    )
    (tmp_path / "game1_Clip2.csv").write_text("Frame,Visibility,X\n0,1,1\n")
    (tmp_path / "game1_Clip3.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "game1_Clip4.csv").mkdir()
    with pytest.raises(UserError) as error:
        read_prediction_folder(tmp_path, table(("Clip1", 9), ("Clip2", 1), ("Clip3", 1), ("Clip4", 1)))
    message = str(error.value)
    assert "have 9 faults" in message
    for fault in (
        "Clip1.csv:2: x 'nan' is no number",
        "Clip1.csv:3: score -0.5 is below 0",
        "Clip1.csv:4: visibility '9' is none of 0, 1, 2, 3",
        "Clip1.csv:5: frame '2.5' is no whole number",
        "Clip1.csv:7: has 3 cells, needs 5",
        "Clip1.csv:9: frame 4 has a row already",
        "Clip2.csv:1: has no column for y",
        "Clip3.csv: is not UTF-8 text (byte 0)",
        "Clip4.csv: cannot be read: Is a directory",
    ):
        assert fault in message


def test_no_files(tmp_path: Path):
    with pytest.raises(UserError, match="holds no CSV file"):
        read_prediction_folder(tmp_path, table(("Clip1", 1)))


def test_a_clip_with_a_dot_may_be_named_by_its_key(tmp_path: Path):
    (tmp_path / "game1_v1-2.csv").write_text("Frame,Visibility,X,Y\n0,1,1,1\n")
    found, _, _ = read_prediction_folder(tmp_path, table(("v1.2", 1)))
    assert found.guessed.all()


def test_a_file_named_by_its_clip_alone_where_no_other_clip_is_called_so(tmp_path: Path):
    for name, x in (("00030", 3), ("game1_00038", 5), ("00038", 7)):
        (tmp_path / f"{name}.csv").write_text(f"frame,visible,x,y\n0,1,{x},1\n")
    found, _, _ = read_prediction_folder(tmp_path, table(("00030", 1), ("00038", 1)))
    np.testing.assert_array_equal(found.xy_px[:, 0], [3, 5])
