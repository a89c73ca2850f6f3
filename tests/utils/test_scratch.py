"""Temporary folders: those of the living stay, those of the dead go."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path

import pytest

from tracknet.utils.scratch import scratch_folder


def test_those_of_the_dead_go_and_of_the_living_stay(tmp_path: Path) -> None:
    dead = tmp_path / "mine-dead"
    dead.mkdir()
    (dead / "train-000.tar").write_bytes(b"half")
    (tmp_path / "mine-link").symlink_to(tmp_path)
    (tmp_path / "other-dead").mkdir()
    with scratch_folder("mine-", tmp_path) as first:
        assert first.parent == tmp_path
        assert not dead.exists()
        (first / "file").touch()
        with scratch_folder("mine-", tmp_path) as second:
            assert (first / "file").exists()
            assert second != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-link", "other-dead"]


def test_by_default_it_is_the_systems_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder("mine-") as folder:
        assert folder.parent == tmp_path


def test_swept_away_before_it_was_locked_it_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.mkdtemp
    made = []

    def swept(prefix: str, dir: Path) -> str:
        made.append(real(prefix=prefix, dir=dir))
        if len(made) == 1:
            Path(made[0]).rmdir()
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", swept)
    with scratch_folder("mine-", tmp_path) as folder:
        assert str(folder) == made[1]
        assert folder.is_dir()


def test_a_disk_without_locks_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with scratch_folder("mine-", tmp_path) as first, scratch_folder("mine-", tmp_path):
        assert first.is_dir()
    assert not list(tmp_path.iterdir())
