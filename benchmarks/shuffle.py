"""How well an epoch is mixed and what decoding it costs, simulated at the published tennis data set's sizes.

    python -m benchmarks.shuffle [--epochs 16] [--seed 0] [--out benchmarks/results/shuffle/mix.md]

95 clips, 19,835 frames, one window a frame. Compares the plan with a global permutation and with what a WebDataset
pipeline does: windows stored in order in 32 shards, the shards' order shuffled, a shuffle buffer of 1000. No picture
is read: which windows make a batch is all that counts. Then times the planning of an epoch at several sizes. Takes
about a minute.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import webdataset as wds

from benchmarks.bounds import at_least
from benchmarks.report_file import write_report
from tests.datasets.conftest import REAL_CLIP_LENGTHS
from tracknet.datasets.lanes import default_order
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.plan import EpochPlan, PlanConfig
from tracknet.datasets.reader import CachedFrames, Frame
from tracknet.datasets.windows import Windows
from tracknet.utils.settings import SequenceConfig

Steps = npt.NDArray[np.int64]  # [S, B] window ids
NEAR_FRAMES = 8
WDS_SHARDS, WDS_BUFFER = 32, 1000


def real_runs() -> npt.NDArray[np.int64]:
    """First and one past the last window of each of the 95 clips: int64 `[95, 2]`."""
    ends = np.cumsum(REAL_CLIP_LENGTHS)
    return np.stack([ends - REAL_CLIP_LENGTHS, ends], axis=1).astype(np.int64)


@dataclass(frozen=True)
class Mix:
    """What a person would want to know of a shuffled order; means over all batches of an epoch.

    Attributes:
        clips: distinct clips in a batch.
        clips_of_4: distinct clips in four successive batches.
        near: pairs of windows of one clip, at most 8 frames apart, within a batch.
        near_next_8: such pairs between a batch and the 8 after it.
        near_next_48: and the 48 after it: lanes come round again.
    """

    clips: float
    clips_of_4: float
    near: float
    near_next_8: float
    near_next_48: float


def mix_of(steps: Steps, runs: npt.NDArray[np.int64]) -> Mix:
    """Measures one epoch."""
    clip_of = np.repeat(np.arange(len(runs)), np.diff(runs)[:, 0])
    clips = clip_of[steps]

    def pairs(distance: int) -> npt.NDArray[np.bool_]:
        end = len(steps) - distance
        near = np.abs(steps[:end, :, None] - steps[distance:, None, :]) <= NEAR_FRAMES
        return np.asarray(near & (clips[:end, :, None] == clips[distance:, None, :]))

    def near_next(batches: int) -> float:
        return float(sum(pairs(n).sum() / (len(steps) - n) for n in range(1, batches + 1)))

    return Mix(
        clips=float(np.mean([len(set(batch)) for batch in clips])),
        clips_of_4=float(np.mean([len(np.unique(clips[n : n + 4])) for n in range(len(steps) - 3)])),
        near=float((pairs(0).sum() / len(steps) - steps.shape[1]) / 2),
        near_next_8=near_next(8),
        near_next_48=near_next(48),
    )


def planned(runs: npt.NDArray[np.int64], config: PlanConfig, epoch: int) -> Steps:
    """The plan's epoch."""
    plan = EpochPlan(WindowRuns.all_of(runs), config, epoch)
    return np.stack([plan.batch(step) for step in range(plan.num_steps)])


