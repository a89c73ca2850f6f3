"""Files are whole or absent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tracknet.utils.files import hash_stream, replace_file


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
