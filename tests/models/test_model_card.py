"""The card: figures from evaluations, the threshold and how it was chosen, and what is not known."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from tracknet.models.model import TrackNet
from tracknet.models.model_card import model_card
from tracknet.models.publishing import evaluations_of

MakeModel = Callable[..., TrackNet]

CHOSEN = {
    "build_ids": ["abcdef0123456789"],
    "split": "val",
    "games": ["game2"],
    "clips": None,
    "protocol": "design, d <= 5 px in frame pixels",
    "overlap": "mean",
    "flip": True,
}
EVALUATION: dict[str, Any] = {
    "split": "val",
    "build_id": "abcdef0123456789",
    "games": ["game2"],
    "frame_sizes": ["1280x720"],
    "frames": 1240,
    "balls": 1208,
    "clips": 6,
    "threshold": 0.37,
    "overlap": "mean",
    "flip": True,
    "notes": ["the threshold was chosen on this very split"],
    "bootstrap": {"level": 0.95, "caution": "6 clips only"},
    "protocols": {
        "wasb": {
            "distance": "d < 4 px at 1280x720",
            "f1": 0.92031,
            "precision": 0.9371,
            "recall": None,
            "ap": 0.9,
            "intervals": {"f1": [0.8557, 0.9733], "precision": None, "recall": None, "ap": [0.8, 1.0]},
        }
    },
    "error": {"median": 1.136298, "p90": 5.0378},
}


@pytest.fixture
def model(tiny_model: MakeModel) -> TrackNet:
    model = tiny_model()
    model.score_threshold = 0.37
    model.provenance = {
        "build_id": "abcdef0123456789",
        "games": {"train": ["game1", "game3"], "val": ["game2"]},
        "threshold_chosen_on": CHOSEN,
        "validation": {"f1": 0.5, "frames": 12.0},
    }
    return model


def test_the_figures_are_those_measured(model: TrackNet) -> None:
    card = model_card(model, evaluations=[EVALUATION])
    assert "| wasb | d < 4 px at 1280x720 | 0.920 [0.856, 0.973] | 0.937 | - | 0.900 [0.800, 1.000] |" in card
    assert "1,240 frames of 1280x720 in 6 clips, 1,208 of them with a ball" in card
    assert "median 1.136 px, 90 % within 5.038 px" in card
    assert "- the threshold was chosen on this very split\n- 6 clips only\n" in card
    assert "By the validation during training" not in card


def test_the_threshold_and_the_data_are_told(model: TrackNet) -> None:
    card = model_card(model)
    assert (
        "chosen by F1 under design, d <= 5 px in frame pixels on all of the split `val` (game2) of build "
        "abcdef012345, with overlap mean and the mirror image averaged in." in card
    )
    assert "- train: game1, game3\n- val: game2\n- shards of build abcdef0123456789" in card
    model.provenance["threshold_chosen_on"] = {**CHOSEN, "split": "train", "clips": ["game1/Clip3"]}
    assert "on clips game1/Clip3 of the split `train`" in model_card(model)


def test_without_an_evaluation_the_validation_stands_in(model: TrackNet) -> None:
    assert "| f1 | frames |\n|---|---|\n| 0.5 | 12 |" in model_card(model)


def test_what_is_not_known_is_said(tiny_model: MakeModel) -> None:
    card = model_card(tiny_model())
    for said in (
        "Not evaluated:",
        "how this value was chosen is not recorded",
        "Not recorded.",
        "Not stated.",
    ):
        assert said in card


def test_the_licence_is_the_publishers_to_say(model: TrackNet) -> None:
    open_, stated = (ModelCard(model_card(model, license=name)) for name in (None, "mit"))
    assert open_.data.get("license") is None
    assert stated.data.license == "mit"
    assert stated.data.library_name == "tracknet"
    assert "## Licence\nmit." in stated.text


def test_the_example_works(model: TrackNet, tmp_path: Path) -> None:
    folder = model.save_pretrained(tmp_path / "m")
    card = model_card(model, name=str(folder))
    (example,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["points_px"].shape == (1, 1, 2)
    assert names["found"].dtype == torch.bool


def test_only_evaluations_of_these_weights_count(model: TrackNet, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    folders = {
        name: model.save_pretrained(run / "checkpoints" / name / "model")
        for name in ("step_000300", "step_000600")
    }
    for name, step in (("best", "step_000300"), ("last", "step_000600")):
        (run / "checkpoints" / name).symlink_to(step)
    weights = folders["step_000300"] / "model.safetensors"
    best = {**EVALUATION, "model": str(run / "checkpoints" / "best" / "model")}

    def put(split: str, content: str) -> Path:
        path = run / "evaluation" / split / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(content)
        return path

    same = [
        best,
        {**best, "model": str(folders["step_000300"])},
        {**best, "model": "runs/a/checkpoints/best/model"},
        {**best, "model": "checkpoints/best/model"},
    ]
    for number, evaluation in enumerate(same):
        put(f"a{number}", json.dumps(evaluation))
    put("b", json.dumps({**best, "threshold": 0.5}))
    old = put("c", json.dumps(best))
    os.utime(old, (0, weights.stat().st_mtime - 10))
    put("d", "{")
    put("e", json.dumps({"a": {}, "b": {}}))
    put("f", json.dumps({**best, "model": str(run / "checkpoints" / "last" / "model")}))
    put("g", json.dumps({**best, "model": "runs/b/checkpoints/best/model"}))
    put("h", json.dumps(EVALUATION))
    found, notes = evaluations_of(run, model)
    assert found == same
    assert [note.split("metrics.json ")[1][:20] for note in notes] == [
        "was made with thresh",
        "is older than the we",
        "is no JSON and was l",
        "holds no evaluation ",
        "is of " + str(tmp_path)[:14],
        "is of runs/b/checkpo",
        "is of a model that i",
    ]
    assert f"last/model, not of {run}/checkpoints/best/model: left out of the card" in notes[4]
    # A run without a best checkpoint is its last one.
    (run / "checkpoints" / "best").unlink()
    found, _ = evaluations_of(run, model)
    assert [evaluation["model"] for evaluation in found] == [str(run / "checkpoints" / "last" / "model")]
    assert evaluations_of(tmp_path / "nowhere", model) == ([], [])
