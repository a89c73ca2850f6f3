"""Finding shards by the names people write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.datasets.conftest import SmallBuild
from tracknet.datasets.shard_names import expand_shards
from tracknet.utils.errors import UserError

NAMES = [f"train-{number:03d}.tar" for number in range(4)]


@pytest.mark.parametrize(
    "spec",
    [
        "train-{000..003}.tar",
        "train-<000..003>.tar",
        "train-{000,001,002,003}.tar",
        "train-00{0..3}.tar",
        "train-*.tar",
        "train-00[0-3].tar",
        "train-???.tar",
        "",
        "manifest.json",
    ],
)
def test_ways_to_name_all_training_shards(small_build: SmallBuild, spec: str) -> None:
    found = expand_shards([str(small_build.folder / spec)])
    assert found == [small_build.folder / name for name in NAMES]


def test_several_names_keep_their_order_and_count_once(small_build: SmallBuild) -> None:
    folder = small_build.folder
    specs = [str(folder / "train-003.tar"), str(folder / "train-{000..001}.tar"), str(folder / "train-*.tar")]
    assert [path.name for path in expand_shards(specs)] == [NAMES[3], NAMES[0], NAMES[1], NAMES[2]]


def test_relative_names(small_build: SmallBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_build.folder.parent)
    assert expand_shards(["shards"]) == expand_shards(["shards/train-{000..003}.tar"])
    monkeypatch.chdir(small_build.folder)
    assert expand_shards(["train-001.tar", "./train-001.tar"]) == [Path("train-001.tar")]


def test_all_names_that_stand_for_nothing_are_told(small_build: SmallBuild) -> None:
    folder = small_build.folder
    specs = [str(folder / "train-{002..005}.tar"), str(folder / "test-*.tar"), str(folder / "train-{000.tar")]
    with pytest.raises(UserError) as caught:
        expand_shards(specs)
    assert caught.value.what == "4 of the shards named are not there"
    assert caught.value.problems == (
        f"{folder}/train-004.tar: no such file",
        f"{folder}/train-005.tar: no such file",
        f"{folder}/test-*.tar: matches no file",
        f"{folder}/train-{{000.tar: a brace is not closed, as in train-{{000..031}}.tar",
    )
    assert str(caught.value.remedy).startswith(
        f"{folder} has 4 training shards, train-000.tar to train-003.tar"
    )


def test_where_no_shards_are_they_must_be_built(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m pipelines\.build_shards"):
        expand_shards([str(tmp_path / "train-{000..003}.tar")])


def test_a_long_list_of_missing_shards_is_shortened(small_build: SmallBuild) -> None:
    with pytest.raises(UserError) as caught:
        expand_shards([str(small_build.folder / "train-{000..031}.tar")])
    assert caught.value.what == "28 of the shards named are not there"
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1] == "and 18 more"


def test_a_glob_takes_files_only(small_build: SmallBuild, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_build.folder, tmp_path / "shards"))
    (folder / "train-old.tar").mkdir()
    assert [path.name for path in expand_shards([str(folder / "train-*.tar")])] == NAMES


def test_a_folder_without_a_build_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no manifest\.json: it holds no finished build"):
        expand_shards([str(tmp_path)])
