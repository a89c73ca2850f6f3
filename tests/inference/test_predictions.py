"""Predictions in and out of files, and as balls and tables."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracknet.inference.ball import Ball, Candidate
from tracknet.inference.points import PointBlock, PointRows, balls_of
from tracknet.inference.predictions import Predictions
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size


def block(first: int, count: int) -> PointBlock:
    numbers = np.arange(first, first + count)
    xy = np.stack([numbers * 10.125, numbers * 2.0], axis=1)
    return PointBlock(
        frame=numbers,
        time_s=numbers / 25,
        xy_px=xy,
        score=np.where(numbers % 3 == 0, 0.25, 0.75),
        candidates_px=np.stack([xy, np.full_like(xy, np.nan)], axis=1),
        candidate_scores=np.stack([np.where(numbers % 3 == 0, 0.25, 0.75), np.zeros(count)], axis=1),
        sizes=frozenset({Size(640, 360)}),
    )


@pytest.fixture
def made() -> Predictions:
    return Predictions.of_points(block(0, 7), 0.5, {"source": "a.mp4", "frame_rate": None})


def same(a: Predictions, b: Predictions, *, exact: bool = True) -> None:
    assert list(a.table()) == list(b.table())
    for name, values in a.table().items():
        if exact or values.dtype.kind != "f":
            np.testing.assert_array_equal(values, b.table()[name], name)
        else:
            np.testing.assert_allclose(values, b.table()[name], atol=0.00501, err_msg=name)


def test_below_the_threshold_there_is_no_ball(made: Predictions):
    assert made.frame.tolist() == list(range(7))
    assert made.visible.tolist() == [n % 3 != 0 for n in range(7)]
    assert np.isnan(made.x).tolist() == np.isnan(made.y).tolist() == [n % 3 == 0 for n in range(7)]
    assert made.frame_size == Size(640, 360)
    third = list(made)[2]
    assert third == Ball(2, 0.08, 20.25, 4.0, 0.75, True, (Candidate(20.25, 4.0, 0.75),))
    # What is streamed is what is collected; NaN makes equality too strict for tuples of the whole.
    assert list(map(repr, balls_of(block(0, 7), 0.5))) == list(map(repr, made))


def test_rows_that_are_kept_are_those_that_came(monkeypatch: pytest.MonkeyPatch):
    # Neither a block nor the whole is a multiple of it.
    monkeypatch.setattr("tracknet.inference.points._ROWS_AT_ONCE", 64)
    rows = PointRows()
    for first in range(0, 900, 3):
        rows.add(block(first, 3))
    assert len(rows) == 900
    same(Predictions.of_points(rows.joined(), 0.5), Predictions.of_points(block(0, 900), 0.5))


def test_the_csv(made: Predictions, tmp_path: Path):
    lines = made.to_csv(tmp_path / "new" / "a.csv").read_text().splitlines()
    assert lines[:3] == [
        "frame,time_s,x,y,score,visible",
        "0,0.000000,,,0.250000,0",
        "1,0.040000,10.12,2.00,0.750000,1",
    ]
    assert len(lines) == 8
    spelled = made.to_tracknetv2(tmp_path / "a_ball.csv").read_text().splitlines()
    assert spelled[:3] == ["Frame,Visibility,X,Y", "0,0,0,0", "1,1,10.12,2.00"]


def test_files_are_read_back(made: Predictions, tmp_path: Path):
    more = {
        "x_raw": made.x + 1,
        "filled": np.array([True, *[False] * 6]),
        "event": np.array(["", "hit", *[""] * 5]),
    }
    for columns in ({}, more, {"event": np.array([""] * 7)}):
        full = Predictions(**{**vars(made), "columns": columns})
        for name, exact in (("a.csv", False), ("a.parquet", True), ("a.json", True)):
            path = tmp_path / name
            {"a.csv": full.to_csv, "a.parquet": full.to_parquet, "a.json": full.to_json}[name](path)
            back = Predictions.read(path)
            same(full, back, exact=exact)
            if exact:
                assert (back.frame_size, back.about) == (made.frame_size, made.about)
    assert json.loads((tmp_path / "a.json").read_text())["frames"][0]["x"] is None
    assert next(iter(Predictions(**{**vars(made), "columns": more}))).filled
    assert list(Predictions(**{**vars(made), "columns": more}))[1].event == "hit"


def test_nothing_at_all_is_written_and_read(tmp_path: Path):
    none = Predictions.of_points(PointRows().joined(), 0.5)
    for name in ("to_csv", "to_parquet", "to_json"):
        path = tmp_path / f"a.{name[3:]}"
        getattr(none, name)(path)
        assert len(Predictions.read(path)) == 0


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", "frame,x,y\n0,1,2\n", "no column time_s, score, visible"),
        ("a.csv", "frame,time_s,x,y,score,visible\n0,0,1\n", "line 2 has 3 cells"),
        ("a.csv", "frame,time_s,x,y,score,visible\none,0,1,1,1,1\n", "'one'"),
        ("a.csv", "", "no column frame"),
        (
            "a.csv",
            'frame,time_s,x,y,score,visible\n"0',
            "a.csv holds no predictions: is no CSV: unexpected end",
        ),
        ("a.json", "[1, 2]", "holds no predictions"),
        ("a.parquet", "PAR1", "holds no predictions"),
        ("a.txt", "", "no known ending"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, name: str, content: str, why: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=why):
        Predictions.read(tmp_path / name)
    with pytest.raises(UserError, match="there is no file"):
        Predictions.read(tmp_path / "none.csv")


def test_pandas_is_asked_for_only_where_it_is_needed(made: Predictions, monkeypatch: pytest.MonkeyPatch):
    imported = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pandas":
            raise ImportError
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install pandas"):
        made.to_pandas()

    class Fake:
        """Stands for pandas, which the tests do without."""

        DataFrame = dict

    monkeypatch.setitem(__import__("sys").modules, "pandas", Fake)
    monkeypatch.setattr(builtins, "__import__", imported)
    assert list(made.to_pandas()) == ["frame", "time_s", "x", "y", "score", "visible"]


def test_columns_must_fit(made: Predictions):
    with pytest.raises(ValueError, match="different lengths"):
        Predictions(**{**vars(made), "columns": {"event": np.array(["hit"])}})
    with pytest.raises(ValueError, match="columns already"):
        Predictions(**{**vars(made), "columns": {"score": made.score}})
