"""Settings that are refused, all of them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracknet.utils.config import (
    GROUPS,
    from_plain,
    load_config,
    load_saved_config,
)
from tracknet.utils.errors import EXIT_WRONG_REQUEST, UserError
from tracknet.utils.settings import (
    OptimizerConfig,
)


def problems_of(**options: Any) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        load_config(**options)
    assert caught.value.exit_code == EXIT_WRONG_REQUEST
    return caught.value.problems


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "training.batchsize=8",
            "training.batchsize (command line): no such key (did you mean training.batch_size?)",
        ),
        ("batch_size=8", "batch_size (command line): no such key (did you mean training.batch_size?)"),
        ("heatmap.size=[1,1]", "heatmap.size (command line): no such key (did you mean model.heatmap.size?)"),
        ("optimizer.lr=1", "optimizer.lr (command line): no such key (did you mean training.optimizer.lr?)"),
        ("trainig.epochs=1", "trainig.epochs (command line): no such key (did you mean training.epochs?)"),
        ("model.zzz=1", "model.zzz (command line): no such key"),
        ("training.epochs", "'training.epochs': write key=value, for example training.batch_size=8"),
        ("=3", "'=3': write key=value, for example training.batch_size=8"),
        ("training.epochs=0", "training.epochs (command line): must be at least 1, got 0"),
        ("training.epochs=2.5", "training.epochs (command line): needs a whole number, got 2.5"),
        ("training.epochs=true", "training.epochs (command line): needs a whole number, got True"),
        ("training.epochs=", "training.epochs (command line): needs a whole number, got None"),
        ("training.optimizer.lr=0", "training.optimizer.lr (command line): must be above 0, got 0"),
        ("training.optimizer.lr=fast", "training.optimizer.lr (command line): needs a number, got 'fast'"),
        ("training.optimizer.lr=.nan", "training.optimizer.lr (command line): needs a number, got nan"),
        ("training.optimizer.lr=.inf", "training.optimizer.lr (command line): needs a number, got inf"),
        ("data.jpeg_quality=101", "data.jpeg_quality (command line): must be at most 100, got 101"),
        ("data.augment.enabled=1", "data.augment.enabled (command line): needs true or false, got 1"),
        ("data.root=[a]", "data.root (command line): needs text, got ['a']"),
        ("data.sequence=3", "data.sequence (command line): needs keys and values, got 3"),
        (
            "data.sequence.anchor=first",
            "data.sequence.anchor (command line): 'first' is none of middle, last",
        ),
        (
            "training.amp=bf61",
            "training.amp (command line): 'bf61' is none of auto, bf16, fp16, off (did you mean bf16?)",
        ),
        (
            "model.decoder.channels=[D,4,4,4]",
            "model.decoder.channels[0] (command line): needs a whole number or C, got 'D'",
        ),
        ("model.decoder.channels=[C,4]", None),
        ("training.optimizer.betas=[0.9]", "training.optimizer.betas (command line): needs 2 values, got 1"),
        (
            "training.optimizer.betas=0.9",
            "training.optimizer.betas (command line): needs a list such as [a, b], got 0.9",
        ),
        ("data.resize=[1,2", None),
        ("data.root='", None),
        ("data.resize.width=5", None),
        ("data.resize[0]=5", None),
        (
            "data.sources=[{shards: a, weight: 1}, {shards: b}]",
            "data.sources (command line): give every source a weight, or none: [1] has none",
        ),
        (
            "data.sources=[{shards: a, weight: 0}]",
            "data.sources[0].weight (command line): must be above 0, got 0",
        ),
        (
            "data.sources=[{weight: 1}]",
            "data.sources[0].shards (command line): is missing: name a folder of built shards",
        ),
        (
            "data.sources=[{shard: a}]",
            "data.sources[0].shard (command line): no such key (did you mean data.sources[0].shards?)",
        ),
        ("data.sources=[]", None),
        ("data.sources=a", None),
        ("data.filter.games=[]", "data.filter.games (command line): is empty: name a game, or null for all"),
        ("data.filter.every=0", "data.filter.every (command line): must be at least 1, got 0"),
        ("data.loader.lanes=0", "data.loader.lanes (command line): must be at least 1, got 0"),
        ("training.loss.visibility_weights={7: 1}", None),
        ("training.loss.visibility_weights={²: 1}", None),
        ("training.loss.visibility_weights={1: -1}", None),
    ],
)
def test_each_wrong_override_is_named(override: str, problem: str | None) -> None:
    problems = problems_of(overrides=[override])
    assert len(problems) == 1
    if problem is None:
        key = override.partition("=")[0].partition("[")[0]
        assert problems[0].startswith(key)
        assert "(command line): " in problems[0]
    else:
        assert problems == (problem,)


@pytest.mark.parametrize(
    "size", ["512", "[512]", "[512,288,3]", "[512.0,288]", "[0,288]", "[-1,5]", "[true,5]", "abc", "{a: 1}"]
)
@pytest.mark.parametrize("key", ["data.resize", "model.heatmap.size"])
def test_sizes_are_two_whole_numbers(key: str, size: str) -> None:
    (problem,) = problems_of(overrides=[f"{key}={size}"])
    assert problem.startswith(f"{key} (command line): ")
    # A mapping cannot even be merged into the file's list.
    assert size == "{a: 1}" or "needs [width, height] in whole pixels, for example [512, 288]; got" in problem


def test_all_faults_come_at_once_each_with_its_file(tmp_path: Path) -> None:
    data, model, training = (tmp_path / f"{name}.yaml" for name in GROUPS)
    data.write_text("rezise: [1, 2]\nsequence: {length: 0}\n")
    model.write_text("heatmap: {size: [256], sigma: wide}\n")
    training.write_text("optimizer: {lr: -1, momentum: 0.9}\nepochs: 3\n")
    with pytest.raises(UserError) as caught:
        load_config(
            data=str(data),
            model=str(model),
            training=str(training),
            overrides=["training.epochs=many", "nonsense", "lr=1"],
        )
    assert caught.value.what == "the configuration has 9 problems"
    assert set(caught.value.problems) == {
        f"data.rezise ({data}): no such key (did you mean data.resize?)",
        f"data.sequence.length ({data}): must be at least 1, got 0",
        f"model.heatmap.size ({model}): needs [width, height] in whole pixels, for example [512, 288]; got [256]",
        f"model.heatmap.sigma ({model}): needs a number, got 'wide'",
        f"training.optimizer.lr ({training}): must be above 0, got -1",
        f"training.optimizer.momentum ({training}): no such key",
        "training.epochs (command line): needs a whole number, got 'many'",
        "'nonsense': write key=value, for example training.batch_size=8",
        "lr (command line): no such key (did you mean training.optimizer.lr?)",
    }


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (
            ["model.decoder.channels=[C,64]"],
            "model.decoder.channels (command line): 2 widths for 4 stages of decoder.upsample: "
            "give 5, one before the first stage and one after each",
        ),
        (
            ["model.decoder.channels=[C,64,C,8,8]"],
            "model.decoder.channels (command line): only the first width may be C",
        ),
        (
            ["model.decoder.channels=[C,64,0,8,8]"],
            "model.decoder.channels (command line): widths must be at least 1",
        ),
        (["model.decoder.upsample=[]"], "model.decoder.upsample (command line): needs one or more factors"),
        (
            ["model.decoder.upsample=[2,0,2]"],
            "model.decoder.upsample (command line): needs one or more factors",
        ),
        (["training.loss.visibility_weights={4: 1}"], "there is no visibility 4: use 0, 1, 2 or 3"),
        (["training.loss.visibility_weights={0: 1}"], "set absent: negative"),
        (["training.loss.visibility_weights={1: 0, 2: 0, 3: 0}"], "nothing would be learned"),
        (["training.optimizer.betas=[1.5, 0.9]"], "below 1"),
        (["training.metrics.pck_px=[5, -1]"], "radii must be above 0"),
        (
            ["training.unfreeze_at=5"],
            "training.unfreeze_at (command line): is of a backbone that begins frozen",
        ),
        (
            ["model.backbone.freeze=true", "training.optimizer.layer_decay=0.7"],
            "training.optimizer.layer_decay (command line): is of a backbone that learns",
        ),
        (
            ["model.backbone.name=none", "training.optimizer.layer_decay=0.7"],
            "training.optimizer.layer_decay (command line): is of a backbone that learns",
        ),
        (["model.backbone.freeze=true", "model.backbone.lora.rank=4"], "set model.backbone.freeze=false"),
        (["model.backbone.name=none", "model.backbone.lora.rank=4"], "adapts a ViT, and there is none"),
        (["model.backbone.lora.targets=[]"], "is empty: name a layer"),
        (["model.backbone.lora.rank=0"], "model.backbone.lora.rank (command line): must be at least 1"),
        (["training.ema=1"], "training.ema (command line): must be at most 0.999999"),
        (["training.loss.hard_fraction=0"], "must be above 0"),
        (
            ["training.loss.hard_fraction=0.5", "training.micro_batch=auto"],
            "takes a batch of 8 in parts, of which nobody can tell its hardest 0.5: leave it null",
        ),
        (
            ["training.loss.hard_fraction=0.5", "training.batch_size=4", "training.micro_batch=3"],
            "set training.loss.hard_fraction=1",
        ),
        (
            ["data.augment.enabled=false", "data.augment.paste.prob=0.5", "data.augment.mixup.prob=1"],
            "data.augment.enabled (command line): false switches paste and mixup off too",
        ),
        (
            ["data.augment.streak.prob=0.5", "data.sequence.length=1"],
            "data.augment.streak.prob (command line): blurs a ball along its way",
        ),
        (
            ["training.loss.hard_fraction=0.5", "training.batch_size=1"],
            "0.5 of a batch of 1 is all of it: set 1, or training.batch_size=2 or more",
        ),
        (
            # ceil(0.9 * 8) = 8
            ["training.loss.hard_fraction=0.9", "training.batch_size=8"],
            "0.9 of a batch of 8 is all of it: set at most 0.875",
        ),
        (
            ["model.backbone.name=none", "model.backbone.freeze=true"],
            "model.backbone.freeze (command line): there is no backbone",
        ),
        (
            ["model.backbone.name=none", "model.fusion.kind=attention"],
            "model.fusion.kind (command line): attention is of a backbone's tokens",
        ),
        (
            ["model.backbone.name=none", "training.optimizer.backbone_lr=1e-4"],
            "training.optimizer.backbone_lr (command line): there is no backbone to learn at it",
        ),
        (
            ["training.loss.name=mse", "training.loss.focal_alpha=1"],
            "training.loss.focal_alpha (command line): is of the focal losses, and mse has none: leave it at 2",
        ),
        (
            ["training.loss.name=wbce", "training.loss.focal_beta=2"],
            "training.loss.focal_beta (command line): is of the focal losses, and wbce has none: leave it at 4",
        ),
        (
            ["data.augment.mixup.prob=0.5", "training.loss.name=focal"],
            "training.loss.name (command line): focal takes the highest cell alone for a ball",
        ),
    ],
)
def test_what_does_not_fit_together(overrides: list[str], problem: str) -> None:
    (found,) = problems_of(overrides=overrides)
    assert problem in found


def test_hard_windows_of_a_whole_batch_are_had_with_any_size_that_takes_it():
    overrides = ["training.loss.hard_fraction=0.5", "training.batch_size=4", "training.micro_batch=4"]
    assert load_config(overrides=overrides).training.micro_batch == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer: {lr: 1", "is no readable YAML: while parsing a flow mapping"),
        ("- a\n- b\n", "must hold keys and values, it holds a list"),
        ("epochs: 1\nepochs: 2\n", "is no readable YAML"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    for load in (lambda: load_config(training=str(path)), lambda: load_saved_config(path)):
        with pytest.raises(UserError) as caught:
            load()
        assert caught.value.what.startswith(f"{path} ")
        assert message in caught.value.what


def test_a_file_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x00epochs")
    with pytest.raises(UserError, match=r"bad\.yaml is no readable YAML"):
        load_config(training=str(path))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        load_config(model="vit_heatmpa")
    assert caught.value.what == (
        "--model vit_heatmpa: there is no such model config (did you mean vit_heatmap?)"
    )
    assert "vit_heatmap, vit_tiny" in str(caught.value.remedy)
    with pytest.raises(UserError, match=r"--data nowhere/x\.yaml: no such file"):
        load_config(data="nowhere/x.yaml")


def test_an_interpolation_that_leads_nowhere() -> None:
    with pytest.raises(UserError, match="cannot be resolved: Interpolation key 'nothing' not found"):
        load_config(overrides=["data.root=${nothing}"])


def test_one_problem_is_not_called_problems() -> None:
    with pytest.raises(UserError) as caught:
        from_plain(OptimizerConfig, {"lr": -1}, where="optimizer.json")
    assert str(caught.value) == "optimizer.json has 1 problem\n  - lr: must be above 0, got -1"
