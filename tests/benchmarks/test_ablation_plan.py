"""What an experiment's rows ask for, and which of it is refused before any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import __main__ as command
from benchmarks.ablation import options, records
from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import requests, unused
from benchmarks.ablation.sizes import check_models
from tests.benchmarks.toy_builds import asked
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size


def test_a_row_is_known_by_what_is_not_a_default() -> None:
    known = asked().fingerprint
    assert asked("badminton", "model.decoder.convolutions=1", "training.ema=null").fingerprint == known
    others = ["model.decoder.convolutions=2", "training.ema=0.9", "model.decoder.channels=[C,64,32,8]"]
    assert len({known, *(asked("badminton", other).fingerprint for other in others)}) == 4


def test_the_tennis_experiment_scores_one_training_in_both_ways() -> None:
    made = {(one.row, one.seed): one for one in requests(*read_experiment("tennis_wasb"))}
    for every, alone, seeds in (("wasb", "wasb_one_pass", 3), ("vit_every_frame", "vit_one_pass", 1)):
        for seed in range(seeds):
            both = made[every, seed], made[alone, seed]
            assert [one.overlap for one in both] == ["mean", "none"]
            assert both[0].name == both[1].name
            assert both[0].config().model.head.maps == "all"


@pytest.mark.parametrize(
    ("name", "epoch_steps"), [("badminton", 847), ("badminton_small", 1695), ("tennis_wasb", 1500)]
)
def test_no_experiment_warms_up_for_long(name: str, epoch_steps: int) -> None:
    """Of about so many steps an epoch."""
    for request in requests(*read_experiment(name)):
        training = request.config().training
        assert training.max_steps is not None
        assert training.scheduler.warmup_epochs * epoch_steps <= 0.1 * training.max_steps


@pytest.mark.parametrize("steps", ["0", "-3"])
def test_no_steps_are_refused(steps: str) -> None:
    with pytest.raises(UserError) as refused:
        options.parse(["badminton", "--steps", steps])
    assert refused.value.problems == (f"--steps must be at least 1, got {steps}",)
    with pytest.raises(UserError, match="max_steps"):
        requests(*read_experiment("badminton"), only=["detail_small"], steps=int(steps))


def test_a_rehearsal_takes_the_steps_it_is_told() -> None:
    def steps(given: int | None) -> int | None:
        experiment, rows = read_experiment("badminton")
        (request,) = requests(experiment, rows, only=["detail_small"], seeds=[0], steps=given, toy=True)
        return request.config().training.max_steps

    assert (steps(None), steps(5)) == (2, 5)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.seed=5", "training.seed cannot be set here; say `{}` {} instead"),
        ("training.max_steps=7", "training.max_steps cannot be set here; say `{}` {} instead"),
        ("training.max_steps=null", "training.max_steps cannot be set here; say `{}` {} instead"),
        ("training={seed: 5}", "training.seed cannot be set here; say `{}` {} instead"),
    ],
)
def test_the_seed_and_the_steps_have_one_place(tmp_path: Path, override: str, told: str) -> None:
    field, command = ("seeds: [N]", "--seeds N") if "seed" in override else ("steps: N", "--steps N")
    with pytest.raises(UserError) as refused:
        asked("badminton", override)
    assert refused.value.problems == (told.format(command, "on the command line"),)
    file = tmp_path / "some.yaml"
    file.write_text(json.dumps({"rows": {"a": {"model": "wasb", "overrides": [override]}}}))
    with pytest.raises(UserError) as refused:
        read_experiment(str(file))
    assert told.format(field, "in the row") in str(refused.value)
    file.write_text(json.dumps({"overrides": [override], "rows": {"a": {"model": "wasb"}}}))
    with pytest.raises(UserError) as refused:
        read_experiment(str(file))
    assert told.format(field, "in the experiment") in str(refused.value)


def test_a_row_has_the_steps_of_its_base(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "steps: 3000\noverrides: ['data.resize=[512,288]']\n"
        "rows:\n  short: {model: wasb, steps: 600}\n  based: {base: short}\n"
        "  own: {base: based, steps: 50}\n  other: {model: wasb}\n"
    )
    made = {one.row: one.config().training.max_steps for one in requests(*read_experiment(str(file)))}
    assert made == {"short": 600, "based": 600, "own": 50, "other": 3000}


def test_weights_of_no_chosen_row_are_told() -> None:
    weights = {"facebook/dinov2-small": "here", "facebook/dinov2-smal": "there"}
    made = requests(*read_experiment("badminton"), only=["dinov2_small", "wasb"], seeds=[0], weights=weights)
    assert unused(weights, made) == ["facebook/dinov2-smal"]


def test_where_a_backbone_lies_is_no_part_of_what_is_asked_for() -> None:
    """A record of one machine is the row's on another, and its table says nothing of folders."""
    asked: dict[str, Any] = {"only": ["dinov2_small", "wasb"], "seeds": [0]}
    hub = requests(*read_experiment("badminton"), **asked)
    here = requests(*read_experiment("badminton"), **asked, weights={"facebook/dinov2-small": "/data/dinov2"})
    assert hub == here
    assert [one.name for one in hub] == [one.name for one in here]
    assert [records.asked_of(one) for one in hub] == [records.asked_of(one) for one in here]
    assert {one.row: one.train_options()[len(one.options()) :] for one in here} == {
        "dinov2_small": ["model.backbone.name=/data/dinov2"],
        "wasb": [],
    }


def test_another_input_size_reaches_what_follows_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    args = options.parse(
        ["badminton", "--input-size", "640", "352", "--rows", "detail_small", "dinov2_small"]
    )
    assert args.input_size == Size(640, 352)
    made = requests(*read_experiment("badminton"), only=args.rows, seeds=[0], input_size=args.input_size)
    sizes = {one.row: (one.config().data.resize, one.config().model.heatmap.size) for one in made}
    # Half the picture's size; and 8 cells of each patch of 14 pixels.
    assert sizes["detail_small"] == (Size(640, 352), Size(320, 176))
    assert sizes["dinov2_small"] == (Size(644, 350), Size(368, 200))
    assert all("data.resize=[6" in " ".join(one.options()) for one in made)
    check_models(made)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--input-size", "650", "360"], "multiples of 16, got 650 360: say 656 352"),
        (["--input-size", "640", "352", "--size", "toy"], "a rehearsal has a size of its own"),
        (
            ["--input-size", "640", "352", "data.resize=[512,288]"],
            "sets data.resize: leave out that override",
        ),
    ],
)
def test_sizes_that_cannot_be_meant_are_refused(more: list[str], told: str) -> None:
    with pytest.raises(UserError) as refused:
        options.parse(["badminton", *more])
    assert told in str(refused.value)


def test_rows_whose_sizes_do_not_fit_are_all_told_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("a row was trained"))
    arguments = ["badminton", "--rows", "detail_small", "wasb", "detail_frames", "--work", str(tmp_path)]
    with pytest.raises(UserError, match="not every row's model can be built") as refused:
        command.run([*arguments, "--out", str(tmp_path / "out"), "model.heatmap.size=[100,50]"])
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "detail_small",
        "wasb",
        "detail_frames",
    ]
