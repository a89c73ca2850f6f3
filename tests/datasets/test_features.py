"""Stored tokens: exact or nearly so, in the right place of every batch, and refused where they do not belong."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from benchmarks.stock_stream import batches_of
from tests.datasets.http_server import serve
from tracknet.datasets.batch import Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.feature_format import FeatureInfo, decode_tokens, encode_tokens, frames_digest
from tracknet.datasets.features import FeatureSet, open_features
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.lost_frames import LostFrames
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_file import Patience
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream, training_stream
from tracknet.datasets.stream import WindowStream
from tracknet.datasets.windows import make_windows
from tracknet.utils.backbone_identity import BackboneIdentity
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import AugmentConfig, LoaderConfig, SequenceConfig

SPEC = SampleSpec(
    sequence=SequenceConfig(length=3),
    input_size=Size(96, 48),
    heatmap_size=Size(48, 24),
    sigma_cells=1.0,
    map_frames=(1,),
    class_weights=(0.0, 1.0, 1.0, 1.0),
    augment=None,
    seed=0,
)
TOKENS = st_numpy.arrays(
    np.float16, (2, 3, 4), elements=st.floats(-1000, 1000, width=16, allow_subnormal=False)
)


def described(dtype: str, shape: tuple[int, int, int] = (2, 3, 4)) -> FeatureInfo:
    rows, columns, channels = shape
    none = (0.0, 0.0, 0.0)
    backbone = BackboneIdentity("vit", "ab" * 32, Size(96, 48), Size(columns, rows), channels, none, none)
    return FeatureInfo(backbone, dtype, "fp32", "cd" * 32)  # type: ignore[arg-type]


@given(TOKENS)
def test_tokens_come_back(tokens: np.ndarray) -> None:
    whole = described("float16")
    stored = encode_tokens(tokens, "float16")
    assert len(stored) == whole.stored_bytes == whole.served_bytes == 48
    np.testing.assert_array_equal(decode_tokens(stored, whole), tokens)
    info = described("int8")
    stored = encode_tokens(tokens, "int8")
    assert len(stored) == info.stored_bytes == 4 * 4 + 24
    # Half a step of the channel's 127, and the rounding to float16.
    most = np.abs(tokens.astype(np.float64)).max(axis=(0, 1))
    error = np.abs(decode_tokens(stored, info).astype(np.float64) - tokens)
    assert (error <= most / 254 + most * 2.0**-11 + 1e-7).all()


def test_a_digest_tells_frames_apart() -> None:
    keys, size, crc = ["a_1", "a_2"], np.array([10, 20]), np.array([1, 2**32 - 1], np.uint32)
    digest = frames_digest(keys, size, crc)
    assert digest == frames_digest(keys, size.astype(np.int32), crc)
    others = [
        frames_digest(["a_1", "a_3"], size, crc),
        frames_digest(keys, size + 1, crc),
        frames_digest(keys, size, crc - np.uint32(1)),
        frames_digest(keys[::-1], size[::-1], crc[::-1]),
    ]
    assert len({digest, *others}) == 5


def test_an_identity_names_every_difference() -> None:
    one = described("float16").backbone
    assert one.differences(replace(one, name="elsewhere")) == []
    other = replace(one, weights_sha256="0" * 64, image_size=Size(64, 32), mean=(0.5, 0.5, 0.5))
    assert [problem.split(":")[0] for problem in one.differences(other)] == ["backbone", "image size", "mean"]
    assert "weights abababababab" in one.differences(other)[0]


@pytest.fixture
def frames(small_shards: Path) -> ShardSet:
    return open_split(small_shards, "train")


@pytest.fixture
def features(small_features: Path, frames: ShardSet) -> FeatureSet:
    return opened(small_features, frames)


def opened(folder: Path | RemotePath, frames: ShardSet, *, with_frames: bool = True) -> FeatureSet:
    place = folder.read_manifest() if isinstance(folder, RemotePath) else Manifest.read(folder)
    return open_features(folder, frames, FeatureInfo.of(place, "").backbone, with_frames=with_frames)


def served(stream: WindowStream, **config: object) -> Iterator[Batch]:
    loader = StreamLoader(stream, LoaderConfig(**{"workers": 0, **config}))  # type: ignore[arg-type]
    try:
        yield from loader.epoch()
    finally:
        loader.close()


@pytest.mark.parametrize(("mode", "workers"), [("threads", 0), ("threads", 2), ("processes", 1)])
def test_every_window_has_the_tokens_of_its_frames(
    frames: ShardSet, features: FeatureSet, mode: str, workers: int
) -> None:
    reader, windows = features.open_source(), make_windows(frames.table, SPEC.sequence)
    stream = training_stream(
        frames, SPEC, LoaderConfig(lanes=2, run_length=4), batch_size=4, seed=1, features=features
    )
    count = 0
    for batch in served(stream, mode=mode, workers=workers):
        assert batch.features is not None
        assert tuple(batch.features.shape) == (4, 3, 24, 3, 6)
        rows = windows.rows(batch.rows[:, 0].numpy())
        for slot, row_of_frame in enumerate(rows.tolist()):
            for position, row in enumerate(row_of_frame):
                found = batch.features[slot, position].permute(1, 2, 0).numpy()
                np.testing.assert_array_equal(found, reader.tokens(row))
                picture = batch.frames[slot, position].permute(1, 2, 0).numpy()
                if slot == position == 0:
                    np.testing.assert_array_equal(picture, ShardReader(frames).read(row))
        count += len(batch)
    assert count == 32


def test_batches_without_a_loader_have_the_same(frames: ShardSet, features: FeatureSet) -> None:
    stream = evaluation_stream(frames, SPEC, batch_size=5, features=features)
    for ours, plain in zip(served(stream), batches_of(stream), strict=True):
        assert ours.features is not None
        assert plain.features is not None
        assert ours.features.equal(plain.features)


def test_frames_are_not_decoded_where_nobody_looks(
    small_features: Path, frames: ShardSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = opened(small_features, frames, with_frames=False)
    stream = training_stream(
        frames, SPEC, LoaderConfig(lanes=2, run_length=8), batch_size=2, seed=1, features=alone
    )
    monkeypatch.setattr(ShardReader, "read", lambda self, row: pytest.fail("a frame was decoded"))
    loader = StreamLoader(stream, LoaderConfig(workers=0))
    batches = list(loader.epoch())
    assert all(tuple(batch.frames.shape) == (2, 3, 3, 0, 0) for batch in batches)
    assert all(batch.features is not None and batch.features.abs().sum() > 0 for batch in batches)
    # Each frame is read once while it is in reach, as frames are decoded once.
    assert loader.decodes / loader.windows < 1.6
    whole = evaluation_stream(frames, SPEC, batch_size=2, features=replace(alone, with_frames=True))
    apart = StreamLoader(whole, LoaderConfig(workers=0)).memory.frame_bytes - loader.memory.frame_bytes
    assert apart == 96 * 48 * 3
    assert loader.memory.frame_bytes == 864


def test_batches_are_joined_and_moved_with_their_features(frames: ShardSet, features: FeatureSet) -> None:
    torch = pytest.importorskip("torch")
    first, second = list(served(evaluation_stream(frames, SPEC, batch_size=16, features=features)))
    both = Batch.cat([first, second])
    assert both.features is not None
    assert tuple(both.features.shape) == (32, 3, 24, 3, 6)
    moved = both.to(torch.device("meta"))
    assert moved.features is not None
    assert moved.features.device.type == "meta"
    bare = Batch.cat([replace(first, features=None)])
    assert bare.features is None


def test_augmented_frames_have_no_stored_tokens(frames: ShardSet, features: FeatureSet) -> None:
    spec = replace(SPEC, augment=AugmentConfig())
    with pytest.raises(UserError, match="which augmentation changes") as refused:
        BatchAssembler(frames.table, make_windows(frames.table, spec.sequence), spec, features=features)
    assert "data.augment.enabled=false" in str(refused.value.remedy)


def test_the_features_of_others_are_refused(
    small_features: Path, small_shards: Path, frames: ShardSet
) -> None:
    backbone = FeatureInfo.of(Manifest.read(small_features), "").backbone
    with pytest.raises(UserError, match="of another backbone") as refused:
        open_features(small_features, frames, replace(backbone, weights_sha256="0" * 64), with_frames=True)
    assert "weights 000000000000) in this model" in refused.value.problems[0]
    assert f"build_features {small_shards} --out ANOTHER_FOLDER --model MODEL" in str(refused.value.remedy)
    changed = frames.crc32c.copy()
    changed[-1] ^= 1
    with pytest.raises(UserError, match="are not of the frames in") as refused:
        open_features(small_features, replace(frames, crc32c=changed), backbone, with_frames=True)
    assert list(refused.value.problems) == [
        f"{frames.shard_names[int(frames.shard_id[-1])]}: its frames are not those that the features were computed of"
    ]
    strange = replace(frames, shard_names=("train-000.tar", "train-009.tar"))
    with pytest.raises(UserError) as refused:
        open_features(small_features, strange, backbone, with_frames=True)
    assert list(refused.value.problems) == ["train-009.tar: has no features there"]
    with pytest.raises(UserError, match="not with several"):
        open_features(small_features, replace(frames, parts=(frames, frames)), backbone, with_frames=True)


def test_where_there_are_no_features_the_command_that_makes_them_is_named(
    small_features: Path, small_shards: Path, frames: ShardSet, tmp_path: Path
) -> None:
    backbone = FeatureInfo.of(Manifest.read(small_features), "").backbone
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "some.tar").touch()
    with serve() as site:
        for place in (
            tmp_path / "none",
            tmp_path / "strange",
            RemotePath(
                f"{site.url}/f",
                ShardCache(tmp_path / "cache", 10**9, Patience(attempts=1, timeout_s=5.0, pause_s=0.01)),
            ),
        ):
            with pytest.raises(UserError, match=r"data\.features: .* has no manifest\.json") as refused:
                open_features(place, frames, backbone, with_frames=True)
            remedy = str(refused.value.remedy)
            command = f"python -m pipelines.build_features {small_shards} --out {place} --model MODEL"
            assert f"compute the features: {command};" in remedy and "build_shards" not in remedy
            assert ("check the address, or" in remedy) == isinstance(place, RemotePath)


def test_damaged_tokens_end_a_run_or_are_skipped(
    small_features: Path, frames: ShardSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(small_features, tmp_path / "features"))
    features = opened(folder, frames)
    row = 5
    name, key = frames.shard_names[int(frames.shard_id[row])], frames.table.keys[row]
    data = bytearray((folder / name).read_bytes())
    data[int(features.shards.offset[row])] ^= 1
    (folder / name).write_bytes(data)
    stream = evaluation_stream(frames, SPEC, batch_size=8, features=features)
    with pytest.raises(RunError, match=f"{folder / name}: {key}: damaged"):
        list(served(stream))
    batches = list(served(stream, on_bad_frame="skip"))
    bad = [row for batch in batches for row in batch.rows[~batch.valid, 0].tolist()]
    assert bad == [4, 5, 6]
    assert "its windows are masked" in capsys.readouterr().err


def test_a_lost_shard_of_tokens_ends_a_run_or_is_skipped(
    small_features: Path, frames: ShardSet, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_features, tmp_path / "features"))
    (folder / frames.shard_names[1]).unlink()
    backbone = FeatureInfo.of(Manifest.read(folder), "").backbone
    with pytest.raises(RunError, match="1 of 2 shards are not what was built"):
        open_features(folder, frames, backbone, with_frames=True)
    rows = set(np.flatnonzero(frames.shard_id == 1).tolist())
    lost = LostFrames(len(rows))
    features = open_features(folder, frames, backbone, with_frames=True, on_lost=lost)
    assert lost.frames == len(rows)
    stream = evaluation_stream(frames, SPEC, batch_size=8, features=features)
    for batch in served(stream, on_bad_frame="skip", max_bad_frames=len(rows)):
        for window, is_valid in zip(batch.rows.tolist(), batch.valid.tolist(), strict=True):
            assert is_valid == (not rows & set(window))


def test_features_behind_a_url_are_streamed(
    small_features: Path, frames: ShardSet, features: FeatureSet, tmp_path: Path
) -> None:
    config = LoaderConfig(lanes=2, run_length=4)
    local = training_stream(frames, SPEC, config, batch_size=4, seed=1, features=features)
    with serve() as site:
        site.files = {
            f"/f/{path.name}": path.read_bytes() for path in small_features.iterdir() if path.is_file()
        }
        patience = Patience(attempts=3, timeout_s=5.0, pause_s=0.01)
        place = RemotePath(f"{site.url}/f", ShardCache(tmp_path / "cache", 10**9, patience))
        remote = opened(place, frames)
        stream = training_stream(frames, SPEC, config, batch_size=4, seed=1, features=remote)
        assert stream.describe_plan() == local.describe_plan()
        for ours, theirs in zip(served(local), served(stream), strict=True):
            assert ours.features is not None
            assert theirs.features is not None
            assert ours.features.equal(theirs.features)
        assert all(site.asked_for(f"/f/{name}") for name in frames.shard_names)
        tight = RemotePath(f"{site.url}/f", ShardCache(tmp_path / "tight", 10**4, patience))
        with pytest.raises(UserError, match="features are streamed only where all of them are there"):
            training_stream(frames, SPEC, config, batch_size=4, seed=1, features=opened(tight, frames))


def test_a_plan_says_which_features(frames: ShardSet, features: FeatureSet) -> None:
    config = LoaderConfig(lanes=2, run_length=4)
    plain = training_stream(frames, SPEC, config, batch_size=4, seed=1).describe_plan()
    with_them = training_stream(frames, SPEC, config, batch_size=4, seed=1, features=features).describe_plan()
    assert with_them == {**plain, "features": features.shards.manifest.build_id}
