"""How long the first batch takes: of a fresh epoch, and after a resumption from two thirds of one.

    python -m benchmarks.resume SHARDS_FOLDER [--batch-size 16] [--rounds 7] [--workers 0 2] [--length 3]

The two are taken in turn, each from a new loader, and compared pair by pair. Prints minimum and median of both, and
the median difference.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

from benchmarks.bounds import at_least
from tracknet.datasets.index import open_split
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.shard_streams import training_stream
from tracknet.utils.config import load_config
from tracknet.utils.settings import LoaderConfig


def first_batch_s(shards: Path, workers: int, batch_size: int, length: int, *, resumed: bool) -> float:
    """Seconds from a new stream to its first batch; opening the index is the same for both and left out."""
    train = open_split(shards, "train")
    size = train.manifest.image_size
    config = load_config(
        overrides=[
            f"data.resize=[{size.width},{size.height}]",
            f"model.heatmap.size=[{size.width // 4},{size.height // 4}]",
            f"data.sequence.length={length}",
        ]
    )
    spec = SampleSpec.for_training(config, size)
    started = time.perf_counter()
    stream = training_stream(train, spec, LoaderConfig(workers), batch_size=batch_size, seed=0)
    loader = StreamLoader(stream, LoaderConfig(workers))
    batches = loader.epoch(1, stream.num_steps * 2 // 3) if resumed else loader.epoch()
    next(batches)
    took = time.perf_counter() - started
    del batches
    loader.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("--batch-size", type=at_least(1), default=16)
    parser.add_argument("--length", type=at_least(1), default=3)
    parser.add_argument("--rounds", type=at_least(1), default=7)
    parser.add_argument("--workers", type=at_least(0), nargs="+", default=[0, 2])
    args = parser.parse_args()
    print("| workers | fresh: least, median s | resumed: least, median s | median difference s |")
    print("|--:|--:|--:|--:|")
    for workers in args.workers:
        pairs = [
            tuple(
                first_batch_s(args.shards, workers, args.batch_size, args.length, resumed=resumed)
                for resumed in (False, True)
            )
            for _ in range(args.rounds + 1)
        ][1:]  # the first pays for imports and cold files
        fresh, resumed = zip(*pairs, strict=True)
        difference = median(after - before for before, after in pairs)
        cells = [f"{min(times):.3f}, {median(times):.3f}" for times in (fresh, resumed)]
        print(f"| {workers} | {cells[0]} | {cells[1]} | {difference:+.3f} |", flush=True)


if __name__ == "__main__":
    main()
