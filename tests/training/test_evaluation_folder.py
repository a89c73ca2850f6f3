"""Where evaluations go, and that their files change all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracknet.training.evaluation_folder import (
    check_kind,
    place_for,
    place_for_pair,
    replaced_files,
)
from tracknet.utils.errors import UserError

X, Y, Z = "1111aaaa" * 8, "2222bbbb" * 8, "3333cccc" * 8


def evaluated(place: Path, build_id: str, model: str = "m") -> None:
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps({"build_id": build_id, "model": model}))


def test_another_builds_evaluation_is_not_replaced(tmp_path: Path):
    usual = tmp_path / "evaluation" / "val"
    assert place_for(usual, X) == usual
    evaluated(usual, X)
    assert place_for(usual, X) == usual, "the run's newer model takes the place of the older"
    assert place_for(usual, Y) == tmp_path / "evaluation" / "val-2222bbbb"
    evaluated(tmp_path / "evaluation" / "val-2222bbbb", Y)
    assert place_for(usual, Y) == tmp_path / "evaluation" / "val-2222bbbb"
    assert place_for(usual, Z) == tmp_path / "evaluation" / "val-3333cccc"


def test_another_models_evaluation_is_not_replaced_either(tmp_path: Path):
    usual = tmp_path / "val"
    evaluated(usual, X, "one")
    assert place_for(usual, X, "one") == usual
    evaluated(place_for(usual, X, "two"), X, "two")
    assert place_for(usual, X, "two") == tmp_path / "val-1111aaaa"
    with pytest.raises(UserError, match="hold others") as refused:
        place_for(usual, X, "three")
    assert f"{usual}: one on build 1111aaaa" in str(refused.value)
    assert f"--out {usual}-2" in str(refused.value)


@pytest.mark.parametrize(("name", "content"), [("metrics.json", "{"), ("predictions.parquet", "")])
def test_what_cannot_be_told_is_not_replaced(tmp_path: Path, name: str, content: str):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / name).write_text(content)
    assert place_for(tmp_path / "val", X) == tmp_path / "val-1111aaaa"


def compared(place: Path, a: str, b: str, build_id: str = X) -> None:
    place.mkdir(parents=True)
    content = {"compare": {"a": a, "b": b, "build_id": build_id, "split": "val"}}
    (place / "metrics.json").write_text(json.dumps(content))


def test_another_pairs_comparison_is_not_replaced(tmp_path: Path):
    usual = tmp_path / "comparison"
    assert place_for_pair(usual, ("a", "b"), X, "val") == usual
    compared(usual, "a", "b")
    assert place_for_pair(usual, ("a", "b"), X, "val") == usual, "the same again"
    assert place_for_pair(usual, ("b", "a"), X, "val") == tmp_path / "comparison-2"
    assert place_for_pair(usual, ("a", "b"), Y, "val") == tmp_path / "comparison-2", "of other frames"
    assert place_for_pair(usual, ("a", "b"), X, "test") == tmp_path / "comparison-2"
    evaluated(tmp_path / "comparison-2", X)
    assert place_for_pair(usual, ("b", "a"), X, "val") == tmp_path / "comparison-3"
    compared(tmp_path / "comparison-3", "b", "a")
    assert place_for_pair(usual, ("b", "a"), X, "val") == tmp_path / "comparison-3"


def test_an_evaluation_and_a_comparison_do_not_take_each_others_folder(tmp_path: Path):
    evaluated(tmp_path / "one", X)
    compared(tmp_path / "two", "a", "b")
    check_kind(tmp_path / "one", is_comparison=False)
    check_kind(tmp_path / "two", is_comparison=True)
    for is_comparison in (False, True):
        check_kind(tmp_path / "nothing", is_comparison=is_comparison)
    with pytest.raises(UserError, match="holds an evaluation, which a comparison would replace") as refused:
        check_kind(tmp_path / "one", is_comparison=True)
    assert f"--out {tmp_path / 'one'}-compared" in str(refused.value)
    with pytest.raises(UserError, match="holds the comparison of a and b, which an evaluation would replace"):
        check_kind(tmp_path / "two", is_comparison=False)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "predictions.parquet").touch()
    with pytest.raises(UserError, match="holds an evaluation"):
        check_kind(tmp_path / "three", is_comparison=True)


@pytest.mark.parametrize("is_comparison", [True, False])
def test_figures_that_cannot_be_read_are_not_replaced(tmp_path: Path, is_comparison: bool):
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"holds a metrics\.json that cannot be read, which a"):
        check_kind(tmp_path, is_comparison=is_comparison)


def test_a_comparison_in_the_usual_folder_is_named(tmp_path: Path):
    compared(tmp_path / "val", "a", "b")
    with pytest.raises(UserError, match="val: the comparison of a and b"):
        place_for(tmp_path / "val", "")


def test_what_another_process_wrote_meanwhile_is_not_replaced(tmp_path: Path):
    usual = tmp_path / "comparison"

    def place() -> Path:
        return place_for_pair(usual, ("a", "b"), X, "val")

    place().mkdir()
    with replaced_files(place(), place) as new:
        (new.part / "metrics.json").write_text("mine")
        compared(tmp_path / "comparison-2", "d", "e")
        content = json.dumps({"compare": {"a": "b", "b": "c", "build_id": X, "split": "val"}})
        (usual / "metrics.json").write_text(content)
    assert (usual / "metrics.json").read_text() == content
    assert new.out == tmp_path / "comparison-3"
    assert (new.out / "metrics.json").read_text() == "mine"
    assert [path.name for path in usual.iterdir()] == ["metrics.json"]


def test_files_change_all_at_once(tmp_path: Path):
    old = {
        "predictions.parquet": "1",
        "metrics.json": "1",
        "overlays.png": "1",
        "report.html": "1",
        "mine": "1",
    }
    for name, text in old.items():
        (tmp_path / name).write_text(text)

    def content() -> dict[str, str]:
        return {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}

    with pytest.raises(OSError, match="full"), replaced_files(tmp_path) as new:
        (new.part / "predictions.parquet").write_text("2")
        raise OSError("the disk is full")
    assert content() == old
    with replaced_files(tmp_path) as new:
        (new.part / "predictions.parquet").write_text("2")
        (new.part / "metrics.json").write_text("2")
        assert content() == old
    assert content() == {"predictions.parquet": "2", "metrics.json": "2", "mine": "1"}
    assert not list(tmp_path.glob(".new*"))


def test_two_evaluations_into_one_folder_are_both_made_whole(tmp_path: Path):
    names = ("predictions.parquet", "metrics.json")
    dead = tmp_path / ".new-dead"
    dead.mkdir()
    (dead / names[0]).write_text("of a process that was killed")
    with replaced_files(tmp_path) as first:
        assert not dead.exists()
        (first.part / names[0]).write_text("1")
        with replaced_files(tmp_path) as second:
            assert [path.name for path in first.part.iterdir()] == [names[0]]
            for name in names:
                (second.part / name).write_text("2")
        assert {(tmp_path / name).read_text() for name in names} == {"2"}
        (first.part / names[1]).write_text("1")
    assert {(tmp_path / name).read_text() for name in names} == {"1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
