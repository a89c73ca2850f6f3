"""`evaluate --calibrate`: a threshold is chosen, written into the model, and told what it was chosen on."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.scripts.evaluations import metrics, refused
from tracknet.scripts import evaluate
from tracknet.utils.errors import EXIT_DONE


def test_a_threshold_is_chosen_on_clips_set_aside(trained: Path, small_shards: Path, capsys):
    model = trained / "checkpoints" / "best" / "model"
    weights = (model / "model.safetensors").read_bytes()
    args = [str(trained), "--shards", str(small_shards), "--workers", "0"]
    assert evaluate.run([*args, "--calibrate", "train", "game1_Clip2", "--protocol", "tracknet"]) == EXIT_DONE
    saved = json.loads((model / "config.json").read_text())
    chosen_on = saved["provenance"]["threshold_chosen_on"]
    assert (chosen_on["split"], chosen_on["clips"]) == ("train", ["game1/Clip2"])
    assert chosen_on["protocol"] == "tracknet, d <= 5 px at 1280x720"
    assert f"score threshold | {saved['score_threshold']:g}" in (model / "README.md").read_text()
    assert (model / "model.safetensors").read_bytes() == weights
    said = capsys.readouterr()
    assert "chosen on 16 frames of train (game1_Clip2)" in said.out
    assert (
        "warning: the threshold was chosen on game1, and the model was trained on games of these names"
        in said.err
    )
    assert "trained_on" not in chosen_on
    assert evaluate.run([*args, "--pictures", "0"]) == EXIT_DONE
    report = metrics(trained / "evaluation" / "val")
    assert report["threshold"] == saved["score_threshold"]
    # The threshold no longer flatters; the checkpoint still does.
    assert report["optimistic_because"] == ["checkpoint"]
    told = "the threshold was chosen on game1, and the model was trained on games of these names: it is surer there"
    assert report["notes"][0].startswith(told)
    assert told[1:] in (trained / "evaluation" / "val" / "report.html").read_text()
    capsys.readouterr()
    assert evaluate.run([*args, "--calibrate", "val"]) == EXIT_DONE
    assert "trained on" not in capsys.readouterr().err
    # A game that training left out is set aside indeed.
    saved["provenance"]["games"]["train"] = ["game7"]
    (model / "config.json").write_text(json.dumps(saved))
    assert evaluate.run([*args, "--calibrate", "train", "game1_Clip2"]) == EXIT_DONE
    assert "trained on" not in capsys.readouterr().err
    assert evaluate.run([*args, "--calibrate", "val"]) == EXIT_DONE
    assert (
        json.loads((model / "config.json").read_text())["provenance"]["threshold_chosen_on"]["clips"] is None
    )


def test_a_threshold_that_seldom_alarms(trained: Path, small_shards: Path, capsys):
    config = trained / "checkpoints" / "best" / "model" / "config.json"
    args = [str(trained), "--shards", str(small_shards), "--workers", "0", "--calibrate", "val"]
    assert evaluate.run([*args, "--most-false-alarms", "0.99"]) == EXIT_DONE
    saved = config.read_text()
    assert json.loads(saved)["provenance"]["threshold_chosen_on"]["most_false_alarms"] == 0.99
    said = capsys.readouterr().out
    assert re.search(r"false alarms on [\d.]+% -> [\d.]+% of the frames without a ball", said)
    card = (config.parent / "README.md").read_text()
    assert "with overlap none and false alarms on at most 0.99 of the frames without a ball" in card
    problems = refused(capsys, trained, "--most-false-alarms", "1.5")
    assert "it goes with --calibrate" in problems
    assert "--most-false-alarms 1.5 is no share below 1" in problems
