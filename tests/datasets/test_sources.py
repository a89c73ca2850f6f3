"""The shards that a configuration names, of one build or several."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines import build_shards
from tests.conftest import draw_dataset
from tests.datasets.conftest import STORED, SmallBuild
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import check_stored_size, evaluation_stream, training_stream
from tracknet.datasets.sources import Sources, join_shards, open_sources
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import DataConfig, FilterConfig, LoaderConfig, SourceConfig


def build(folder: Path, *, size: Size = STORED, games: int = 2, seed: int = 9, val: str = "2") -> Path:
    root = draw_dataset(folder / "raw", games=games, clips=2, frames=10, seed=seed)
    arguments = ["--root", str(root), "--out", str(folder / "shards"), "--workers", "0", "--num-shards", "2"]
    options = [f"data.resize=[{size.width},{size.height}]", f"data.val_games=[{val}]"]
    assert build_shards.run([*arguments, *options]) == 0
    return folder / "shards"


@pytest.fixture(scope="module")
def other_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 training frames of a game1 that is not the small build's, 20 validation frames."""
    return build(tmp_path_factory.mktemp("other"))


def config(*sources: tuple[Path | str, float | None]) -> DataConfig:
    return DataConfig(sources=tuple(SourceConfig((str(shards),), weight) for shards, weight in sources))


@pytest.fixture
def mixed(small_build: SmallBuild, other_build: Path) -> Sources:
    return open_sources(config((small_build.folder, 3.0), (other_build, 1.0)))


def test_one_build_is_opened_as_ever(small_build: SmallBuild) -> None:
    folder = str(small_build.folder)
    for data in (
        DataConfig(shards=folder),
        DataConfig(files=(f"{folder}/train-*.tar",)),
        config((folder, None)),
        config((folder, 5.0)),
    ):
        sources = open_sources(data)
        assert (len(sources.train), sources.weights, sources.train.parts) == (71, None, ())
        val = sources.open_val()
        assert val is not None
        assert len(val) == 22


def test_several_are_one_set_of_frames(mixed: Sources, small_build: SmallBuild, other_build: Path) -> None:
    train = mixed.train
    assert mixed.weights == (3.0, 1.0)
    assert [len(part) for part in train.parts] == [71, 20]
    assert len(train) == len(train.table.keys) == len(train.offset) == 91
    assert train.folders() == [small_build.folder, other_build]
    assert train.origin(0).startswith(str(small_build.folder / "train-"))
    assert train.origin(90).startswith(str(other_build / "train-"))
    assert train.manifest.games == {"train": ["game1", "game2"], "val": ["game3", "game2"]}
    # game1/Clip1 is in both: two clips, and no window reaches from one into the other.
    assert len(train.table.run_bounds()) == len(train.parts[0].table.run_bounds()) + 2
    reader, alone = ShardReader(train), ShardReader(train.parts[1])
    for row in range(20):
        np.testing.assert_array_equal(reader.read(71 + row), alone.read(row))
    val = mixed.open_val()
    assert val is not None
    assert (len(val), val.split) == (42, "val")


def test_who_they_are_is_independent_of_where_they_lie(mixed: Sources, tmp_path: Path) -> None:
    moved = []
    for number, folder in enumerate(mixed.train.folders()):
        shutil.copytree(folder, tmp_path / str(number))
        moved.append((tmp_path / str(number), 1.0))
    other = open_sources(config(*moved)).train
    assert other.describe() == mixed.train.describe()
    assert other.manifest.build_id == mixed.train.manifest.build_id
    swapped = open_sources(config(*reversed(moved))).train
    assert swapped.manifest.build_id != other.manifest.build_id


def test_the_stream_mixes_them(mixed: Sources, spec: SampleSpec) -> None:
    def loader(workers: int = 0) -> StreamLoader:
        stream = training_stream(
            mixed.train, spec, LoaderConfig(lanes=4), batch_size=8, seed=0, weights=mixed.weights
        )
        return StreamLoader(stream, LoaderConfig(workers=workers, lanes=4))

    stream = loader().stream
    assert stream.num_steps == 91 // 8
    assert stream.windows_used() == [66, 22]
    assert stream.describe_plan()["weights"] == [3.0, 1.0]
    assert stream.describe_plan()["windows_of_sources"] == [71, 20]
    epochs = [list(loader().epoch(epoch)) for epoch in range(3)]
    for batches in epochs:
        of_second = [int((batch.rows >= 71).sum()) for batch in batches]
        assert set(of_second) == {2}
    # 22 of 20 windows: two come twice, and differently augmented.
    rows = np.concatenate([batch.rows.flatten().numpy() for batch in epochs[0]])
    places = np.concatenate([batch.to_frame.numpy() for batch in epochs[0]])
    twice = [row for row in range(71, 91) if (rows == row).sum() == 2]
    assert len(twice) == 2
    for row in twice:
        one, other = places[rows == row]
        assert not np.array_equal(one, other)
    # The same from the middle, whoever serves.
    resumed = list(loader(2).epoch(2, 5))
    for one, other in zip(epochs[2][5:], resumed, strict=True):
        assert one.frames.equal(other.frames)
        assert one.rows.equal(other.rows)


