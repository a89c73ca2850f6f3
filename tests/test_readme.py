"""Every command and every line of Python in the README runs, at toy size, and every page links what is there."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from tests.videos import pictures, write_video

README = Path(__file__).resolve().parent.parent / "README.md"
PAGES = [README, *sorted(README.parent.glob("docs/*.md")), *sorted(README.parent.glob("shards/*.md"))]
TOY_MODEL = (
    "model.backbone.config.hidden_size=24",
    "model.backbone.config.num_hidden_layers=1",
    "model.backbone.config.num_attention_heads=2",
    "model.decoder.channels=[C,8,8]",
    "training.max_steps=2",
    "training.threads=1",
    "data.loader.workers=0",
)
# What makes a README command small enough for a test. Nothing is taken out of it.
TOY = {
    "pipelines.synthesize": [
        "--games",
        "3",
        "--clips",
        "1",
        "--frames",
        "10",
        "--size",
        "320x180",
        "--workers",
        "1",
    ],
    "pipelines.build_shards": ["--workers", "1"],
    "tracknet.scripts.train": [*TOY_MODEL],
    "tracknet.train": [
        "--training",
        "cpu",
        "model.decoder.detail_channels=4",
        "model.decoder.channels=[C,8,8,8,8]",
        "training.max_steps=2",
        "training.threads=1",
        "data.loader.workers=0",
    ],
    "tracknet.scripts.evaluate": ["--workers", "0"],
    "tracknet.scripts.inspect": [],
    "tracknet.scripts.predict": ["--frames", "0:6"],
    "tracknet.scripts.export": [],
}


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [text for named, text in found if named == language]


def commands(block_with: str) -> list[str]:
    """The `python -m` lines of the block that holds a phrase."""
    (block,) = [block for block in blocks("") if block_with in block]
    return [line for line in block.splitlines() if line.startswith("python -m ")]


def run(command: str) -> None:
    module, *arguments = shlex.split(command)[2:]
    entry = importlib.import_module("tracknet.scripts.train" if module == "tracknet.train" else module)
    assert entry.run([*arguments, *TOY[module]]) == 0, command


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_quickstart_and_the_model_it_leaves(in_empty_folder: Path, capsys: pytest.CaptureFixture[str]):
    lines = commands("--name quickstart")
    assert len(lines) == 4
    for line in lines:
        run(line)
    assert (in_empty_folder / "runs/quickstart/evaluation/val/metrics.json").is_file()
    assert (in_empty_folder / "runs/quickstart/evaluation/val/overlays.png").is_file()
    capsys.readouterr()
    (snippet,) = blocks("python")
    names: dict[str, object] = {}
    exec(snippet, names)
    assert names["points_px"].shape == (1, 1, 2)  # type: ignore[attr-defined]
    assert names["scores"].shape == (1, 1)  # type: ignore[attr-defined]


def test_makefile_runs_the_commands_that_the_readme_shows():
    makefile = (README.parent / "Makefile").read_text().replace("$(BIN)/", "").replace("$(RUN)", "quickstart")
    for line in commands("--name quickstart"):
        assert line in makefile


def test_the_commands_for_ones_own_data(
    in_empty_folder: Path, make_dataset, capsys: pytest.CaptureFixture[str]
):
    root = make_dataset(games=2, clips=1, frames=12)
    (in_empty_folder / "data").mkdir()
    (in_empty_folder / "data" / "mine").symlink_to(root)
    for line in commands("--name mine"):
        run(line)
    capsys.readouterr()
    for path in (
        "config.yaml",
        "run.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints/last/model",
        "checkpoints/best",
    ):
        assert (in_empty_folder / "runs" / "mine" / path).exists()
    for line in [*commands("--verify"), *commands("runs/mine/evaluation")]:
        run(line)
    assert (in_empty_folder / "look.html").is_file()
    for name in ("report.html", "predictions.parquet", "metrics.json", "overlays.png"):
        assert (in_empty_folder / "runs" / "mine" / "evaluation" / "val" / name).is_file()
    assert (in_empty_folder / "again" / "report.html").is_file()
    write_video(in_empty_folder / "match.mp4", pictures(10))
    for line in commands("--overlay"):
        run(line)
    assert (in_empty_folder / "predictions" / "match.overlay.mp4").is_file()
    assert "event" in (in_empty_folder / "rally" / "match.csv").read_text().splitlines()[0]
    pytest.importorskip("onnxruntime")
    for line in commands("--format onnx"):
        run(line)
    assert len((in_empty_folder / "exported" / "match.csv").read_text().splitlines()) == 7


def test_a_pattern_names_the_shards_of_a_larger_data_set(in_empty_folder: Path, make_dataset):
    root = make_dataset(games=10, clips=4, frames=4)
    run(f"python -m pipelines.build_shards --root {root}")
    assert len(list((in_empty_folder / "shards").glob("train-*.tar"))) == 32
    (line,) = commands("train-{000..031}")
    # The model that it takes by itself is gated, and of a GPU's size.
    run(f"{line} --model detail_fine")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_is_there(page: Path):
    text = page.read_text()
    assert "@@" not in text
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_readmes_results_are_those_of_the_page():
    results = (README.parent / "docs" / "results.md").read_text()
    section = README.read_text().split("## Results\n")[1].split("\n## ")[0]
    figures = re.findall(r"\d[\d,]*\.\d(?: \[[\d., -]+\])?|\d,\d{3}", section)
    assert len(figures) >= 8
    for figure in figures:
        assert figure in results, figure
