"""One stream served by several ranks and workers: the same batches, from any position on, and nothing read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.stock_stream import batches_of
from tests.datasets.conftest import REAL_CLIP_LENGTHS, SmallBuild, table_of
from tracknet.datasets.batch import TENSORS, Batch
from tracknet.datasets.lanes import default_order
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.plan import PlanConfig
from tracknet.datasets.reader import Frame
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream, training_stream
from tracknet.datasets.stream import WindowStream
from tracknet.datasets.topology import Topology
from tracknet.training.metrics import Predictions, summarise
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import (
    AugmentConfig,
    LoaderConfig,
    MetricsConfig,
    MixupConfig,
    MotionBlurConfig,
    OccludeConfig,
    PasteConfig,
    StreakConfig,
    ZoomConfig,
)

EVERY_PART = AugmentConfig(
    paste=PasteConfig(prob=1.0),
    streak=StreakConfig(prob=0.5),
    occlude=OccludeConfig(prob=0.5),
    motion_blur=MotionBlurConfig(prob=0.5),
    zoom=ZoomConfig(prob=0.5),
    mixup=MixupConfig(prob=0.5, alpha=1.0),
)
LANES = LoaderConfig(lanes=6, run_length=4)
BATCH = 8  # 71 windows: 8 steps


def stream_of(shards: ShardSet, spec: SampleSpec, rank: int = 0, ranks: int = 1) -> WindowStream:
    return training_stream(
        shards, spec, LANES, batch_size=BATCH, seed=spec.seed, topology=Topology(rank, ranks)
    )


def serve(stream: WindowStream, workers: int, epoch: int, first: int) -> list[Batch]:
    """What so many workers make together, in order, in this very process."""
    batches = [
        batch for worker in range(workers) for batch in batches_of(stream, epoch, first + worker, workers)
    ]
    return sorted(batches, key=lambda batch: batch.step)


def assert_same(parts: list[Batch], whole: Batch) -> None:
    """Bit for bit; NaN only where both are."""
    joined = Batch.cat(parts)
    assert {part.step for part in parts} == {whole.step}
    for name in TENSORS:
        one, other = getattr(joined, name).contiguous(), getattr(whole, name).contiguous()
        assert one.numpy().tobytes() == other.numpy().tobytes(), (whole.step, name)


@pytest.fixture(scope="module")
def epochs(small_build: SmallBuild, spec: SampleSpec) -> list[list[Batch]]:
    stream = stream_of(small_build.open(), spec)
    return [list(batches_of(stream, epoch)) for epoch in range(2)]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_ranks_together_serve_the_batches_of_one_process_bit_for_bit(
    small_build: SmallBuild,
    spec: SampleSpec,
    epochs: list[list[Batch]],
    ranks: int,
    workers: int,
) -> None:
    """Augmentation included, and from the middle of an epoch as from its start."""
    assert spec.augment is not None
    shards, start = small_build.open(), workers
    parts = []
    for rank in range(ranks):
        stream = stream_of(shards, spec, rank, ranks)
        assert (stream.num_steps, stream.batch_size) == (8, BATCH // ranks)
        parts.append(serve(stream, workers, 1, start))
        assert len(parts[-1]) == 8 - start
    for number, whole in enumerate(epochs[1][start:]):
        assert_same([part[number] for part in parts], whole)


@pytest.mark.parametrize(("ranks", "workers"), [(2, 3), (4, 1)])
def test_so_they_do_with_every_part_of_the_augmentation(
    small_build: SmallBuild, spec: SampleSpec, ranks: int, workers: int
) -> None:
    """Balls that fly elsewhere, occluders, blur, magnification, and pairs laid over each other."""
    spec, shards = replace(spec, augment=EVERY_PART), small_build.open()
    whole = list(batches_of(stream_of(shards, spec), 1))
    parts = []
    for rank in range(ranks):
        parts.append(serve(stream_of(shards, spec, rank, ranks), workers, 1, 3))
    for number, batch in enumerate(whole[3:]):
        assert_same([part[number] for part in parts], batch)
    # It is another stream than without: pictures, places and shares of the targets.
    stream = stream_of(shards, replace(spec, augment=AugmentConfig()))
    without = Batch.cat(list(batches_of(stream, 1)))
    with_all = Batch.cat(whole)
    assert torch.equal(with_all.rows, without.rows)
    assert not torch.equal(with_all.xy_px.nan_to_num(-1), without.xy_px.nan_to_num(-1))
    peaks = with_all.heatmaps.amax(dim=(1, 2, 3))
    assert ((peaks > 0.05) & (peaks < 0.6)).any()


def test_half_a_pair_is_refused(small_build: SmallBuild, spec: SampleSpec) -> None:
    spec = replace(spec, augment=AugmentConfig(mixup=MixupConfig(prob=0.1)))
    with pytest.raises(UserError, match="a batch of 8 by 8 processes each serves an odd number") as caught:
        stream_of(small_build.open(), spec, 0, 8)
    assert caught.value.remedy == "set training.batch_size=16, or data.augment.mixup.prob=0"


def test_parts_that_are_off_are_no_part_of_the_plan(small_build: SmallBuild, spec: SampleSpec) -> None:
    """Runs that began before there were any go on."""
    shards = small_build.open()
    old = AugmentConfig(warp_prob=1.0)
    described = stream_of(shards, replace(spec, augment=old)).describe_plan()["sample.augment"]
    of_old = [
        "enabled",
        "per",
        "flip_prob",
        "scale",
        "shift",
        "rotate_deg",
        "brightness",
        "contrast",
        "saturation",
    ]
    assert list(described) == [*of_old, "hue_deg", "prob"]
    described = stream_of(shards, replace(spec, augment=EVERY_PART)).describe_plan()["sample.augment"]
    assert described["warp_prob"] == 0.2
    assert described["paste"] == {"prob": 1.0, "empty": True, "spread": 0.15}
    assert described["ball_px"] == 14.0


def test_a_batch_is_split_evenly_or_refused(small_build: SmallBuild, spec: SampleSpec) -> None:
    with pytest.raises(UserError, match="8 windows cannot be split evenly over 3") as caught:
        stream_of(small_build.open(), spec, 0, 3)
    assert caught.value.remedy == "set training.batch_size to 6 or 9"


def test_the_plan_in_words_knows_no_topology(small_build: SmallBuild, spec: SampleSpec) -> None:
    shards = small_build.open()
    alone = stream_of(shards, spec).describe_plan()
    assert stream_of(shards, spec, 3, 4).describe_plan() == alone
    evaluations = [
        evaluation_stream(shards, spec, batch_size=8, topology=Topology(0, n)).describe_plan() for n in (1, 2)
    ]
    assert evaluations[0] == evaluations[1]


def test_each_rank_keeps_its_share_of_the_frames(small_build: SmallBuild, spec: SampleSpec) -> None:
    shards = small_build.open()

    def kept(*topology: int, of: SampleSpec = spec) -> int:
        loader = StreamLoader(stream_of(shards, of, *topology), LoaderConfig(workers=0))
        return loader.memory.frames_per_worker

    # 6 lanes and 2 shared frames a window, a tenth more, and the batch in hand.
    assert kept() == int(BATCH * (1.1 * 6 * 2 + 1)) + 3
    assert kept(1, 4) == int(BATCH // 4 * (1.1 * 6 * 2 + 1)) + 3
    # Windows that share no frames need none kept.
    assert kept(of=replace(spec, sequence=replace(spec.sequence, length=1), map_frames=(0,))) == 0


# ---------------------------------------------------------------- what a resumption reads


class NotedSource:
    """Empty pictures, and which rows were asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._frame = np.zeros((2, 4, 3), np.uint8)

    def read(self, row: int) -> Frame:
        self.rows.append(row)
        return self._frame


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 4), (4, 2)])
def test_a_resumption_reads_the_frames_to_come_and_no_more(
    spec: SampleSpec, ranks: int, workers: int
) -> None:
    """At the real size, from two thirds of an epoch on."""
    spec = replace(spec, input_size=Size(4, 2), heatmap_size=Size(2, 1), augment=None)
    table = table_of(*(list(range(length)) for length in REAL_CLIP_LENGTHS))
    lanes, run_length = default_order(19_835, 16, spec.sequence)
    plan = PlanConfig(0, 16, lanes, run_length)
    source, first = NotedSource(), 826
    for rank in range(ranks):
        stream = WindowStream(
            table, lambda: source, spec, batch_size=16, plan=plan, topology=Topology(rank, ranks)
        )
        batches = serve(stream, workers, 0, first)
        assert [batch.step for batch in batches] == list(range(first, 1239))
    whole = WindowStream(table, lambda: source, spec, batch_size=16, plan=plan)
    ids = [whole.plan_of(0).batch(step) for step in range(1239)]
    ahead = set(whole.windows.rows(np.concatenate(ids[first:])).ravel().tolist())
    behind = set(whole.windows.rows(np.concatenate(ids[:first])).ravel().tolist())
    assert set(source.rows) == ahead
    # Seen before and read again: at most T - 1 frames at either end of what is left of each of the 24 x 16
    # stretches, and at the cuts between pieces that fell to both sides.
    assert len(ahead & behind) < 5 * 24 * 16
    assert len(ahead - behind) > 5_000
    # A new frame a window, and the context once again where each stretch goes on.
    assert len(source.rows) < (1239 - first) * 16 + 3 * 24 * 16


