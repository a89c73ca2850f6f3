"""What the recipe adds to a training: it does what it says, and a run stopped anywhere goes on to the same bits."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import RunRanks, records
from tracknet.models.model import TrackNet
from tracknet.scripts import train
from tracknet.training.checkpoint import load_checkpoint
from tracknet.training.learner import Learner
from tracknet.training.losses import build_loss
from tracknet.training.pictures import OverlayCollector
from tracknet.training.run_log import StepReport
from tracknet.training.setup import prepare
from tracknet.utils.config import load_config
from tracknet.utils.errors import Interrupted, UserError, cli_main

THAW = ["model.backbone.freeze=true", "training.unfreeze_at=4"]
LORA = ["model.backbone.lora={rank: 2, dropout: 0.1}"]
EMA = ["training.ema=0.9"]
SHORT = ["training.max_steps=8", "training.log_every_steps=1", "training.overlay_images=0"]
Weights = dict[str, torch.Tensor]


def runs_of(args: list[str]) -> Path:
    return next(Path(arg.partition("=")[2]) for arg in args if arg.startswith("training.log_dir="))


def weights_of(run: Path) -> Weights:
    return load_file(run / "checkpoints" / "last" / "model" / "model.safetensors")


def assert_equal(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    take = Learner.step

    def step_then_signal(self: Learner, batches: object, number: int) -> StepReport:
        report = take(self, batches, number)  # type: ignore[arg-type]
        if number == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return report

    patch.setattr(Learner, "step", step_then_signal)


def stop_within_validation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(OverlayCollector, "take", lambda *given: os.kill(os.getpid(), signal.SIGTERM))


def assert_same_state(whole: Path, parts: Path) -> None:
    """The model, the weights that go on being trained, their average and the moments, to the bit."""
    assert_equal(weights_of(whole), weights_of(parts))
    one, other = (load_checkpoint(run / "checkpoints")[2] for run in (whole, parts))
    assert_equal(one.get("weights", {}), other.get("weights", {}))
    if "ema" in one:
        assert one["ema"]["updates"] == other["ema"]["updates"]
        assert_equal(one["ema"]["weights"], other["ema"]["weights"])
    states = [tensors["optimizer"]["state"] for tensors in (one, other)]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][k]["exp_avg"].equal(states[1][k]["exp_avg"]) for k in states[0])
    figures = [
        [(r["step"], r["loss"], r["lr"], r["backbone_lr"]) for r in records(run, "train")]
        for run in (whole, parts)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("recipe", "stops"),
    [
        ([*THAW, *EMA, "training.optimizer.layer_decay=0.8"], [2, 4, 6]),
        ([*LORA, *EMA], [3]),
        ([*LORA, "training.sizes.factors=[0.5,1]"], [3]),
        ([*EMA, "training.loss.hard_fraction=0.5", "training.loss.positive_weight=3"], [None]),
    ],
    ids=["thaw+ema", "lora+ema", "lora, two sizes", "ema, stopped while it is validated"],
)
def test_a_run_stopped_anywhere_goes_on_to_the_same_bits(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch, recipe: list[str], stops: list[int | None]
) -> None:
    """Before, at and after the step that the backbone thaws at."""
    if recipe[: len(LORA)] == LORA:
        pytest.importorskip("peft", reason='peft is not installed: pip install -e ".[lora]"')
    args = [*small_train_args, *recipe, *SHORT]
    assert train.run([*args, "--name", "whole"]) == 0
    for stop in stops:
        name = f"parts-{stop}"
        with monkeypatch.context() as patch:
            stop_within_validation(patch) if stop is None else stop_after(patch, stop)
            with pytest.raises(Interrupted):
                train.run([*args, "--name", name])
        torch.manual_seed(123)
        assert train.run(["--resume", str(runs_of(args) / name)]) == 0
        assert_same_state(runs_of(args) / "whole", runs_of(args) / name)


def test_the_backbone_is_as_it_was_until_it_thaws_and_the_log_says_when(
    small_train_args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*small_train_args, *THAW, *SHORT, "training.scheduler.warmup_epochs=0"]
    config = load_config(model="vit_tiny", training="cpu", overrides=[a for a in args if "=" in a])
    first = {name: value.clone() for name, value in prepare(config).model.state_dict().items()}
    for steps in (4, 8):
        assert train.run([*args, "--name", f"to-{steps}", f"training.max_steps={steps}"]) == 0
    runs = runs_of(args)
    moved = {
        steps: {
            name for name, value in weights_of(runs / f"to-{steps}").items() if not value.equal(first[name])
        }
        for steps in (4, 8)
    }
    assert moved[4] and not any(name.startswith("backbone.") for name in moved[4])
    assert any(name.startswith("backbone.vit.embeddings.") for name in moved[8])
    (note,) = records(runs / "to-8", "note")
    assert note["step"] == 5
    assert not records(runs / "to-4", "note")
    said = capsys.readouterr().out
    assert said.count("step 5: from here on the backbone is trained") == 1
    assert said.count("stays frozen: training.unfreeze_at=4 is not before the end of 4 steps") == 1
    rates = [r["backbone_lr"] for r in records(runs / "to-8", "train")]
    assert rates[:4] == [0.0] * 4
    assert all(rate > 0 for rate in rates[4:])


def test_what_is_saved_and_validated_is_the_average(small_train_args: list[str]) -> None:
    """An average that hardly moves from what it was after the first step is another model than the last weights."""
    args = [*small_train_args, *SHORT, "training.optimizer.lr=0.01"]
    assert train.run([*args, *EMA, "--name", "average"]) == 0
    assert train.run([*args, "--name", "plain"]) == 0
    runs = runs_of(args)
    tensors = load_checkpoint(runs / "average" / "checkpoints")[2]
    # The training itself takes no notice of the average.
    own = {**weights_of(runs / "average"), **tensors["weights"]}
    assert_equal(own, weights_of(runs / "plain"))
    saved = weights_of(runs / "average")
    assert not saved["head.conv.weight"].equal(own["head.conv.weight"])
    # It is in the model's folder already.
    assert tensors["ema"] == {"updates": 8, "weights": {}}
    figures = [records(runs / name, "val")[0]["l2_mean_px"] for name in ("average", "plain")]
    assert figures[0] != figures[1]
    # Without the average the run goes on from its own weights.
    more = ["--resume", str(runs / "average"), "training.ema=null", "training.max_steps=9"]
    assert train.run(more) == 0
    assert train.run(["--resume", str(runs / "plain"), "training.max_steps=9"]) == 0
    assert_equal(weights_of(runs / "average"), weights_of(runs / "plain"))


def test_a_run_with_adapters_is_a_plain_model_and_keeps_its_settings(
    small_train_args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft", reason='peft is not installed: pip install -e ".[lora]"')
    args = [*small_train_args, *LORA, "training.max_steps=2"]
    assert train.run([*args, "--name", "lora"]) == 0
    run = runs_of(args) / "lora"
    with pytest.raises(
        UserError, match=r"this run began with model.backbone.lora=.*'alpha': 16.0.*'alpha': 4.0"
    ):
        train.run(["--resume", str(run), "training.max_steps=3", "model.backbone.lora.alpha=4"])
    # A new run begins with the merged weights, and need not have adapters.
    more = [*small_train_args, f"training.init_from={run}", "training.max_steps=1"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "peft", None)
        model = TrackNet.from_pretrained(run / "checkpoints" / "last" / "model")
        assert not any("lora" in name for name in model.state_dict())
        assert train.run([*more, "--name", "next"]) == 0


@pytest.mark.parametrize(
    "recipe",
    [
        [*THAW, *EMA, "training.loss.hard_fraction=0.5"],
        ["training.accumulate=2", "training.max_steps=5", *THAW, "training.unfreeze_at=2"],
    ],
    ids=["thaw+ema+hard", "thaw+accumulate"],
)
def test_two_ranks_train_as_one_process(
    small_train_args: list[str], tmp_path: Path, run_ranks: RunRanks, recipe: list[str]
) -> None:
    """The hard windows are of the whole batch, and another replica is made when the backbone thaws."""
    plain = "model.backbone.config.hidden_dropout_prob=0"
    args = [*small_train_args, *SHORT, plain, *recipe]
    assert train.run([*args, "--name", "one"]) == 0
    said = tmp_path / "rank_0.out"
    assert run_ranks(lambda rank: cli_main(train.run, [*args, "--name", "two"])) == [0, 0], said.read_text()
    runs = tmp_path / "runs"
    tables = [[(r["loss"], r["grad_norm"]) for r in records(runs / name, "train")] for name in ("one", "two")]
    assert len(tables[0]) == len(tables[1]) > 4
    for one, two in zip(*tables, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)
    a, b = weights_of(runs / "one"), weights_of(runs / "two")
    assert all(torch.allclose(a[name], b[name], rtol=1e-3, atol=1e-4) for name in a)
    assert said.read_text().count("from here on the backbone is trained") == 1


@pytest.mark.parametrize("absent", ["mask", "negative"])
def test_a_frame_without_a_ball_pushes_its_map_down_or_has_no_say(
    small_train_args: list[str], absent: str
) -> None:
    """By a batch of the training's own stream; and a hard ball counts as its class weighs."""
    overrides = [a for a in small_train_args if "=" in a] + [
        f"training.loss.absent={absent}",
        "training.loss.visibility_weights={1: 0.25}",
        "training.batch_size=8",
    ]
    config = load_config(model="vit_tiny", training="cpu", overrides=overrides)
    setup = prepare(config)
    seen = 0
    for batch in setup.train.epoch():
        logits = torch.zeros(batch.heatmaps.shape, requires_grad=True)
        build_loss(config.training.loss)(logits, batch.heatmaps, batch.weights).backward()
        assert logits.grad is not None
        for one in range(len(batch)):
            without = int(batch.visibility[one, 0]) == 0
            seen += without
            gradient = logits.grad[one, 0]
            if not without:
                assert batch.weights[one, 0] == 0.25
                assert (gradient < 0).any()
            elif absent == "negative":
                assert batch.weights[one, 0] == 1.0
                assert (gradient > 0).all()
            else:
                assert not gradient.any()
    setup.train.close()
    # One frame of each of the two clips has no ball.
    assert seen == 2
