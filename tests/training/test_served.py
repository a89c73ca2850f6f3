"""Coverage is computed from what was served: it says yes only when it is so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tracknet.datasets.batch import Batch
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import training_stream
from tracknet.datasets.sources import open_sources
from tracknet.training.distributed import Ranks
from tracknet.training.served import Coverage, ServedWindows
from tracknet.utils.geometry import Size
from tracknet.utils.settings import DataConfig, FilterConfig, LoaderConfig, SequenceConfig, SourceConfig

Serve = Callable[..., "Coverage | None"]
SPEC = SampleSpec(
    sequence=SequenceConfig(length=3),
    input_size=Size(96, 48),
    heatmap_size=Size(48, 24),
    sigma_cells=1.0,
    map_frames=(0, 1, 2),
    class_weights=(0.0, 1.0, 1.0, 1.0),
    augment=None,
    seed=0,
)


@pytest.fixture
def serve(small_shards: Path) -> Serve:
    """`serve(batch_size, first=0, until=None, twice=False, visible_only=False) -> coverage` of 32 frames."""

    def serve(
        batch_size: int,
        *,
        first: int = 0,
        until: int | None = None,
        twice: bool = False,
        masked: int = 0,
        visible_only: bool = False,
    ) -> Coverage | None:
        shards = open_sources(DataConfig(shards=str(small_shards))).train
        config = LoaderConfig(workers=0, run_length=4)
        filters = FilterConfig(visible_only=visible_only)
        spec = replace(SPEC, map_frames=(1,)) if visible_only else SPEC
        stream = training_stream(shards, spec, config, batch_size=batch_size, seed=0, filters=filters)
        served = ServedWindows(stream)
        served.begin(0, first, 10 * first)
        batches: list[Batch] = list(StreamLoader(stream, config).epoch(0, first))
        for batch in batches[:masked]:
            # As where a frame was bad and is skipped.
            batch.valid[0] = False
        end = stream.num_steps if until is None else until
        for batch in batches[: end - first]:
            assert served.take(batch) is batch
        if twice:
            # A stream gone wrong: the first batch again in place of the last.
            served.begin(0, first, 10 * first)
            for batch in [*batches[:-1], batches[0]]:
                served.take(batch)
        return served.coverage(end, Ranks(), whole=end == stream.num_steps)

    return serve


def test_a_whole_epoch(serve: Serve) -> None:
    coverage = serve(4)
    assert coverage is not None
    assert (coverage.served, coverage.different, coverage.windows) == (32, 32, 32)
    assert coverage.text == "every window seen once: yes (32 of 32)"


def test_less_than_a_batch_is_left(serve: Serve) -> None:
    coverage = serve(5)
    assert coverage is not None
    assert coverage.text == "every window seen once: yes (30 of 32, 2 left for other epochs)"


def test_a_filter_takes_windows_out(serve: Serve) -> None:
    coverage = serve(5, visible_only=True)
    assert coverage is not None
    assert not coverage.problems
    # The fourth frame of each of two clips has no ball.
    assert coverage.text == "every window seen once: yes (30 of 30)"


def test_parts_of_an_epoch(serve: Serve) -> None:
    assert serve(4, first=8) is None
    coverage = serve(4, first=3)
    assert coverage is not None
    assert coverage.text == "every window seen at most once since step 30: yes (20 of 32)"
    coverage = serve(4, until=2)
    assert coverage is not None
    assert coverage.text == "every window seen at most once: yes (8 of 32)"


def test_what_came_twice_is_named(serve: Serve) -> None:
    coverage = serve(4, twice=True)
    assert coverage is not None
    assert len(coverage.problems) == 1
    assert "NO (28 of 32, 4 left for other epochs; too often: game1_Clip" in coverage.text


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_mix_is_counted_by_the_passes_over_each_source(small_shards: Path, epoch: int) -> None:
    first, second = (str(tar) for tar in sorted(small_shards.glob("train-*.tar")))
    sources = (SourceConfig(shards=(first,), weight=3.0), SourceConfig(shards=(second,), weight=1.0))
    config = LoaderConfig(workers=0, run_length=4)
    mix = open_sources(DataConfig(sources=sources))
    stream = training_stream(mix.train, SPEC, config, batch_size=4, seed=0, weights=mix.weights)
    # Of the 32 windows of an epoch the first source brings 24: it is passed over again.
    assert stream.windows_used() == [24, 8]
    assert len(stream.sources[0]) < 24
    served = ServedWindows(stream)
    served.begin(epoch, 0, 0)
    batches = list(StreamLoader(stream, config).epoch(epoch))
    for batch in batches:
        served.take(batch)
    coverage = served.coverage(stream.num_steps, Ranks(), whole=True)
    assert coverage is not None
    assert coverage.problems == ()
    assert "once a pass: yes" in coverage.text
    assert coverage.served == 32
    # One more of what came most often already is found.
    rows = [int(row) for batch in batches for row in batch.rows[:, 1]]
    often = max(rows, key=rows.count)
    for batch in batches:
        if often in batch.rows[:, 1].tolist():
            for _ in range(3):
                served.take(batch)
    coverage = served.coverage(stream.num_steps, Ranks(), whole=True)
    assert coverage is not None
    assert any("too often" in problem for problem in coverage.problems)
    assert "once a pass: NO" in coverage.text


def test_what_is_missing_is_counted(serve: Serve) -> None:
    coverage = serve(4)
    assert coverage is not None
    short = replace(coverage, problems=("28 windows served, not 32",), different=28)
    assert (
        short.text
        == "every window seen once: NO (28 of 32, 4 left for other epochs; 28 windows served, not 32)"
    )


def test_masked_windows_are_not_seen(serve: Serve) -> None:
    coverage = serve(4, masked=3)
    assert coverage is not None
    assert (coverage.served, coverage.different, coverage.masked) == (32, 29, 3)
    assert coverage.text == (
        "every window seen once: NO (29 of 32; "
        "3 masked, because frames of theirs are bad: nothing was learned from them)"
    )


def test_windows_that_no_epoch_serves_are_not_left_for_others() -> None:
    coverage = Coverage(
        served=136,
        different=136,
        windows=160,
        apart=8,
        too_few=6,
        masked=0,
        since_step=None,
        whole=True,
        mixed=False,
        problems=(),
    )
    assert coverage.text == (
        "every window seen once: yes (136 of 160, 10 left for other epochs, 8 for none: they lie in several blocks, "
        "6 for none: too few in their block for a batch)"
    )


def test_counts_go_on_from_a_checkpoint(small_shards: Path) -> None:
    """Of the whole epoch, whatever it was stopped for; batches of a step that was not taken do not count."""
    shards = open_sources(DataConfig(shards=str(small_shards))).train
    config = LoaderConfig(workers=0, run_length=4)
    stream = training_stream(shards, SPEC, config, batch_size=4, seed=0)
    batches = list(StreamLoader(stream, config).epoch(2))
    first = ServedWindows(stream)
    first.begin(2, 0, 16)
    for batch in batches[:3]:
        batch.valid[1] = False
        first.take(batch)
        first.step_taken()
    first.take(batches[3])
    saved = first.state(Ranks())
    assert (saved["counts"].dtype, int(saved["counts"].sum()), saved["masked"]) == (torch.uint8, 9, 3)

    def rest(saved: dict[str, Any] | None, epoch: int = 2) -> Coverage:
        second = ServedWindows(stream)
        second.restore(saved, epoch, 3, is_main=True)
        second.begin(2, 3, 19)
        for batch in batches[3:]:
            second.take(batch)
        coverage = second.coverage(stream.num_steps, Ranks(), whole=True)
        assert coverage is not None
        return coverage

    whole = rest(saved)
    assert (whole.served, whole.different, whole.masked, whole.since_step) == (32, 29, 3, None)
    assert whole.problems == ("3 masked, because frames of theirs are bad: nothing was learned from them",)
    for unknown in (rest(None), rest(saved, epoch=1), rest({**saved, "counts": saved["counts"][:5]})):
        assert (unknown.served, unknown.since_step, unknown.problems) == (20, 19, ())
    # A window that came again after the stop is found.
    twice = torch.from_numpy(np.bincount([row_of(batches[5])], minlength=len(saved["counts"])))
    again = {**saved, "counts": saved["counts"] + twice.to(torch.uint8)}
    assert any("too often" in problem for problem in rest(again).problems)


def row_of(batch: Batch) -> int:
    return int(batch.rows[0, SPEC.map_frames.index(1)])
