"""Settings of the wrong name, type or size, or that do not fit together: each is named with what it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracknet.utils.config import load_config, load_saved_config
from tracknet.utils.errors import EXIT_WRONG_REQUEST, UserError
from tracknet.utils.settings.without_effect import unheard


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
        ("model.zzz=1", "model.zzz (command line): no such key"),
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
        ("training.sizes=[0.5,1]", "training.sizes (command line): needs keys and values, got [0.5,1]"),
        ("model.decoder.channels.b=3", "model.decoder.channels (command line): needs a list, got b=3"),
        ("model.decoder.channels={a: 1}", "model.decoder.channels (command line): needs a list, got {a: 1}"),
        (
            "data.sequence.anchor=first",
            "data.sequence.anchor (command line): 'first' is none of middle, last",
        ),
        (
            "model.decoder.detail_kernel=3.0",
            "model.decoder.detail_kernel (command line): 3.0 is none of 3, 4",
        ),
        (
            "model.decoder.detail_finest=true",
            "model.decoder.detail_finest (command line): True is none of 1, 2",
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
def test_each_wrong_value_is_named(override: str, problem: str | None) -> None:
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
            ["model.fusion.kind=anchor", "model.decoder.skip=none"],
            "model.fusion.kind (command line): with anchor and without a skip nothing looks at 2 of the 3 frames: set "
            "model.decoder.skip=detail, or model.fusion.kind=concat with data.sequence.length=1",
        ),
        (
            ["model.fusion.kind=anchor", "data.sequence.length=1"],
            "model.fusion.kind (command line): anchor is of several frames, and data.sequence.length=1 shows one",
        ),
        (
            ["model.fusion.kind=attention", "data.sequence.length=1", "model.decoder.skip=none"],
            "model.fusion.kind (command line): attention is of several frames, and data.sequence.length=1 shows one",
        ),
        (
            ["training.sizes.order=growing"],
            "training.sizes.order (command line): is of several sizes, and training.sizes.factors names none: leave it "
            "at mixed",
        ),
        (
            ["training.sizes.full_share=0.5"],
            "training.sizes.full_share (command line): is of several sizes, and training.sizes.factors names none",
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
            ["training.loss.focal_beta=2"],
            "training.loss.focal_beta (command line): is of focal, and quality_focal has none: leave it at 4",
        ),
        (
            ["training.scheduler.name=constant", "training.scheduler.min_lr_ratio=0.1"],
            "training.scheduler.min_lr_ratio (command line): is of the cosine, and constant has none: leave it at 0.01",
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


def test_augmentation_can_be_switched_off_without_setting_its_strengths_back(tmp_path: Path) -> None:
    saved = tmp_path / "config.yaml"
    saved.write_text("data: {augment: {flip_prob: 0.9, per: run, scale: 0.4}}")
    config = load_saved_config(saved, ["data.augment.enabled=false"])
    assert (config.data.augment.enabled, config.data.augment.flip_prob) == (False, 0.9)


@pytest.mark.parametrize(
    ("key", "value", "beside"),
    [
        ("training.loss.focal_beta", 2.0, "training.loss.name=quality_focal"),
        ("training.loss.focal_alpha", 1.0, "training.loss.name=mse"),
        ("training.scheduler.min_lr_ratio", 0.1, "training.scheduler.name=constant"),
    ],
)
def test_a_run_that_is_older_than_the_refusal_of_settings_without_effect_goes_on(
    tmp_path: Path, key: str, value: float, beside: str
) -> None:
    _, group, name = key.split(".")
    saved = tmp_path / "config.yaml"
    saved.write_text(f"training: {{{group}: {{name: {beside.rpartition('=')[2]}, {name}: {value}}}}}")
    for overrides in ((), ("training.epochs=40",)):
        config = load_saved_config(saved, overrides)
        assert getattr(getattr(config.training, group), name) == value
    # What is asked for now is refused as ever.
    with pytest.raises(UserError, match=rf"{key} \(command line\): is of "):
        load_saved_config(saved, [f"{key}=3" if value > 0.5 else f"{key}=0.3"])


def test_hard_windows_of_a_whole_batch_are_had_with_any_size_that_takes_it():
    overrides = ["training.loss.hard_fraction=0.5", "training.batch_size=4", "training.micro_batch=4"]
    assert load_config(overrides=overrides).training.micro_batch == 4


# ---------------------------------------------------------------- all of it at once


@pytest.mark.parametrize(
    ("model", "overrides", "keys"),
    [
        (
            "wasb",
            [
                *(
                    "model.decoder.skip=none",
                    "model.decoder.detail_channels=4",
                    "model.decoder.channels=[C,8]",
                ),
                *(
                    "model.decoder.upsample=[2]",
                    "model.decoder.kind=interpolate",
                    "model.decoder.convolutions=3",
                ),
                *("model.fusion.kind=attention", "model.fusion.layers=sum", "model.head.subpixel=2"),
            ],
            [
                *(
                    "decoder.skip",
                    "decoder.detail_channels",
                    "decoder.channels",
                    "decoder.upsample",
                    "decoder.kind",
                ),
                *("decoder.convolutions", "fusion.kind", "fusion.layers", "head.subpixel"),
            ],
        ),
        (
            "detail_small",
            [
                *("model.fusion.kind=attention", "model.fusion.layers=sum", "model.backbone.layers=[3]"),
                *("training.optimizer.layer_decay=0.5", "training.optimizer.backbone_lr=1e-4"),
                "model.backbone.freeze=true",
            ],
            [
                *("fusion.kind", "fusion.layers", "backbone.layers", "backbone.freeze"),
                *("training.optimizer.layer_decay", "training.optimizer.backbone_lr"),
            ],
        ),
        (
            "vit_heatmap",
            ["training.sizes.factors=[-1,1]", "training.sizes.full_share=2"],
            ["training.sizes.factors", "training.sizes.full_share"],
        ),
        (
            "vit_heatmap",
            ["training.loss.visibility_weights={4: 1}", "training.loss.hard_fraction=0"],
            ["training.loss.visibility_weights", "training.loss.hard_fraction"],
        ),
        ("vit_heatmap", ["training.micro_batch=9", "training.batch_size=4"], ["training.micro_batch"]),
    ],
)
def test_all_that_is_wrong_or_without_effect_is_told(
    model: str, overrides: list[str], keys: list[str]
) -> None:
    problems = problems_of(model=model, overrides=overrides)
    wanted = [key if key.startswith("training.") else f"model.{key}" for key in keys]
    assert sorted(problem.partition(" ")[0] for problem in problems) == sorted(wanted)
    assert all("(command line): " in problem for problem in problems)


@pytest.mark.parametrize(
    "overrides",
    [
        # 3 stages are the usual number, and 2 widths would be wrong for them.
        ["model.decoder.upsample=[x]", "model.decoder.channels=[C,8]"],
        ["training.batch_size=0", "training.micro_batch=9"],
        ["training.batchsize=64", "training.micro_batch=9"],
        ["training.sizes.factors=many", "training.sizes.full_share=0.5"],
        ["model.backbone=none", "training.optimizer.layer_decay=0.5"],
    ],
)
def test_nothing_is_concluded_from_what_is_wrong(overrides: list[str]) -> None:
    (problem,) = problems_of(overrides=overrides)
    assert problem.startswith(overrides[0].partition("=")[0])


@pytest.mark.parametrize(
    ("skip", "length", "asked", "says"),
    [
        ("none", 3, "detail_channels", "is of the detail stem, which model.decoder.skip=none leaves out"),
        ("detail", 1, "detail_input", "data.sequence.length=1 shows one frame"),
        # A file of configs/model says so, and its rows of one frame are trained all the same.
        ("detail", 1, "kind", None),
        ("none", 3, "skip", None),
        ("detail", 3, "detail_input", None),
    ],
)
def test_what_a_file_may_say_is_told_where_a_person_asks_for_it(
    skip: str, length: int, asked: str, says: str | None
) -> None:
    overrides = [f"model.decoder.skip={skip}", f"data.sequence.length={length}"]
    config = load_config(model="dinov2_small", overrides=overrides)
    lines = list(unheard(config.model, length, lambda key: key == f"model.decoder.{asked}"))
    assert len(lines) == (says is not None)
    assert says is None or says in lines[0]