def test_without_weights_they_go_by_size(
    small_build: SmallBuild, other_build: Path, spec: SampleSpec
) -> None:
    sources = open_sources(config((small_build.folder, None), (other_build, None)))
    assert sources.weights is None
    stream = training_stream(sources.train, spec, LoaderConfig(lanes=4), batch_size=8, seed=0)
    # One pass over each, to the nearest of 4 x 8 parts.
    assert stream.windows_used() == [69, 19]


def test_evaluation_of_several_covers_each_frame_once(mixed: Sources, plain_spec: SampleSpec) -> None:
    val = mixed.open_val()
    assert val is not None
    batches = list(StreamLoader(evaluation_stream(val, plain_spec, batch_size=5), LoaderConfig(0)).epoch())
    rows = np.concatenate([batch.rows[batch.valid].flatten().numpy() for batch in batches])
    assert rows.tolist() == list(range(42))


def test_a_source_without_validation_frames_brings_none(
    small_build: SmallBuild, tmp_path: Path, other_build: Path
) -> None:
    alone = build(tmp_path, games=1, val="")
    val = open_sources(config((small_build.folder, None), (alone, None))).open_val()
    assert val is not None
    assert len(val) == 22
    assert open_sources(config((alone, None))).open_val() is None


# ---------------------------------------------------------------- what is refused


def test_shards_given_twice(small_build: SmallBuild, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_build.folder, copy)
    for other in (small_build.folder / "train-000.tar", copy):
        with pytest.raises(UserError, match="given to two sources") as caught:
            open_sources(config((small_build.folder, 1.0), (other, 1.0)))
        assert "train-000.tar is in data.sources[0] and [1]" in caught.value.problems[0]
    halves = [f"{small_build.folder}/train-00{n}.tar" for n in range(2)]
    sources = open_sources(config((halves[0], 1.0), (halves[1], 1.0)))
    assert len(sources.train.parts) == 2
    val = sources.open_val()
    assert val is not None
    assert len(val) == 22


def test_frames_of_two_sizes(small_build: SmallBuild, tmp_path: Path) -> None:
    other = build(tmp_path, size=Size(64, 32))
    with pytest.raises(UserError, match="different sizes") as caught:
        open_sources(config((small_build.folder, 1.0), (other, 1.0)))
    assert caught.value.problems == (f"{small_build.folder}: 96x48", f"{other}: 64x32")


def test_a_split_that_is_not_for_training(small_build: SmallBuild) -> None:
    with pytest.raises(UserError, match="belong to the split 'val'"):
        open_sources(config((f"{small_build.folder}/val-*.tar", None)))


def test_a_filter_that_empties_one_source(mixed: Sources, spec: SampleSpec) -> None:
    with pytest.raises(UserError, match=r"leaves nothing of data.sources\[1\]"):
        training_stream(
            mixed.train,
            spec,
            LoaderConfig(),
            batch_size=4,
            seed=0,
            filters=FilterConfig(games=("2",)),
            weights=mixed.weights,
        )


def test_a_damaged_frame_is_named_by_its_own_folder(
    small_build: SmallBuild, other_build: Path, tmp_path: Path
) -> None:
    shutil.copytree(other_build, tmp_path / "cut")
    shards = open_sources(config((small_build.folder, 1.0), (tmp_path / "cut", 1.0))).train
    path = Path(shards.shard_names[shards.shard_id[80]])
    data = bytearray(path.read_bytes())
    data[int(shards.offset[80]) + 40] ^= 1
    path.write_bytes(data)
    with pytest.raises(RunError) as caught:
        ShardReader(shards).read(80)
    assert caught.value.what.startswith(f"{path}: {shards.table.keys[80]}: damaged")
    assert path.parent == tmp_path / "cut"


def test_the_models_size_is_checked_for_all(mixed: Sources) -> None:
    with pytest.raises(UserError) as caught:
        check_stored_size(mixed.train, Size(512, 288))
    first, second = mixed.train.folders()
    assert f"the shards in {first} and {second} hold frames of 96x48" in caught.value.what


def test_one_set_is_not_copied(small_build: SmallBuild) -> None:
    shards = small_build.open()
    assert join_shards([shards]) is shards
