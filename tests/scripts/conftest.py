"""A model and a video for `predict`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.inference.conftest import untrained
from tests.videos import pictures, write_video
from tracknet.scripts.predict import run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved model that reports a ball in some frames."""
    made = untrained()
    made.score_threshold = 0.0
    return str(made.save_pretrained(tmp_path_factory.mktemp("saved") / "model"))


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(write_video(tmp_path / "rally.mp4", pictures(30)))


def predict(model: str, *args: str, out: Path) -> int:
    return run([model, *args, "--out", str(out), "--device", "cpu"])


def results(out: Path) -> list[str]:
    """Names of the files that a person sees."""
    return sorted(path.name for path in out.iterdir() if path.name[0] != ".")
