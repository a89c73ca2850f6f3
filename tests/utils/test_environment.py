"""A run says what it was started with, and no secret of it."""

from __future__ import annotations

import sys

import pytest

from tracknet.utils.environment import describe_environment


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/some/where/tracknet/scripts/train.py", "train.py"),
        ("/some/where/benchmarks/ablation/__main__.py", "ablation"),
    ],
)
def test_the_command_is_named_without_its_folder(
    file: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [file, "--shards", "s3://me:secret@host/a shard"])
    assert describe_environment()["command"] == f"{name} --shards 's3://***@host/a shard'"