# ---------------------------------------------------------------- evaluation


def predictions_of(streams: Sequence[WindowStream]) -> Predictions:
    """What a model that errs by the row's number would say of the frames that some ranks serve."""
    rows, guesses, scores = [], [], []
    for stream in streams:
        for batch in batches_of(stream):
            rows.append(batch.rows[batch.valid, 0].numpy())
            true = batch.xy_px[batch.valid, 0].double().numpy()
            guesses.append(np.nan_to_num(true) + (rows[-1] % 7)[:, None])
            scores.append(1 / (1 + rows[-1] % 5))
    return Predictions.of_rows(streams[0].table, rows, guesses, scores, scores)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("batch_size", [4, 8])
def test_metrics_of_ranks_are_those_of_one_process(
    small_build: SmallBuild, plain_spec: SampleSpec, ranks: int, batch_size: int
) -> None:
    shards = small_build.open("val")
    alone = predictions_of([evaluation_stream(shards, plain_spec, batch_size=batch_size)])
    streams = [
        evaluation_stream(shards, plain_spec, batch_size=batch_size, topology=Topology(rank, ranks))
        for rank in range(ranks)
    ]
    assert len({stream.num_steps for stream in streams}) == 1
    gathered = predictions_of(streams)
    assert list(gathered.frames.keys) == list(alone.frames.keys) == list(shards.table.keys)
    metrics = MetricsConfig()
    assert summarise(gathered, metrics, threshold=0.3) == summarise(alone, metrics, threshold=0.3)


def test_ranks_evaluate_the_same_bytes(small_build: SmallBuild, plain_spec: SampleSpec) -> None:
    shards = small_build.open("val")
    whole = Batch.cat(list(batches_of(evaluation_stream(shards, plain_spec, batch_size=6))))
    held = []
    for rank in range(2):
        part = evaluation_stream(shards, plain_spec, batch_size=6, topology=Topology(rank, 2))
        joined = Batch.cat(list(batches_of(part)))
        held.append(joined.frames[joined.valid])
    assert torch.cat(held).equal(whole.frames[whole.valid])


def test_evaluation_by_ranks_decodes_little_twice(spec: SampleSpec) -> None:
    source = NotedSource()
    spec = replace(spec, input_size=Size(4, 2), heatmap_size=Size(2, 1), augment=None)
    table = table_of(list(range(300)), list(range(500)))
    for rank in range(8):
        stream = WindowStream(
            table, lambda: source, spec, batch_size=16, plan=None, topology=Topology(rank, 8)
        )
        (*_,) = batches_of(stream)
    # Two frames at each of seven seams.
    assert len(source.rows) <= 800 + 7 * 2
    assert set(source.rows) == set(range(800))
