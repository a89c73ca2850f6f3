"""Files and overrides that are refused, with all the faults in them at once."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("batch_size=8", "batch_size (command line): no such key (did you mean training.batch_size?)"),
        ("heatmap.size=[1,1]", "heatmap.size (command line): no such key (did you mean model.heatmap.size?)"),
        ("optimizer.lr=1", "optimizer.lr (command line): no such key (did you mean training.optimizer.lr?)"),
        ("trainig.epochs=1", "trainig.epochs (command line): no such key (did you mean training.epochs?)"),
        (
            "training.epochs",
            "'training.epochs' (command line): write key=value, for example training.batch_size=8",
        ),
        ("=3", "'=3' (command line): write key=value, for example training.batch_size=8"),
        ("data.resize=[1,2", None),
        ("data.root='", None),
        ("data.resize.width=5", "data.resize (command line): needs a list, got width=5"),
        ("data.resize[0]=5", None),
    ],
)
def test_an_override_that_cannot_be_merged_is_named(override: str, problem: str | None) -> None:
    with pytest.raises(UserError) as caught:
        load_config(overrides=[override])
    assert caught.value.exit_code == EXIT_WRONG_REQUEST
    problems = caught.value.problems
    assert len(problems) == 1
    if problem is None:
        key = override.partition("=")[0].partition("[")[0]
        assert problems[0].startswith(key)
        assert "(command line): " in problems[0]
    else:
        assert problems == (problem,)


def test_overrides_of_a_file_are_named_with_it() -> None:
    with pytest.raises(UserError) as caught:
        load_config(
            overrides=[
                "training.epochs=many",
                "nonsense",
                "lr=1",
                "data.resize.width=5",
                "model.head.maps=few",
            ],
            places=["some.yaml", "some.yaml: a", "some.yaml: a", "some.yaml"],
        )
    assert sorted(problem.partition(": ")[0] for problem in caught.value.problems) == [
        "'nonsense' (some.yaml",
        "data.resize (some.yaml)",
        "lr (some.yaml",
        "model.head.maps (command line)",
        "training.epochs (some.yaml)",
    ]


def test_more_places_than_overrides_are_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match="2 places of 1 overrides"):
        load_config(overrides=["training.epochs=2"], places=["some.yaml", "some.yaml"])


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
        "'nonsense' (command line): write key=value, for example training.batch_size=8",
        "lr (command line): no such key (did you mean training.optimizer.lr?)",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer: {lr: 1", "expected ',' or '}'"),
        ("- a\n- b\n", "must hold keys and values, it holds a list"),
        ("epochs: 1\nepochs: 2\n", "is no readable YAML: line 2: found duplicate key epochs"),
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
