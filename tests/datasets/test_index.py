"""Opening shards, and refusing those that are not one whole build."""

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
