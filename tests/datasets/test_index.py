"""Finding shards by the names people write, and refusing those that are not one whole build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.conftest import STORED, SmallBuild
from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.shard_names import expand_shards
from tracknet.utils.errors import RunError, UserError

NAMES = [f"train-{number:03d}.tar" for number in range(4)]


@pytest.fixture
def folder(small_build: SmallBuild, tmp_path: Path) -> Path:
    """A copy of the build that may be damaged."""
    return Path(shutil.copytree(small_build.folder, tmp_path / "shards"))


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


def test_a_glob_takes_files_only(folder: Path) -> None:
    (folder / "train-old.tar").mkdir()
    assert [path.name for path in expand_shards([str(folder / "train-*.tar")])] == NAMES


def test_a_folder_without_a_build_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no manifest\.json: it holds no finished build"):
        expand_shards([str(tmp_path)])


def test_the_whole_split(small_build: SmallBuild) -> None:
    shards = open_shards(expand_shards([str(small_build.folder)]))
    assert (len(shards), shards.split, shards.shard_names) == (71, "train", tuple(NAMES))
    assert shards.manifest.image_size == STORED
    assert shards.table.keys == small_build.open().table.keys
    assert [clip for _, clip in shards.table.clips[:11]] == [f"Clip{n}" for n in range(1, 12)]
    assert (
        shards.origin(70)
        == f"{small_build.folder}/{shards.shard_names[shards.shard_id[70]]}: game2_Clip1_0005"
    )


def test_some_shards_have_their_own_frames_and_no_others(small_build: SmallBuild) -> None:
    whole = small_build.open()
    paths = [small_build.folder / NAMES[number] for number in (2, 0)]
    some = open_shards(paths)
    kept = np.flatnonzero(np.isin(whole.shard_id, [0, 2]))
    assert 0 < len(some) == len(kept) < 71
    # Canonical order, whatever the order given.
    assert some.table.keys == [whole.table.keys[row] for row in kept]
    assert some.shard_names == (NAMES[2], NAMES[0])
    assert [some.shard_names[n] for n in some.shard_id] == [NAMES[n] for n in whole.shard_id[kept]]
    for name in ("offset", "size", "crc32c"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[kept])
    np.testing.assert_array_equal(some.table.xy_px, whole.table.xy_px[kept])
    # Segments of 2 frames lie apart, so clips have gaps that end a run.
    assert len(some.table.run_bounds()) > len(some.table.clips)


def test_one_shard_named_in_two_ways_counts_once(
    small_build: SmallBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_build.folder)
    twice = open_shards([Path(NAMES[0]), small_build.folder / NAMES[0]])
    assert twice.shard_names == (NAMES[0],)
    assert twice.table.keys == open_shards([Path(NAMES[0])]).table.keys


def test_no_shards_at_all() -> None:
    with pytest.raises(UserError, match="no shards were given"):
        open_shards([])


def test_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"no manifest\.json.*no finished build"):
        open_shards([folder / NAMES[0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": "tracknet-shards", "ver', r"manifest\.json is damaged"),
        ('{"format": "tracknet-shards", "version": 99}', "version 99; this software reads .* version 1"),
        ("[]", "has format None"),
        ('{"format": "tracknet-shards", "version": 1}', "lacks or garbles a field: 'build_id'"),
    ],
)
def test_a_damaged_or_foreign_manifest(folder: Path, content: str, message: str) -> None:
    (folder / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=message):
        open_split(folder, "train")


def test_a_manifest_with_a_word_for_a_number(folder: Path) -> None:
    body = json.loads((folder / "manifest.json").read_text())
    body["shards"][0]["frames"] = "many"
    (folder / "manifest.json").write_text(json.dumps(body))
    with pytest.raises(UserError, match=r"lacks or garbles a field: .*many"):
        open_split(folder, "train")


def test_shards_that_are_missing_or_cut_are_all_named(folder: Path) -> None:
    (folder / NAMES[0]).unlink()
    path = folder / NAMES[3]
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(RunError) as caught:
        open_split(folder, "train")
    assert caught.value.what == "2 of 4 shards are not what was built"
    assert caught.value.problems == (
        f"{folder / NAMES[0]} is missing",
        f"{path} has {whole - 512:,} bytes, its manifest says {whole:,}: cut or replaced",
    )
    assert "build command again" in str(caught.value.remedy)
    # The others can still be used.
    assert open_shards([folder / NAMES[1], folder / NAMES[2]]).shard_names == (NAMES[1], NAMES[2])


def test_a_tar_that_the_manifest_does_not_know(folder: Path) -> None:
    shutil.copy(folder / NAMES[0], folder / "train-099.tar")
    with pytest.raises(UserError, match=r"manifest\.json does not know train-099\.tar"):
        open_shards(expand_shards([str(folder / "train-*.tar")]))


def test_shards_of_two_folders_or_two_splits(folder: Path, small_build: SmallBuild) -> None:
    with pytest.raises(UserError, match=f"several folders: .*{folder}"):
        open_shards([folder / NAMES[0], small_build.folder / NAMES[1]])
    with pytest.raises(UserError, match="several splits: train, val"):
        open_shards(expand_shards([str(folder / "*.tar")]))


def test_an_index_of_another_build_or_none(folder: Path) -> None:
    index = folder / "index.parquet"
    content = index.read_bytes()
    index.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RunError, match=r"index\.parquet is not the index that its manifest was written with"):
        open_split(folder, "train")
    index.unlink()
    with pytest.raises(RunError, match=r"index\.parquet is missing"):
        open_split(folder, "train")


def test_a_split_that_is_not_there(small_build: SmallBuild) -> None:
    with pytest.raises(UserError, match="has no split 'test'") as caught:
        open_split(small_build.folder, "test")
    assert "choose one of train, val" in str(caught.value.remedy)
