"""What is wrong in an experiment's file is told with its place, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ablation import options
from benchmarks.ablation.experiment import read_experiment
from benchmarks.ablation.plan import requests
from tracknet.utils.errors import UserError

SIZE = "data.resize=[512,288]"


def refused(tmp_path: Path, experiment: dict[str, Any], **given: Any) -> UserError:
    """What reading an experiment and planning its rows is refused with; sizes are said unless it says its own."""
    file = tmp_path / "some.yaml"
    file.write_text(json.dumps({"overrides": [SIZE], "rows": {"a": {"model": "wasb"}}, **experiment}))
    with pytest.raises(UserError) as error:
        requests(*read_experiment(str(file)), **given)
    return error.value


@pytest.mark.parametrize("name", ["a/b", "", "..", ".a", "-a", "a b", "a|b"])
def test_a_row_whose_name_is_none_is_told_with_the_file(tmp_path: Path, name: str) -> None:
    error = refused(tmp_path, {"rows": {name: {"model": "wasb"}}})
    assert error.what == f"{tmp_path / 'some.yaml'} has 1 problem"
    assert error.problems == (
        f"rows: {name!r} is no name of a row: take letters, digits and _, after the first also . and -",
    )


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ([], "seeds: there are none; leave the line out for those that hold otherwise"),
        ([0, 1, 0], "seeds: the seed 0 comes twice"),
    ],
)
def test_seeds_that_cannot_be_are_told(tmp_path: Path, seeds: list[int], told: str) -> None:
    assert refused(tmp_path, {"seeds": seeds}).problems == (told,)
    error = refused(tmp_path, {"rows": {"a": {"model": "wasb", "seeds": seeds}}})
    assert (error.what, error.problems) == (f"{tmp_path / 'some.yaml'}: a has 1 problem", (told,))


def test_a_seed_that_comes_twice_on_the_command_line_is_told() -> None:
    with pytest.raises(UserError) as error:
        options.parse(["badminton", "--seeds", "1", "0", "1"])
    assert error.value.problems == ("--seeds: the seed 1 comes twice",)


def test_a_row_without_a_model_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path, {"rows": {"a": {"model": "wasb"}, "b": {"steps": 5}, "c": {"base": "b"}}})
    assert error.what == f"{tmp_path / 'some.yaml'}: rows have no model"
    assert [problem.partition(":")[0] for problem in error.problems] == ["b", "c"]
    assert error.problems[0] == "b: it has neither model nor base"


def test_a_place_is_no_key_of_the_file(tmp_path: Path) -> None:
    assert refused(tmp_path, {"file": "here"}).problems == ("file: no such key",)


@pytest.mark.parametrize(
    ("override", "instead"),
    [
        ("data.shards=here", "--shards FOLDER"),
        ("data.files=[a.tar]", "--shards FOLDER"),
        ("data.sources=[{shards: [a]}]", "--shards FOLDER"),
        ("training.log_dir=here", "--work FOLDER"),
    ],
)
def test_places_that_have_no_effect_are_refused(tmp_path: Path, override: str, instead: str) -> None:
    told = f"{override.partition('=')[0]} cannot be set here; say `{instead}` on the command line instead"
    assert refused(tmp_path, {"rows": {"a": {"model": "wasb", "overrides": [override]}}}).problems == (
        f"overrides: {told}",
    )
    assert refused(tmp_path, {"overrides": [SIZE, override]}).problems == (f"overrides: {told}",)
    assert refused(tmp_path, {}, overrides=[override]).problems == (told,)


def test_what_is_wrong_is_told_with_the_place_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    rows = {"a": {"model": "wasb", "overrides": ["model.no=1"]}, "b": {"base": "a"}}
    error = refused(
        tmp_path,
        {"overrides": [SIZE, "training.batch_size=many"], "rows": rows},
        overrides=["training.amp=loud"],
    )
    assert error.what == "not every row can be trained"
    in_a, in_b = error.problems
    for name, told in (("a", in_a), ("b", in_b)):
        assert told.startswith(f"{name}: ")
        assert f"training.batch_size ({file}): needs a whole number" in told
        assert f"model.no ({file}: {name}): no such key" in told
        assert "training.amp (command line): 'loud' is none of " in told


@pytest.mark.parametrize("more", [[], ["data.resize=null"]])
def test_a_size_that_is_left_to_the_checkpoint_is_told(tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "data.yaml").write_text("resize: null\n")
    (problem,) = refused(tmp_path, {"data": str(tmp_path / "data.yaml"), "overrides": more}).problems
    assert problem.startswith("a: data.resize is null: a row's size has to be said")
    assert "data.resize=[512,288]" in problem


@pytest.mark.parametrize(
    ("split", "games", "told"),
    [
        ("test", [], "data.test_games names no game of it"),
        ("val", ["data.val_games=[]", "data.test_games=[3]"], "data.val_games names no game of it"),
    ],
)
def test_a_split_without_games_is_told_before_any_training(
    tmp_path: Path, split: str, games: list[str], told: str
) -> None:
    (problem,) = refused(tmp_path, {"split": split, "overrides": [SIZE, *games]}).problems
    assert problem.startswith(f"a: the experiment scores the split {split}, and {told}")
    assert f"such as data.{split}_games=[match2,match3]" in problem


def test_a_split_that_is_none_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path, {"split": "tets"}).problems == (
        "split: 'tets' is none of train, val, test (did you mean test?)",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rows: {a: {model: wasb}", "expected ',' or '}'"),
        ("rows:\n  a: {model: wasb}\n  a: {model: wasb}", "line 3: found duplicate key a"),
        ("rows: {a: detail_fine}", "needs keys and values, got 'detail_fine'"),
        ("rows: {a: {model: wasb}, b: null}", "needs keys and values, got None"),
        (
            "rows: {a: {model: wasb, overrides: [{training.batch_size: 2}]}}",
            "needs text, got {'training.batch_size': 2}",
        ),
        ("- a", "must hold keys and values"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_experiment(str(path))
    assert str(path) in str(caught.value)
    assert told in str(caught.value)
