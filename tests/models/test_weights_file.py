"""A changed bit among the weights of a model folder is an error; files without a checksum are taken as they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tracknet.models.weights_file import read_weights, write_weights
from tracknet.utils.errors import RunError


def some_weights() -> dict[str, torch.Tensor]:
    """Every type that a model's weights have, and the shapes that are hard to take for bytes."""
    return {
        "b.scale": torch.tensor(0.5),
        "a.weight": torch.arange(6.0).reshape(2, 3),
        "a.half": torch.ones(3, dtype=torch.float16),
        "a.brain": torch.ones(2, dtype=torch.bfloat16),
        "steps": torch.tensor(7),
        "none": torch.zeros(0),
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(some_weights(), path)
    for found in (read_weights(path), load_file(path)):
        assert found.keys() == some_weights().keys()
        assert all(found[name].equal(value) for name, value in some_weights().items())
        assert all(found[name].dtype == value.dtype for name, value in some_weights().items())
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        assert metadata["format"] == "pt"
        assert len(metadata["tracknet_crc32"]) == 8


def test_every_changed_bit_of_the_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(some_weights(), path)
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    for bit in range(8 * begin, 8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(
            RunError, match=r"model\.safetensors is damaged, or was changed: it has the checks"
        ):
            read_weights(path)


def test_a_bit_of_the_header_changes_no_weight(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(some_weights(), path)
    content = path.read_bytes()
    refused = 0
    header_bits = 8 * (8 + int.from_bytes(content[:8], "little"))
    for bit in range(header_bits):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = read_weights(path)
        except RunError:
            refused += 1
        else:
            assert found.keys() == some_weights().keys()
            assert all(found[name].equal(value) for name, value in some_weights().items())
    assert refused > 0.7 * header_bits  # the rest is the names and spaces of the metadata


def test_files_without_a_checksum_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file(some_weights(), path, metadata=metadata)
        assert read_weights(path)["a.weight"].equal(some_weights()["a.weight"])


def test_the_same_weights_give_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """The order of the metadata is another one in half of all processes where nothing is done about it."""
    write = (
        "import sys, torch; from pathlib import Path; from safetensors.torch import save_file; "
        "from tracknet.models.weights_file import _order_metadata; "
        "path = Path(sys.argv[1]); "
        "save_file({'a': torch.arange(4.0)}, path, metadata={name: name for name in 'hgfedcba'}); "
        "_order_metadata(path)"
    )
    paths = [tmp_path / name for name in "12"]
    for path in paths:
        subprocess.run([sys.executable, "-c", write, str(path)], check=True)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b'{"a":"a","b":"b","c":"c"' in first
    assert read_weights(paths[0])["a"].tolist() == [0, 1, 2, 3]
