"""The export command: where it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.inference.exportable import build_exportable
from tests.models.test_model_card import EVALUATION
from tracknet.inference import export_check
from tracknet.inference.exported_model import load_exported
from tracknet.models import publishing
from tracknet.models.model import TrackNet
from tracknet.scripts import export
from tracknet.utils.errors import EXIT_DONE, EXIT_WRONG_REQUEST, cli_main


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one checkpoint, evaluated; the test works in the folder above."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "first"
    model = build_exportable("vit", 16, frames=1, skip="none")
    model.save_pretrained(run / "checkpoints" / "best" / "model")
    (run / "config.yaml").write_text("data: {}\n")
    (run / "evaluation" / "val").mkdir(parents=True)
    folder = "runs/first/checkpoints/best/model"
    evaluation = {**EVALUATION, "threshold": model.score_threshold, "model": folder}
    (run / "evaluation" / "val" / "metrics.json").write_text(json.dumps(evaluation))
    return run


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    assert cli_main(export.run, [str(arg) for arg in args]) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_a_run_becomes_a_file_in_it(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.run(["runs/first", "--format", "torch-export", "--points"]) == EXIT_DONE
    said = capsys.readouterr()
    out = run_folder / "export" / "first.pt2"
    assert [path.name for path in out.parent.iterdir()] == ["first.pt2"]
    assert "written: runs/first/export/first.pt2" in said.out
    assert (
        "takes frames uint8 [1, 1, 3, 32, 64], gives logits float32 [1, 1, 8, 16], "
        "points_px float32 [1, 1, 2], scores float32 [1, 1]"
    ) in said.out
    assert (
        "compared on drawn frames: points at most 0 px apart where a ball is reported (32 maps)" in said.out
    )
    assert "note: no real frames were at hand" in said.out
    assert load_exported(out, "cpu").provenance["run"] == "first"
    message = refused(capsys, "runs/first", "--format", "torch-export", "--points")
    assert "is there already" in message
    assert "exporting" not in message
    assert "is an exported file" in refused(capsys, out)


def test_a_folder_to_publish_holds_the_figures(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["runs/first", "--format", "safetensors", "--license", "mit", "--out", "public"]
    assert export.run(args) == EXIT_DONE
    said = capsys.readouterr().out
    assert "the card holds the figures of: val" in said
    assert "could be compared" not in said
    card = (tmp_path / "public" / "README.md").read_text()
    assert "license: mit" in card
    assert "| wasb | d < 4 px at 1280x720 | 0.920 [0.856, 0.973] |" in card
    full = (tmp_path / "public" / "model.safetensors").stat().st_size

    assert "public is there already" in refused(capsys, *args, "--half")
    monkeypatch.setattr(export_check, "ENOUGH_JUDGED", 40)
    assert export.run([*args, "--half", "--overwrite"]) == EXIT_DONE
    assert (
        "note: the points of only 32 of 32 maps could be compared (32 show a ball, 0 of these tie): compare"
        in capsys.readouterr().out
    )
    assert (tmp_path / "public" / "model.safetensors").stat().st_size < 0.6 * full
    assert TrackNet.from_pretrained(tmp_path / "public").head.conv.weight.dtype == torch.float32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["public", "runs"]

    shutil.rmtree(tmp_path / "public")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "thesis.txt").write_text("mine")
    assert "is no model folder" in refused(capsys, *args, "--overwrite")
    assert (tmp_path / "public" / "thesis.txt").read_text() == "mine"


def test_push_is_private_unless_asked_otherwise(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = []
    monkeypatch.setattr(
        publishing, "push", lambda model, name, **how: pushed.append((name, how)) or f"https://hub/{name}"
    )
    args = ["runs/first/checkpoints/best", "--format", "safetensors", "--push", "me/ball"]
    assert export.run(args) == EXIT_DONE
    assert "uploaded: https://hub/me/ball (private)" in capsys.readouterr().out
    assert export.run([*args, "--public", "--overwrite", "--license", "mit"]) == EXIT_DONE
    assert [(how["private"], how["license"]) for _, how in pushed] == [(True, None), (False, "mit")]
    assert 'from_pretrained("me/ball")' in Path("export/best/README.md").read_text()


def test_wrong_requests(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "runs/first", "--format", "safetensors", "--points", "--dynamic-batch", "--public")
    assert "--points goes with --format onnx or torch-export, not safetensors" in said
    assert "--dynamic-batch goes with" in said
    assert "--public needs --push OWNER/NAME" in said
    said = refused(capsys, "runs/first", "--license", "mit", "--out", "x.pt2")
    assert "--license goes with --format safetensors, not onnx" in said
    assert "x.pt2: the name of a file of --format onnx ends in .onnx" in said
    assert "holds no model" in refused(capsys, "runs")
    assert "neither a video nor a folder" in refused(capsys, "runs/first", "--check", "nowhere.mp4")
