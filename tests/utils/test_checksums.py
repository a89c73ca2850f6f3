"""Checksums of files, and of the archives that torch saves."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import pytest
import torch

from tracknet.utils import checksums
from tracknet.utils.checksums import check_archive, checksum_of_beginning


def test_the_first_bytes_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_BLOCK_BYTES", 7)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    for length in (0, 1, 7, 50, 100):
        assert checksum_of_beginning(path, length) == f"{zlib.crc32(bytes(range(length))):08x}"
    assert checksum_of_beginning(path, 1000) == checksum_of_beginning(path, 100)


def test_an_archive_of_torch(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"moments": torch.ones(100)}, path)
    check_archive(path)
    with zipfile.ZipFile(path) as whole:
        (values,) = (entry for entry in whole.infolist() if entry.filename.endswith("/data/0"))
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(100).numpy().tobytes()) + 17] ^= 4
    path.write_bytes(content)
    assert not torch.load(path, weights_only=True)["moments"].equal(torch.ones(100))  # torch says nothing
    with pytest.raises(ValueError, match=f"{values.filename} is not what was written|Bad CRC"):
        check_archive(path)
    path.write_bytes(b"cut")
    with pytest.raises(ValueError, match="not a zip file"):
        check_archive(path)
    with pytest.raises(ValueError, match="No such file"):
        check_archive(tmp_path / "absent.pt")
