"""The file that a benchmark's `--out` names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tracknet.utils.files import replace_file


def write_report(path: Path, lines: Iterable[str]) -> None:
    """Writes lines as UTF-8, in one step and with one newline at the end; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, ("\n".join(lines).rstrip("\n") + "\n").encode())
