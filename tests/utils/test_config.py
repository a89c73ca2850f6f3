"""Settings from files and the command line: what is composed, and what is refused, all of it at once."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.utils.config import (
    GROUPS,
    config_folders,
    from_plain,
    load_config,
    load_saved_config,
    sets_key,
    to_plain,
    to_yaml,
)
from tracknet.utils.errors import EXIT_WRONG_REQUEST, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import (
    Config,
    DataConfig,
    DecoderConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SourceConfig,
    TrainingConfig,
)

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def problems_of(**options: Any) -> tuple[str, ...]:
    with pytest.raises(UserError) as caught:
        load_config(**options)
    assert caught.value.exit_code == EXIT_WRONG_REQUEST
    return caught.value.problems


def at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config[name] if isinstance(config, dict) else getattr(config, name)
    return config


# ---------------------------------------------------------------- what is shipped


@pytest.mark.parametrize(
    "path",
    sorted(path for group in GROUPS for path in (CONFIGS / group).glob("*.yaml")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_shipped_config_loads(path: Path) -> None:
    config = load_config(**{path.parent.name: path.stem})
    assert isinstance(config, Config)
    assert from_plain(Config, to_plain(config)) == config


def test_the_shipped_files_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CONFIGS in config_folders()
    assert load_config().model.heatmap.size == Size(512, 288)
    # Experiments are made of these (tests/models/test_experiments.py).
    assert {path.name for path in CONFIGS.iterdir()} == {*GROUPS, "experiments"}


def test_configs_of_the_working_folder_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for group, text in (("model", "heatmap: {sigma: 3.5}"), ("training", "epochs: 7")):
        (tmp_path / "configs" / group).mkdir(parents=True)
        (tmp_path / "configs" / group / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    config = load_config(model="mine", training="mine")
    assert (config.model.heatmap.sigma, config.training.epochs) == (3.5, 7)
    # What is not there is taken from those that are shipped.
    assert config.data == load_config().data


def test_sizes_arrive_as_sizes_and_lists_as_tuples() -> None:
    config = load_config(overrides=["data.resize=[96,48]", "training.metrics.pck_px=[1,2.5]"])
    assert config.data.resize == Size(96, 48)
    assert isinstance(config.data.resize, Size)
    assert config.training.metrics.pck_px == (1.0, 2.5)
    assert [type(value) for value in config.training.metrics.pck_px] == [float, float]
    assert config.model.decoder.channels == ("C", 256, 128, 64, 32)


# ---------------------------------------------------------------- what wins


def test_file_over_default_and_command_line_over_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("batch_size: 3\nepochs: 5\noptimizer: {lr: 0.5}\n")
    config = load_config(
        training=str(path),
        overrides=["training.epochs=6", "training.epochs=9", "training.optimizer.weight_decay=0"],
    )
    training = config.training
    assert (training.batch_size, training.epochs) == (3, 9)
    assert (training.optimizer.lr, training.optimizer.weight_decay) == (0.5, 0.0)
    assert training.accumulate == TrainingConfig().accumulate


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.optimizer.lr=1e-4", 1e-4),
        ("training.optimizer.lr=1", 1.0),
        ("training.max_steps=null", None),
        ("training.amp=off", "off"),
        ("training.device=0", "0"),
        ("data.augment.enabled=false", False),
        ("data.files=shards/train-{000..003}.tar", ("shards/train-{000..003}.tar",)),
        ("data.files=[shards/train-<000..003>.tar, b.tar]", ("shards/train-<000..003>.tar", "b.tar")),
        ("data.val_games=9", ("9",)),
        ("data.val_games=[game9, 10]", ("game9", "10")),
        ("data.root=/a path/with=equals", "/a path/with=equals"),
        (
            "data.sources=[{shards: a, weight: 2}, {shards: [b-<0..3>.tar, c.tar], weight: 0.5}]",
            (SourceConfig(("a",), 2.0), SourceConfig(("b-<0..3>.tar", "c.tar"), 0.5)),
        ),
        ("data.filter.games=2", ("2",)),
        ("training.loss.visibility_weights={2: 0.5}", {1: 1.0, 2: 0.5, 3: 1.0}),
        ("model.backbone.config.hidden_size=64", 64),
    ],
)
def test_values_on_the_command_line(override: str, value: Any) -> None:
    assert at(load_config(overrides=[override]), override.partition("=")[0]) == value


# ---------------------------------------------------------------- what is refused


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


def test_an_empty_file_takes_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_config(training=str(path)).training == TrainingConfig()


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        load_config(model="vit_heatmpa")
    assert caught.value.what == (
        "--model vit_heatmpa: there is no such model config (did you mean vit_heatmap?)"
    )
    assert "vit_heatmap, vit_tiny" in str(caught.value.remedy)
    with pytest.raises(UserError, match=r"--data nowhere/x\.yaml: no such file"):
        load_config(data="nowhere/x.yaml")


def test_whether_a_key_is_set_is_known_without_what_its_value_refers_to() -> None:
    for overrides, is_set in (
        (["data.shards=${data.root}/shards"], True),
        (["data={shards: '${data.root}/shards'}"], True),
        (["data.shards=x", "data.shards=null"], False),
        (["data.root=x"], False),
        (["data=x"], False),
        (["data=x", "=y", "training.lr=[", "data.shards=x"], True),
    ):
        assert sets_key(overrides, "data.shards") is is_set, overrides
    assert load_config(overrides=["data.root=here", "data.shards=${data.root}/shards"]).data.shards == (
        "here/shards"
    )


def test_an_interpolation_that_leads_nowhere() -> None:
    with pytest.raises(UserError, match="cannot be resolved: Interpolation key 'nothing' not found"):
        load_config(overrides=["data.root=${nothing}"])


def test_one_problem_is_not_called_problems() -> None:
    with pytest.raises(UserError) as caught:
        from_plain(OptimizerConfig, {"lr": -1}, where="optimizer.json")
    assert str(caught.value) == "optimizer.json has 1 problem\n  - lr: must be above 0, got -1"


# ---------------------------------------------------------------- there and back

SAVED = Config(
    data=DataConfig(
        root="1e3",
        shards="off",
        files=("a: b", "#c", "null"),
        resize=None,
        val_games=("game9", "10"),
    ),
    model=ModelConfig(decoder=DecoderConfig(channels=("C", 7), upsample=(4,))),
    training=TrainingConfig(
        amp="off",
        device="0",
        loss=LossConfig(absent="negative", visibility_weights={0: 0.1, 3: 2.0}),
        max_steps=5,
    ),
)


@pytest.mark.parametrize("config", [Config(), SAVED], ids=["defaults", "awkward"])
def test_there_and_back(config: Config, tmp_path: Path) -> None:
    plain = to_plain(config)
    assert only_plain(plain)
    assert from_plain(Config, plain) == config
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert load_saved_config(path) == config
    overridden = load_saved_config(path, ["training.epochs=77"])
    assert overridden == dataclasses.replace(config, training=dataclasses.replace(config.training, epochs=77))


def test_a_run_from_before_a_setting_goes_on_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    plain = to_plain(Config())
    del plain["data"]["augment"]["per"]
    for old in (plain, {"training": {"epochs": 3}}):
        path.write_text(json.dumps(old))
        assert load_saved_config(path).data.augment.per == "window"
        assert load_saved_config(path, ["data.augment.per=run"]).data.augment.per == "run"
    for said in ("run", "window"):
        plain["data"]["augment"]["per"] = said
        path.write_text(json.dumps(plain))
        assert load_saved_config(path).data.augment.per == said
    del plain["data"]["augment"]["warp_prob"]
    path.write_text(json.dumps(plain))
    assert load_saved_config(path).data.augment.warp_prob == 1.0
    assert Config().data.augment.warp_prob == 0.2
    path.write_text("data: {augment: 3}\n")
    with pytest.raises(UserError, match=r"data\.augment .*needs keys and values, got 3"):
        load_saved_config(path)


def test_visibility_weights_survive_json() -> None:
    assert from_plain(Config, json.loads(json.dumps(to_plain(SAVED)))) == SAVED


@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff"), max_size=12
    )
)
def test_any_text_survives_the_yaml(text: str) -> None:
    config = DataConfig(root=text)
    if "${" in text or text == "???":
        return  # OmegaConf's own syntax
    from omegaconf import OmegaConf

    assert from_plain(DataConfig, OmegaConf.to_container(OmegaConf.create(to_yaml(config)))) == config


def test_a_saved_config_names_its_file_and_suggests(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training: {epoch: 3}\n")
    with pytest.raises(UserError) as caught:
        load_saved_config(path)
    assert caught.value.problems == (f"training.epoch ({path}): no such key (did you mean training.epochs?)",)
    with pytest.raises(UserError, match=r"none\.yaml is no readable YAML: .*No such file"):
        load_saved_config(tmp_path / "none.yaml")


def test_every_setting_has_a_default_that_is_allowed() -> None:
    def visit(kind: Any) -> int:
        hints, count = typing.get_type_hints(kind), 0
        from_plain(kind, to_plain(kind()))
        for field in dataclasses.fields(kind):
            if dataclasses.is_dataclass(hints[field.name]):
                count += visit(hints[field.name])
            count += 1
        return count

    assert visit(Config) > 70


def only_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and only_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(only_plain(item) for item in value)
    return value is None or type(value) in (str, int, float, bool)
