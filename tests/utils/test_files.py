"""Files are whole or absent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tracknet.utils.files import hash_stream, new_folder, replace_file


def test_replace_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(os, "fsync", fail)
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_hash_of_what_is_left_to_read(tmp_path: Path) -> None:
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        file.seek(5)
        assert hash_stream(file) == hashlib.sha256(data[5:]).hexdigest()


def test_a_new_folder_is_on_the_disk_with_all_its_names_before_it_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, the folders that hold their names, and last the folder that holds the new one."""
    synced: list[int] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with new_folder(tmp_path / "new") as part:
        (part / "deep" / "er").mkdir(parents=True)
        (part / "deep" / "er" / "file").write_bytes(b"content")
    new = tmp_path / "new"
    inodes = [path.stat().st_ino for path in (*new.rglob("*"), new)]
    assert len(inodes) == 4
    assert sorted(synced[:-1]) == sorted(inodes)
    assert synced[-1] == tmp_path.stat().st_ino
