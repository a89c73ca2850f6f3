"""Every benchmark can be imported, and so run as `python -m benchmarks.NAME`: none is run otherwise, or often."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_there_are_benchmarks() -> None:
    assert {"stream", "build_shards", "shuffle"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some set the threads of the libraries that they time.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    module = importlib.import_module(f"benchmarks.{name}")
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_names_the_command_that_runs_it(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    if '__name__ == "__main__"' in text:
        assert f"    python -m benchmarks.{name}" in text
    # By path, a benchmark would not find its neighbours.
    assert "python benchmarks/" not in text
