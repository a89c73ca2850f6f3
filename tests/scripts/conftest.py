"""A model and a video for `predict`, and a trained run for `evaluate`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.inference.conftest import untrained
from tests.videos import pictures, write_video
from tracknet.scripts import train
from tracknet.scripts.predict import run
from tracknet.utils.errors import EXIT_DONE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A saved model that reports a ball in some frames."""
    made = untrained()
    made.score_threshold = 0.0
    return str(made.save_pretrained(tmp_path_factory.mktemp("saved") / "model"))


@pytest.fixture
def video(tmp_path: Path) -> str:
    return str(write_video(tmp_path / "rally.mp4", pictures(30)))


@pytest.fixture(scope="session")
def trained_once(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, trained once; tests that write work on copies of it."""
    folder = tmp_path_factory.mktemp("made")
    places = [f"data.shards={small_shards}", f"training.log_dir={folder}"]
    args = ["--model", "vit_tiny", "--training", "cpu", *places, *SMALL]
    assert train.run([*args, "--name", "run", "training.epochs=2"]) == EXIT_DONE
    return folder / "run"


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return shutil.copytree(trained_once, tmp_path / "runs" / "run", symlinks=True)


def predict(model: str, *args: str, out: Path) -> int:
    return run([model, *args, "--out", str(out), "--device", "cpu"])


def results(out: Path) -> list[str]:
    """Names of the files that a person sees."""
    return sorted(path.name for path in out.iterdir() if path.name[0] != ".")
