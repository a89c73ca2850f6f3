"""The stream: the same batches whoever serves them, from any position on, and errors that name the sample."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.stock_stream import batches_of
from tests.datasets.conftest import STORED, CountingSource, SmallBuild, fake_stream
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import check_stored_size, evaluation_stream, training_stream
from tracknet.utils.errors import EXIT_FAILED, RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import LoaderConfig, SequenceConfig

LANES = LoaderConfig(lanes=6, run_length=4)
BATCH = 4  # 71 windows: 17 steps


def with_workers(workers: int) -> LoaderConfig:
    return replace(LANES, workers=workers)


def loader_of(shards: ShardSet, spec: SampleSpec, workers: int = 0) -> StreamLoader:
    return StreamLoader(
        training_stream(shards, spec, LANES, batch_size=BATCH, seed=spec.seed), with_workers(workers)
    )


def assert_equal(ones: list[Batch], others: list[Batch]) -> None:
    assert [one.step for one in ones] == [other.step for other in others]
    for one, other in zip(ones, others, strict=True):
        for name in TENSORS:
            a, b = getattr(one, name), getattr(other, name)
            assert a.dtype == b.dtype
            # Bit for bit; NaN only where both are.
            assert a.numpy().tobytes() == b.numpy().tobytes(), (one.step, name)


def resampled(spec: SampleSpec) -> SampleSpec:
    """Every transform is drawn from a continuum: two that are equal are one (whole-pixel moves may meet)."""
    assert spec.augment is not None
    return replace(spec, augment=replace(spec.augment, warp_prob=1.0))


@pytest.fixture(scope="module")
def epochs(small_build: SmallBuild, spec: SampleSpec) -> list[list[Batch]]:
    """The first three epochs without workers: what all others are compared with."""
    loader = loader_of(small_build.open(), spec)
    return [list(loader.epoch(epoch)) for epoch in range(3)]


def test_an_epoch_has_every_window_at_most_once(epochs: list[list[Batch]]) -> None:
    for batches in epochs:
        assert [batch.step for batch in batches] == list(range(17))
        rows = torch.cat([batch.rows for batch in batches]).flatten()
        assert len(rows.unique()) == len(rows) == 68
        assert all(batch.valid.all() for batch in batches)


def test_epochs_differ_in_order_and_in_augmentation(small_build: SmallBuild, spec: SampleSpec) -> None:
    loader = loader_of(small_build.open(), resampled(spec))
    epochs = [list(loader.epoch(epoch)) for epoch in range(3)]
    rows = [torch.cat([batch.rows for batch in batches]).flatten() for batches in epochs]
    matrices = [torch.cat([batch.to_frame for batch in batches]) for batches in epochs]
    for one in range(3):
        for other in range(one):
            assert (rows[one] == rows[other]).float().mean() < 0.2
            of_row = dict(zip(rows[other].tolist(), matrices[other], strict=True))
            common = [
                (m, of_row[r]) for r, m in zip(rows[one].tolist(), matrices[one], strict=True) if r in of_row
            ]
            assert len(common) >= 65
            assert not any(torch.equal(a, b) for a, b in common)


@pytest.mark.parametrize("per", ["run", "window"])
def test_what_shares_a_transform(small_build: SmallBuild, spec: SampleSpec, per: str) -> None:
    spec = resampled(spec)
    assert spec.augment is not None
    spec = replace(spec, augment=replace(spec.augment, per=per))
    loader = loader_of(small_build.open(), spec, 0)
    plan, found = loader.stream.plan_of(1), dict[int, set[bytes]]()
    size = loader.stream.table.source_size
    for batch in loader.epoch(1):
        names = plan.pieces(batch.step) if per == "run" else plan.batch(batch.step)
        for slot, name in enumerate(names.tolist()):
            assert (size[batch.rows[slot, 0]] == size[name]).all()
            found.setdefault(name, set()).add(batch.to_frame[slot].numpy().tobytes())
    assert all(len(matrices) == 1 for matrices in found.values())
    distinct = set.union(*found.values())
    assert len(distinct) == len(found)
    # 68 windows in pieces of a few.
    assert len(found) == 68 if per == "window" else 13 <= len(found) <= 50


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batches_are_equal_bit_for_bit_for_any_number_of_workers(
    small_build: SmallBuild, spec: SampleSpec, epochs: list[list[Batch]], workers: int
) -> None:
    assert spec.augment is not None
    loader = loader_of(small_build.open(), spec, workers)
    assert loader.workers == workers
    for epoch in (0, 1, 2):
        assert_equal(list(loader.epoch(epoch)), epochs[epoch])


@pytest.mark.parametrize(
    ("step", "workers_before", "workers_after"),
    [(0, 0, 0), (7, 0, 0), (16, 0, 0), (17, 0, 0), (7, 2, 1), (6, 1, 2)],
)
def test_going_on_from_a_step_gives_what_would_have_come(
    small_build: SmallBuild,
    spec: SampleSpec,
    epochs: list[list[Batch]],
    step: int,
    workers_before: int,
    workers_after: int,
) -> None:
    interrupted = loader_of(small_build.open(), spec, workers_before)
    before = [batch for batch, _ in zip(interrupted.epoch(1), range(step), strict=False)]
    resumed = loader_of(small_build.open(), spec, workers_after)
    assert_equal(before + list(resumed.epoch(1, step)), epochs[1])
    # The same loader, too, can leave an epoch and go elsewhere.
    assert_equal(list(interrupted.epoch(2, 15)), epochs[2][15:])


@pytest.mark.parametrize("workers", [0, 1])
def test_serving_draws_nothing_of_the_models_randomness(
    small_build: SmallBuild, spec: SampleSpec, workers: int
) -> None:
    state = torch.get_rng_state()
    loader = loader_of(small_build.open(), spec, workers)
    for epoch in (0, 1):
        next(loader.epoch(epoch))
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_without_a_loader_are_the_same(
    small_build: SmallBuild, spec: SampleSpec, epochs: list[list[Batch]]
) -> None:
    stream = training_stream(small_build.open(), spec, LANES, batch_size=BATCH, seed=spec.seed)
    assert_equal(list(batches_of(stream, 2, 5)), epochs[2][5:])


def test_resuming_reads_nothing_that_was_already_seen(spec: SampleSpec) -> None:
    source = CountingSource()
    stream = fake_stream(spec, source, [list(range(200))], batch_size=4)
    (*_,) = StreamLoader(stream, with_workers(0)).epoch(0, 40)
    # 10 steps of 4 windows of 3 frames at most.
    assert 0 < source.reads <= 120


def test_another_seed_is_another_order(
    small_build: SmallBuild, spec: SampleSpec, epochs: list[list[Batch]]
) -> None:
    other = next(loader_of(small_build.open(), replace(spec, seed=1)).epoch(0))
    assert not torch.equal(other.rows, epochs[0][0].rows)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [5, 8, 100])
def test_evaluation_covers_each_frame_once(
    small_build: SmallBuild, plain_spec: SampleSpec, batch_size: int, workers: int
) -> None:
    shards = small_build.open("val")
    loader = StreamLoader(evaluation_stream(shards, plain_spec, batch_size=batch_size), with_workers(workers))
    for _ in range(2):
        batches = list(loader.epoch())
        assert len(batches) == loader.num_steps == -(-22 // batch_size)
        assert {len(batch) for batch in batches} == {batch_size}
        rows = torch.cat([batch.rows[batch.valid] for batch in batches]).flatten()
        assert rows.tolist() == list(range(22))
        filling = torch.cat([batch.rows[~batch.valid] for batch in batches]).flatten()
        assert filling.tolist() == [21] * (len(batches) * batch_size - 22)


def test_too_few_windows_for_a_batch(small_build: SmallBuild, spec: SampleSpec) -> None:
    with pytest.raises(UserError, match="a batch of 72 windows cannot be filled: there are 71") as caught:
        training_stream(small_build.open(), spec, LANES, batch_size=72, seed=0)
    assert "training.batch_size to at most 71" in str(caught.value.remedy)


def test_the_plan_in_words(small_build: SmallBuild, spec: SampleSpec) -> None:
    shards = small_build.open()

    def plan(
        spec: SampleSpec = spec, config: LoaderConfig = LANES, batch_size: int = 4, seed: int = 0
    ) -> dict:  # type: ignore[type-arg]
        return training_stream(shards, spec, config, batch_size=batch_size, seed=seed).describe_plan()

    assert plan() == plan(config=replace(LANES, workers=7, prefetch=9))
    assert (plan()["seed"], plan()["batch_size"], plan()["lanes"], plan()["windows"]) == (0, 4, 6, 71)
    others = [
        plan(config=replace(LANES, lanes=5)),
        plan(config=replace(LANES, run_length=5)),
        plan(batch_size=5),
        plan(seed=1),
        plan(replace(spec, sequence=SequenceConfig(5), map_frames=(2,))),
        plan(replace(spec, augment=None)),
    ]
    assert all(other != plan() for other in others)


# ---------------------------------------------------------------- what goes wrong


@pytest.fixture
def damaged(small_build: SmallBuild, tmp_path: Path) -> tuple[ShardSet, int]:
    """A copy of the build with one flipped bit, and the row it lies in."""
    shutil.copytree(small_build.folder, tmp_path / "shards")
    shards, row = open_split(tmp_path / "shards", "train"), 33
    path = shards.folder / shards.shard_names[shards.shard_id[row]]
    data = bytearray(path.read_bytes())
    data[int(shards.offset[row]) + int(shards.size[row]) // 2] ^= 1
    path.write_bytes(data)
    return shards, row


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_frame_is_named_by_shard_and_key(
    damaged: tuple[ShardSet, int], spec: SampleSpec, epochs: list[list[Batch]], workers: int
) -> None:
    shards, row = damaged
    loader = loader_of(shards, spec, workers)
    whole: list[Batch] = []
    with pytest.raises(RunError) as caught:
        whole.extend(loader.epoch(0))
    shard = shards.folder / shards.shard_names[shards.shard_id[row]]
    assert caught.value.what.startswith(f"{shard}: {shards.table.keys[row]}: damaged")
    assert "Traceback" not in str(caught.value)
    assert caught.value.exit_code == EXIT_FAILED
    assert caught.value.remedy


def test_batches_before_the_damaged_one_arrive(
    damaged: tuple[ShardSet, int], spec: SampleSpec, epochs: list[list[Batch]]
) -> None:
    shards, row = damaged
    windows = training_stream(shards, spec, LANES, batch_size=BATCH, seed=0).windows
    bad = next(b.step for b in epochs[0] if (windows.rows(b.rows.flatten().numpy()) == row).any())
    arrived: list[Batch] = []
    with pytest.raises(RunError):
        for batch in loader_of(shards, spec, 2).epoch(0):
            arrived.append(batch)
    assert bad > 0
    assert_equal(arrived, epochs[0][:bad])


def test_frames_of_another_size_than_the_models(small_build: SmallBuild) -> None:
    shards = small_build.open()
    check_stored_size(shards, STORED)
    with pytest.raises(UserError) as caught:
        check_stored_size(shards, Size(512, 288))
    assert caught.value.what == f"the shards in {shards.folder} hold frames of 96x48, the model takes 512x288"
    assert "data.resize=[96,48]" in str(caught.value.remedy)
    assert "data.resize=[512,288]" in str(caught.value.remedy)
