"""Partial rows are a valid file whenever the writing stops."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.inference.test_predictions import block
from tracknet.inference.partial_csv import PartialCsv, set_aside
from tracknet.inference.predictions import Predictions
from tracknet.utils.errors import RunError


def rows(first: int, count: int) -> Predictions:
    return Predictions.of_points(block(first, count), 0.5)


def test_rows_are_on_the_disk_at_once_and_stay_when_stopped(tmp_path: Path):
    path = tmp_path / "a.partial.csv"
    with pytest.raises(KeyboardInterrupt), PartialCsv(path) as partial:
        assert not path.exists()
        partial.write(rows(0, 3))
        assert len(Predictions.read(path)) == 3
        partial.write(rows(3, 2))
        raise KeyboardInterrupt
    assert Predictions.read(path).frame.tolist() == [0, 1, 2, 3, 4]
    assert partial.rows == 5


class FullDisk:
    """A file that takes so many bytes and no more."""

    def __init__(self, file: object, room: int) -> None:
        self._file, self._room = file, room

    def write(self, data: bytes) -> int:
        taken = min(len(data), self._room)
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room -= taken
        return self._file.write(data[:taken])  # type: ignore[attr-defined,no-any-return]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_a_full_disk_leaves_whole_rows(tmp_path: Path):
    path = tmp_path / "a.partial.csv"
    with pytest.raises(RunError, match="No space left") as full, PartialCsv(path) as partial:
        partial.write(rows(0, 3))
        partial._file = FullDisk(partial._file, room=40)  # type: ignore[assignment]
        partial.write(rows(3, 3))
    assert "rows in that file: 3" in str(full.value)
    assert Predictions.read(path).frame.tolist() == [0, 1, 2]


def test_nothing_stays_of_nothing_and_of_what_is_done(tmp_path: Path):
    with PartialCsv(tmp_path / "a.partial.csv") as partial:
        partial.write(rows(0, 3))
        partial.discard()
    with PartialCsv(tmp_path / "b.partial.csv"):
        pass
    assert not list(tmp_path.iterdir())


def test_rows_that_cannot_come_again_are_set_aside(tmp_path: Path):
    path = tmp_path / "stdin.partial.csv"
    assert set_aside(path) is None
    for count, name in ((3, "stdin.partial-2.csv"), (4, "stdin.partial-3.csv")):
        with PartialCsv(path) as partial:
            partial.write(rows(0, count))
        assert set_aside(path) == tmp_path / name
        assert len(Predictions.read(tmp_path / name)) == count
    assert not path.exists()
