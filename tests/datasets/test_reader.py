"""Frames by position: nothing damaged passes, and nothing is decoded twice while in reach."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.conftest import STORED, SmallBuild
from tracknet.datasets.faults import ShardFault
from tracknet.datasets.index import open_split
from tracknet.datasets.reader import CachedFrames, Frame, ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.utils.errors import EXIT_FAILED, RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import decode_image, encode_jpeg, read_image, resize_frame


@pytest.fixture
def shards(small_build: SmallBuild, tmp_path: Path) -> ShardSet:
    """A copy that may be damaged."""
    shutil.copytree(small_build.folder, tmp_path / "shards")
    return open_split(tmp_path / "shards", "train")


def flip_bit(shards: ShardSet, row: int, byte: int, bit: int) -> None:
    path = shards.folder / shards.shard_names[shards.shard_id[row]]
    data = bytearray(path.read_bytes())
    data[int(shards.offset[row]) + byte] ^= 1 << bit
    path.write_bytes(data)


def test_every_frame_is_the_resized_source_as_jpeg(small_build: SmallBuild) -> None:
    shards = small_build.open()
    reader = ShardReader(shards)
    paths = [frame.path for clip in small_build.clips() for frame in clip.frames]
    assert len(paths) == len(shards) == 71
    for row, path in enumerate(paths):
        frame = reader.read(row)
        expected = decode_image(encode_jpeg(resize_frame(read_image(path), STORED), 95))
        np.testing.assert_array_equal(frame, expected, err_msg=str(path))


def test_frames_are_read_in_any_order_and_after_closing(small_build: SmallBuild) -> None:
    reader = ShardReader(small_build.open())
    forwards = [reader.read(row) for row in range(71)]
    reader.close()
    for row in np.random.default_rng(0).permutation(71).tolist():
        np.testing.assert_array_equal(reader.read(row), forwards[row])


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flipped_bit_is_caught_and_named(shards: ShardSet, place: float, bit: int) -> None:
    row = 40
    flip_bit(shards, row, round(place * (int(shards.size[row]) - 1)), bit)
    reader = ShardReader(shards)
    reader.read(row - 1)
    reader.read(row + 1)
    with pytest.raises(RunError) as caught:
        reader.read(row)
    name = shards.shard_names[shards.shard_id[row]]
    assert f"{shards.folder / name}: {shards.table.keys[row]}: damaged" in caught.value.what
    assert f"{int(shards.crc32c[row]):08x}" in caught.value.what
    assert name in str(caught.value.remedy)
    assert caught.value.exit_code == EXIT_FAILED


def test_a_shard_that_became_shorter_or_went_away_is_named(shards: ShardSet) -> None:
    row = int(np.flatnonzero(shards.shard_id == 2)[-1])
    path = shards.folder / "train-002.tar"
    path.write_bytes(path.read_bytes()[: int(shards.offset[row]) + 10])
    with pytest.raises(RunError, match=rf"train-002\.tar: {shards.table.keys[row]}: damaged"):
        ShardReader(shards).read(row)
    path.unlink()
    with pytest.raises(
        RunError, match=rf"train-002\.tar: {shards.table.keys[row]}: cannot be read: No such file"
    ):
        ShardReader(shards).read(row)


def test_what_lies_in_a_shards_place_is_called_what_it_is(shards: ShardSet) -> None:
    path, other = (shards.folder / shards.shard_names[number] for number in (2, 3))
    rows = np.flatnonzero(shards.shard_id == 2)
    row = int(rows[shards.offset[rows].argmax()])
    whole, middle = path.read_bytes(), int(shards.offset[row]) + 10
    for content, what in (
        (other.read_bytes()[:middle], f"was replaced, it has {middle:,} bytes, not {len(whole):,}"),
        (b"<html>gone</html>" * 99, "was replaced"),
        (whole[:middle], f"was cut, it has {middle:,} of {len(whole):,} bytes"),
        (b"", "was cut, it has 0 of"),
    ):
        path.write_bytes(content)
        with pytest.raises(
            ShardFault, match=f"{shards.table.keys[row]}: damaged: the shard {what}"
        ) as caught:
            ShardReader(shards).read(row)
        assert caught.value.cause == caught.value.what.replace(f"{shards.table.keys[row]}: ", "")
        assert str(caught.value.remedy).startswith(f"delete {path} and run")
    path.unlink()
    with pytest.raises(ShardFault, match=r"cannot be read: No such file") as caught:
        ShardReader(shards).read(row)
    # What is not there cannot be deleted.
    assert str(caught.value.remedy).startswith(f"run the build command again: it writes {path.name} anew")


@pytest.mark.parametrize(("number", "of_shard"), [(errno.EIO, False), (errno.ENOENT, True)])
def test_a_disk_that_fails_while_a_damaged_frame_is_looked_into_is_named(
    shards: ShardSet, monkeypatch: pytest.MonkeyPatch, number: int, of_shard: bool
) -> None:
    row = 5
    flip_bit(shards, row, 7, 0)

    def failing(file: int) -> os.stat_result:
        raise OSError(number, os.strerror(number))

    reader = ShardReader(shards)
    with monkeypatch.context() as patch, pytest.raises(RunError) as caught:
        patch.setattr(os, "fstat", failing)
        reader.read(row)
    assert f"{shards.table.keys[row]}: cannot be read: {os.strerror(number)}" in caught.value.what
    assert isinstance(caught.value, ShardFault) == of_shard


def test_a_frame_of_another_size_is_refused(small_build: SmallBuild) -> None:
    shards = small_build.open()
    other = replace(shards, manifest=replace(shards.manifest, image_size=Size(48, 96)))
    with pytest.raises(RunError, match=r"game1_Clip1_0000: is 96x48, not 48x96"):
        ShardReader(other).read(0)


class Counting:
    def __init__(self) -> None:
        self.rows: list[int] = []

    def read(self, row: int) -> Frame:
        self.rows.append(row)
        return np.full((2, 2, 3), row, np.uint8)


def test_the_cache_keeps_what_was_used_last() -> None:
    source = Counting()
    cache = CachedFrames(source, capacity=2)
    for row in (1, 2, 1, 3, 1, 2):
        assert cache.read(row)[0, 0, 0] == row
    # 3 pushes out 2, because 1 was used since; 2 pushes out 3.
    assert source.rows == [1, 2, 3, 2]
    assert cache.decodes == 4


def test_a_cache_without_room_keeps_nothing() -> None:
    source = Counting()
    cache = CachedFrames(source, capacity=0)
    for row in (5, 5, 6):
        assert cache.read(row)[0, 0, 0] == row
    assert source.rows == [5, 5, 6]


def test_a_frame_that_is_read_beside_is_not_kept() -> None:
    source = Counting()
    cache = CachedFrames(source, capacity=2)
    cache.read(1)
    cache.read(2)
    assert [int(cache.read_beside(row)[0, 0, 0]) for row in (3, 1)] == [3, 1]
    assert (source.rows, cache.decodes) == ([1, 2, 3], 3)
    cache.read(1)
    cache.read(2)
    cache.read_beside(3)
    assert source.rows == [1, 2, 3, 3]


def test_what_is_forgotten_is_read_again_and_makes_room() -> None:
    source = Counting()
    cache = CachedFrames(source, capacity=2)
    cache.read(1)
    cache.read(2)
    cache.forget(1)
    cache.forget(9)
    cache.read(3)
    for row in (2, 3, 1):
        cache.read(row)
    assert source.rows == [1, 2, 3, 1]


def test_versions_of_a_frame_are_made_once_each_and_forgotten_apart() -> None:
    source = Counting()
    cache = CachedFrames(source, capacity=3)
    made: list[int] = []

    def brighter(frame: np.ndarray) -> np.ndarray:
        made.append(int(frame[0, 0, 0]))
        return frame + np.uint8(100)

    assert cache.read(1)[0, 0, 0] == 1
    for _ in range(2):
        assert cache.read(1, (0, 7), brighter)[0, 0, 0] == 101
        assert cache.read(1, (0, 8), brighter)[0, 0, 0] == 101
    assert made == [1, 1]
    cache.forget(1, (0, 7))
    assert cache.read(1)[0, 0, 0] == 1
    assert cache.read(1, (0, 8), brighter)[0, 0, 0] == 101
    assert cache.read(1, (0, 7), brighter)[0, 0, 0] == 101
    assert made == [1, 1, 1]


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 12))
def test_the_cache_gives_the_frame_asked_for_and_never_holds_more(rows: list[int], capacity: int) -> None:
    source = Counting()
    cache = CachedFrames(source, capacity)
    recent: list[int] = []
    for row in rows:
        decodes = cache.decodes
        assert cache.read(row)[0, 0, 0] == row
        # A model of the cache: the last `capacity` distinct rows.
        assert (cache.decodes == decodes) == (row in recent)
        recent = [*(r for r in recent if r != row), row][-capacity:]
        assert len(cache._frames) == len(recent)
    assert cache.decodes == len(source.rows)
