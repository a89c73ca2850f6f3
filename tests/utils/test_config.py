"""Settings from files and the command line: what is composed, what wins, and there and back."""

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
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import (
    Config,
    DataConfig,
    DecoderConfig,
    LossConfig,
    ModelConfig,
    SourceConfig,
    TrainingConfig,
)

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


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


def test_an_empty_file_takes_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert load_config(training=str(path)).training == TrainingConfig()


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
