"""Two commands do not write one source's files at the same time, and each other's sources do not matter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tracknet.inference.job_lock import only_writer
from tracknet.inference.outputs import Job
from tracknet.utils.errors import RunError


def test_one_writer_a_source(tmp_path: Path):
    rally, other = Job("a/rally.mp4", "rally"), Job("other.mp4", "other")
    with (
        only_writer(rally, tmp_path),
        only_writer(other, tmp_path),
        pytest.raises(RunError, match=rf"process {os.getpid()} is writing rally into"),
        only_writer(rally, tmp_path),
    ):
        raise AssertionError("both are in")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), only_writer(rally, tmp_path):
        raise KeyboardInterrupt
    with only_writer(rally, tmp_path):
        pass
