"""What tests of commands with worker processes may use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def session_lives() -> Callable[[int], bool]:
    """Whether any process of a session (named by its first process) still runs."""
    return _session_lives


def _session_lives(session: int) -> bool:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            return True
    return False
