"""The evaluate command: figures, files, pictures, and wrong requests."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tracknet.scripts import cli, evaluate, train
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, cli_main


@pytest.fixture
def trained(small_train_args: list[str], tmp_path: Path) -> Path:
    assert train.run([*small_train_args, "--name", "run", "training.epochs=2"]) == EXIT_DONE
    return tmp_path / "runs" / "run"


def test_a_run_is_scored_as_its_validation_was(trained: Path, small_shards: Path, capsys):
    assert evaluate.run([str(trained), "--shards", str(small_shards), "--distance", "8"]) == EXIT_DONE
    report = json.loads((trained / "evaluation" / "val" / "metrics.json").read_text())
    assert report["games"] == ["game2"]
    assert report["frame_sizes"] == ["160x90"]
    assert set(report["decoders"]) == {"argmax", "soft_argmax", "dark"}
    validations = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    saved = json.loads((trained / "checkpoints" / "best" / "model" / "config.json").read_text())["provenance"]
    (best,) = [v for v in validations if v["kind"] == "val" and v["step"] == saved["step"]]
    for figure in ("l2_mean_px", "pck@5px", "precision", "recall", "f1", "threshold", "false_alarm_rate"):
        assert report["decoders"]["dark"][figure] == pytest.approx(best[figure]), figure
    out = capsys.readouterr().out
    assert "pck@8px" in out
    assert "optimistic" in out  # the threshold was chosen on this very split
    sheet = cv2.imread(str(trained / "evaluation" / "val" / "overlays.png"))
    assert sheet.shape == (6 * 48 + 5 * 4, 96 + 3 * 48, 3)


def test_a_bare_model_on_another_split(trained: Path, small_shards: Path, tmp_path: Path, capsys):
    model = trained / "checkpoints" / "last" / "model"
    args = [str(model), "--shards", str(small_shards), "--split", "train", "--out", str(tmp_path / "out")]
    assert evaluate.run([*args, "--pictures", "0", "--workers", "0"]) == EXIT_DONE
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["split"] == "train"
    assert report["decoders"]["dark"]["frames"] == 32
    assert "optimistic" not in capsys.readouterr().out
    assert not (tmp_path / "out" / "overlays.png").exists()


def test_wrong_requests(trained: Path, small_shards: Path, tmp_path: Path, capsys):
    def refused(*args: str) -> str:
        capsys.readouterr()
        assert cli_main(evaluate.run, list(args)) in (EXIT_WRONG_REQUEST, EXIT_FAILED)
        message = capsys.readouterr().err
        assert "Traceback" not in message
        return message

    shards = str(small_shards)
    assert "holds no model" in refused(str(tmp_path), "--shards", shards)
    assert "choose one of train, val" in refused(str(trained), "--shards", shards, "--split", "test")
    assert "holds no finished build" in refused(str(trained), "--shards", str(tmp_path))
    message = refused(str(trained), "--shards", shards, "--distance", "0", "--batch-size", "0")
    assert "a distance must be above 0" in message
    assert "--batch-size must be at least 1" in message
    weights = trained / "checkpoints" / "best" / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert "model.safetensors is damaged" in refused(str(trained), "--shards", shards)


def test_installed_command_reaches_the_others(capsys):
    assert cli_main(cli.run, ["--help"]) == EXIT_DONE
    out = capsys.readouterr().out
    assert all(name in out for name in ("synthesize", "build-shards", "train", "evaluate"))
    assert cli_main(cli.run, ["trian"]) == EXIT_WRONG_REQUEST
    assert "did you mean train?" in capsys.readouterr().err
    assert cli_main(cli.run, ["evaluate", "/nowhere"]) == EXIT_WRONG_REQUEST
    assert "holds no model" in capsys.readouterr().err