def permuted(windows: int, batch_size: int, seed: int) -> Steps:
    """A global permutation."""
    order = np.random.default_rng(seed).permutation(windows)
    return order[: windows // batch_size * batch_size].reshape(-1, batch_size)


def buffered(windows: int, batch_size: int, seed: int) -> Steps:
    """WebDataset's shuffle of shards and its buffer, the library's own."""
    rng = random.Random(seed)
    shards = np.array_split(np.arange(windows), WDS_SHARDS)
    rng.shuffle(shards)
    order = np.fromiter(wds.shuffle(WDS_BUFFER, rng=rng)(iter(np.concatenate(shards).tolist())), np.int64)
    return order[: windows // batch_size * batch_size].reshape(-1, batch_size)


class _Nothing:
    def read(self, row: int) -> Frame:
        return np.zeros((0, 0, 3), np.uint8)

    def origin(self, row: int) -> str:
        return f"row {row}"


def decodes_per_window(
    steps: Steps, runs: npt.NDArray[np.int64], sequence: SequenceConfig, lanes: int, workers: int = 1
) -> float:
    """What the first of `workers` decodes with the stream's own cache, per window that it serves."""
    windows = Windows(runs, sequence)
    reach = -(-lanes // workers) * steps.shape[1] * sequence.length * sequence.stride
    cache = CachedFrames(_Nothing(), reach)
    mine = steps[::workers]
    for batch in mine:
        for row in windows.rows(batch).ravel().tolist():
            cache.read(row)
    return cache.decodes / mine.size


def table(batch_sizes: Sequence[int], lengths: Sequence[int], *, epochs: int, seed: int) -> list[str]:
    """The comparison as Markdown."""
    runs = real_runs()
    count = int(runs[-1, 1])
    lines = [
        "| B | order | M | L | clips per batch | in 4 batches | near pairs | over next 8 | over next 48 "
        "| decodes per window, 1 / 2 / 4 / 8 workers |",
        "|--:|:--|--:|--:|--:|--:|--:|--:|--:|:--|",
    ]
    for batch_size in batch_sizes:
        rivals = {
            "permutation": [permuted(count, batch_size, seed + e) for e in range(epochs)],
            f"shards + buffer of {WDS_BUFFER}": [
                buffered(count, batch_size, seed + e) for e in range(epochs)
            ],
        }
        for name, orders in rivals.items():
            lines.append(_line(batch_size, name, "", "", orders, runs, "T"))
        for length in lengths:
            sequence = SequenceConfig(length)
            lanes, run_length = default_order(count, batch_size, sequence)
            config = PlanConfig(seed, batch_size, lanes, run_length)
            orders = [planned(runs, config, epoch) for epoch in range(epochs)]
            by_workers = [decodes_per_window(orders[0], runs, sequence, lanes, w) for w in (1, 2, 4, 8)]
            cost = " / ".join(f"{decodes:.3f}" for decodes in by_workers)
            lines.append(_line(batch_size, f"plan, T = {length}", lanes, run_length, orders, runs, cost))
    return lines


def _line(
    batch_size: int, name: str, lanes: object, length: object, orders: list[Steps], runs: Steps, cost: str
) -> str:
    mixes = [mix_of(steps, runs) for steps in orders]
    figures = [float(np.mean([getattr(mix, field) for mix in mixes])) for field in Mix.__dataclass_fields__]
    cells = [f"{figures[0]:.2f}", f"{figures[1]:.1f}", *(f"{figure:.3f}" for figure in figures[2:4])]
    return f"| {batch_size} | {name} | {lanes} | {length} | {' | '.join(cells)} | {figures[4]:.1f} | {cost} |"


def planning(sizes: Sequence[int], *, seed: int) -> list[str]:
    """What it takes to draw an epoch (B = 64, M = 24, L = 96) over clips of 30 to 400 frames, as Markdown."""
    lines = ["| windows | clips | least of 3, s | memory at its peak, MB |", "|--:|--:|--:|--:|"]
    config = PlanConfig(seed, 64, 24, 96)
    for size in sizes:
        lengths = np.random.default_rng(seed).integers(30, 400, size=size // 200)
        ends = np.cumsum(lengths)
        runs = WindowRuns.all_of(np.stack([ends - lengths, ends], axis=1))
        seconds = []
        for epoch in range(3):
            started = time.perf_counter()
            EpochPlan(runs, config, epoch)
            seconds.append(time.perf_counter() - started)
        tracemalloc.start()
        EpochPlan(runs, config, 0)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        lines.append(f"| {len(runs):,} | {len(lengths):,} | {min(seconds):.3f} | {peak:.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=at_least(1), default=16)
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    lines = table((8, 16, 32, 64), (1, 3, 5), epochs=args.epochs, seed=args.seed)
    lines += ["", *planning((20_000, 1_000_000, 10_000_000), seed=args.seed)]
    print("\n".join(lines))
    if args.out is not None:
        write_report(args.out, lines)


if __name__ == "__main__":
    main()
