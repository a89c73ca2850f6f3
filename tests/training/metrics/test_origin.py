"""Whether figures flatter: what was chosen or learned on the frames that they are of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracknet.training.metrics import ChosenOn, PredictionOrigin, ThresholdOrigin

CHOSEN = ThresholdOrigin(("b1",), "val", games=("game2",), protocol="design")


@pytest.mark.parametrize(
    ("build", "split", "games", "covered"),
    [
        ("b1", "val", ["game2"], True),
        ("b2", "val", ["game2", "game3"], True),  # the same games, built again
        ("b2", "val", ["game9"], False),
        ("b1", "train", ["game1"], False),
        ("b2", "test", ["game1", "game2"], True),  # another build dealt the game to another split
        ("b2", "train", ["game2"], True),
        ("b1", "test", ["game3"], False),
    ],
)
def test_which_frames_chose_a_threshold(build: str, split: str, games: list[str], covered: bool):
    assert CHOSEN.covers(build, split, games, clips=["game2/Clip1"]) is covered


def test_a_mix_of_builds_covers_each():
    mix = ThresholdOrigin(("b1", "b2"), "val")
    assert mix.covers("b2", "val", [], [])
    assert not mix.covers("b3", "val", [], [])
    origin = PredictionOrigin("m", "b2", "val", 0.5, provenance={"chosen_as_best_on": ["b1", "b2", "val"]})
    assert origin.flattered_by("b2", "val", [], []) == ["checkpoint"]
    assert origin.flattered_by("b3", "val", [], []) == []


def test_clips_set_aside_cover_only_themselves():
    origin = ThresholdOrigin(("b1",), "train", ("game1",), clips=("game1/Clip3",))
    assert origin.covers("b1", "train", ["game1"], ["game1/Clip3", "game1/Clip4"])
    assert not origin.covers("b1", "train", ["game1"], ["game1/Clip4"])
    assert origin.covers("b2", "val", ["game1"], ["game1/Clip3"]), "built again with other splits"


def test_read_gives_back_what_was_written_and_knows_older_models():
    assert ThresholdOrigin.read(CHOSEN.to_plain()) == CHOSEN
    assert ThresholdOrigin.read(["b1", "val"]) == ThresholdOrigin(("b1",), "val")
    assert ThresholdOrigin.read(["b1", "b2", "val"]) == ThresholdOrigin(("b1", "b2"), "val")
    assert ThresholdOrigin.read(None) is None
    assert ThresholdOrigin.read({"build_ids": ["b1"]}) is None
    assert "val of build b1 by F1 under design" in str(CHOSEN)


def test_a_checkpoints_games_are_known_across_builds():
    best_on = ChosenOn(("b1",), "val", games=("game2",)).to_plain()
    origin = PredictionOrigin("m", "b1", "val", 0.5, provenance={"chosen_as_best_on": best_on})
    assert origin.flattered_by("b1", "val", ["game2"], []) == ["checkpoint"]
    assert origin.flattered_by("relabelled", "val", ["game2"], []) == ["checkpoint"]
    assert origin.flattered_by("relabelled", "test", ["game2"], []) == ["checkpoint"]
    assert origin.flattered_by("relabelled", "val", ["game3"], []) == []
    # Earlier versions kept the games apart, and versions before those nowhere.
    older = {"chosen_as_best_on": ["b1", "val"], "games": {"val": ["game2"]}}
    origin = PredictionOrigin("m", "b1", "val", 0.5, provenance=older)
    assert origin.flattered_by("relabelled", "val", ["game2"], []) == ["checkpoint"]
    oldest = PredictionOrigin("m", "b1", "val", 0.5, provenance={"chosen_as_best_on": ["b1", "val"]})
    assert oldest.flattered_by("relabelled", "val", ["game2"], []) == []
    assert oldest.flattered_by("b1", "val", ["game2"], []) == ["checkpoint"]


def test_reasons():
    provenance = {"games": {"train": ["game1"], "val": ["game2"]}, "chosen_as_best_on": ["b1", "val"]}
    origin = PredictionOrigin("m", "b1", "val", 0.5, threshold_chosen_on=CHOSEN, provenance=provenance)
    assert origin.flattered_by("b1", "val", ["game2"], []) == ["threshold", "checkpoint"]
    assert origin.flattered_by("b1", "train", ["game1"], []) == ["training"]
    assert origin.flattered_by("b3", "val", ["game7"], []) == []
    assert PredictionOrigin("m", "", "", 0.5).flattered_by("b1", "val", ["game2"], []) == []


def test_a_threshold_of_games_that_were_trained_on_is_told_of_models_of_any_version():
    chosen = ThresholdOrigin(("b1",), "train", ("game1", "game2"), clips=("game1/Clip3", "game2/Clip1"))
    origin = PredictionOrigin(
        "m", "b1", "val", 0.5, threshold_chosen_on=chosen, provenance={"games": {"train": ["game1"]}}
    )
    (note,) = origin.threshold_notes()
    assert note.startswith(
        "the threshold was chosen on game1, and the model was trained on games of these names"
    )
    assert replace(origin, threshold_chosen_on=CHOSEN).threshold_notes() == []
