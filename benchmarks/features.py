"""What stored features of a frozen backbone cost and save: disk, time a step, and whether the training is the same.

    python -m benchmarks.features SHARDS FEATURES --model dinov2_small --data "what it is" --out FILE.md [key=value ...]

FEATURES are of `pipelines.build_features SHARDS --dtype float16`. The int8 ones are made of them here, in a folder
that is removed again, so that both are of the very same tokens. All trainings take the same windows in the same
order from the same start; they take their steps in turns, one step each, so that a busy machine is busy for all.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import at_least
from benchmarks.report_file import write_report
from pipelines.feature_build import FeatureRequest, build_features
from tracknet.datasets.batch import Batch
from tracknet.datasets.feature_format import FeatureInfo, decode_tokens, encode_tokens
from tracknet.datasets.features import TokenReader, open_features
from tracknet.datasets.index import open_shards, open_split
from tracknet.datasets.index_file import as_rows, read_index
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.manifest import Manifest
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream
from tracknet.training.evaluation import evaluation_spec, predict_split
from tracknet.training.learner import Learner
from tracknet.training.metrics import Predictions, best_threshold, design, summarise
from tracknet.training.setup import Setup, prepare
from tracknet.utils.config import load_config
from tracknet.utils.environment import describe_environment
from tracknet.utils.settings import Config, LoaderConfig, MetricsConfig


@dataclass
class Contender:
    """One way of training, step by step."""

    name: str
    setup: Setup
    learner: Learner
    batches: Iterator[Batch]
    losses: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, config: Config, steps: int) -> Contender:
        setup = prepare(config, say=lambda line: None)
        keys = setup.shards.table.keys
        learner = Learner(
            config,
            setup.model,
            setup.precision,
            setup.ranks,
            keys=keys,
            steps_per_epoch=setup.train.num_steps,
            total_steps=steps,
        )
        setup.model.train()
        batches = itertools.chain.from_iterable(map(setup.train.epoch, itertools.count()))
        return cls(name, setup, learner, batches)

    def step(self) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        report = self.learner.step(self.batches, len(self.losses) + 1)
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() - cpu)
        self.losses.append(report.loss)

    def predict(self, shards: ShardSet, features: Path | None) -> Predictions:
        model, stored = self.setup.model, None
        if features is not None:
            stored = open_features(features, shards, identity(features), with_frames=model.sees_pixels)
        stream = evaluation_stream(shards, evaluation_spec(model), batch_size=8, features=stored)
        loader = StreamLoader(stream, LoaderConfig(workers=0))
        decode = model.config.heatmap.decode
        return predict_split(model, loader, self.setup.precision, decoders=[decode])[decode]


def identity(features: Path) -> Any:
    return FeatureInfo.of(Manifest.read(features), str(features)).backbone


def as_int8(source: Path, out: Path) -> float:
    """The same tokens as whole numbers; returns the root mean square of their error over that of the tokens."""
    manifest = Manifest.read(source)
    info = replace(FeatureInfo.of(manifest, str(source)), dtype="int8")
    splits = {split: open_tokens(source, split) for split in manifest.games}
    rows = as_rows(read_index(source)[0])
    squares = np.zeros(2)

    def tokens_of(task: Any, check_stop: Callable[[], None]) -> Iterator[Any]:
        del check_stop
        reader, row_of = splits[task.split]
        for row in task.frames:
            tokens = reader(row_of[row["key"]])
            error = decode_tokens(encode_tokens(tokens, "int8"), info).astype(np.float32) - tokens
            squares[:] += [float((error**2).sum()), float((tokens.astype(np.float32) ** 2).sum())]
            yield tokens[None]

    request = FeatureRequest(str(source), manifest, rows, info, out, "int8")
    build_features(request, tokens_of, lambda tokens: tokens)  # type: ignore[arg-type, return-value]
    return float(np.sqrt(squares[0] / squares[1]))


def open_tokens(folder: Path, split: str) -> tuple[Callable[[int], Any], dict[str, int]]:
    manifest = Manifest.read(folder)
    shards = open_shards([folder / entry.name for entry in manifest.shards_of(split)], tokens=True)
    info, reader = FeatureInfo.of(manifest, str(folder)), ShardReader(shards)
    rows = {key: row for row, key in enumerate(shards.table.keys)}
    return lambda row: decode_tokens(reader.read_bytes(row), info), rows


def read_us(read: Callable[[int], Any], frames: int, rounds: int) -> float:
    """Least processor time of a read, over rounds."""
    took = []
    for _ in range(rounds):
        start = time.thread_time()
        for row in range(frames):
            read(row)
        took.append((time.thread_time() - start) / frames)
    return 1e6 * min(took)


def figures(predictions: Predictions, metrics: MetricsConfig) -> tuple[float, float, float]:
    """F1 at the best threshold, PCK at the same distance, median error."""
    threshold = best_threshold(predictions, design(metrics.distance_px))
    found = summarise(predictions, metrics, threshold=threshold)
    return 100 * found["f1"], 100 * found[f"pck@{metrics.distance_px:g}px"], found["l2_median_px"]


def configured(args: argparse.Namespace, features: Path | None, *more: str) -> Config:
    size = Manifest.read(args.shards).image_size
    overrides = [
        f"data.shards={args.shards}",
        f"data.features={'null' if features is None else features}",
        f"data.resize=[{size.width},{size.height}]",
        "data.augment.enabled=false",
        "data.loader.workers=0",
        "model.backbone.freeze=true",
        "training.scheduler.name=constant",
    ]
    return load_config(model=args.model, training="cpu", overrides=[*overrides, *args.overrides, *more])


def report(args: argparse.Namespace) -> Iterator[str]:
    """The lines of the report, as they become known."""
    with tempfile.TemporaryDirectory(dir=args.features.parent) as folder:
        int8 = Path(folder) / "int8"
        error = as_int8(args.features, int8)
        places = {"float16": args.features, "int8": int8}
        more = {"online": configured(args, None), **{name: configured(args, p) for name, p in places.items()}}
        more["float16, no skip"] = configured(args, args.features, "model.decoder.skip=none")
        everyone = [Contender.of(name, config, args.long_steps) for name, config in more.items()]
        yield from heading(args, everyone[0])
        yield from storage(args, places, error)
        for _ in range(args.steps):
            for one in everyone:
                one.step()
        yield from speed(everyone)
        yield from accuracy(
            args, everyone, {**places, "online": args.features, "float16, no skip": args.features}
        )


def heading(args: argparse.Namespace, online: Contender) -> Iterator[str]:
    """What is measured, on what."""
    model, machine = online.setup.model, describe_environment()
    # Of a path the last part: where things lie on one machine says nothing.
    asked = (
        f"{key}={value.rpartition('/')[2]}"
        for key, _, value in (one.partition("=") for one in args.overrides)
    )
    yield (
        f"Command: `python -m benchmarks.features`. Data: {args.data}; frames of {model.input_size}, "
        f"{identity(args.features).tokens}. Model `{args.model}` {' '.join(asked)}; backbone frozen, "
        f"T = {model.num_frames}, batches of {online.setup.train.stream.batch_size}, no augmentation, seed 0. Machine: "
        f"{machine['cpu_count']} cores of an {machine['processor']}, one thread, busy with other work: processor times "
        f"are the figures to go by; torch {machine['packages']['torch']}.\n"
    )


def storage(args: argparse.Namespace, places: dict[str, Path], error: float) -> Iterator[str]:
    """Room, time to read, and what int8 loses."""
    train = open_split(args.shards, "train")
    manifests = [Manifest.read(folder) for folder in (args.shards, *places.values())]
    count = min(200, len(train))
    reads = [read_us(ShardReader(train).read, count, 3)]
    for folder in places.values():
        tokens = open_features(folder, train, identity(folder), with_frames=True)
        reads.append(read_us(TokenReader(tokens).read, count, 3))
    sizes = [manifest.totals["bytes"] for manifest in manifests]
    per_frame = [size / manifests[0].totals["frames"] / 1e3 for size in sizes]
    yield f"| | frames | {' | '.join(places)} |\n|---|--:|--:|--:|"
    yield f"| disk, kB a frame | {' | '.join(f'{kb:.1f}' for kb in per_frame)} |"
    yield f"| times the frames' | {' | '.join(f'{n / sizes[0]:.1f}' for n in sizes)} |"
    yield f"| read, check and decode one, processor us | {' | '.join(f'{us:.0f}' for us in reads)} |"
    yield f"| rms error of the tokens, of their own rms | | | {100 * error:.2f} % |\n"


def speed(everyone: Sequence[Contender]) -> Iterator[str]:
    """Time a step, without each contender's first; and how far the losses are apart."""
    online, stored = everyone[0], everyone[1]
    yield "| training | step, processor s | step, wall s | steps/s against online |\n|---|--:|--:|--:|"
    for one in everyone:
        cpu, wall = (statistics.median(times[1:]) for times in (one.cpu_s, one.wall_s))
        ratio = statistics.median(a / b for a, b in zip(online.cpu_s[1:], one.cpu_s[1:], strict=True))
        yield f"| {one.name} | {cpu:.3f} | {wall:.3f} | {ratio:.1f} x |"
    # Batches without a ball have no loss.
    pairs = [(a, b) for a, b in zip(online.losses, stored.losses, strict=True) if a > 0]
    apart = np.array([abs(a - b) / a for a, b in pairs])
    tenth = max(1, len(pairs) // 10)
    first, last_online, last_stored = (
        statistics.mean(values)
        for values in (
            [a for a, _ in pairs[:tenth]],
            [a for a, _ in pairs[-tenth:]],
            [b for _, b in pairs[-tenth:]],
        )
    )
    yield (
        f"\nLoss from {first:.4f} (mean of the first tenth) to {last_online:.4f} (of the last) online and "
        f"{last_stored:.4f} on float16 in {len(online.losses)} steps: {100 * np.median(apart):.3f} % apart in the "
        f"median step, {100 * apart.max():.3f} % at most.\n"
    )


def accuracy(
    args: argparse.Namespace, everyone: Sequence[Contender], places: dict[str, Path]
) -> Iterator[str]:
    """All after the same steps, those on stored features after more, and one on frames and on features."""
    val, metrics = open_split(args.shards, "val"), configured(args, None).training.metrics
    px = f"{metrics.distance_px:g} px"
    yield f"| validation, {len(val):,} frames | steps | F1 at {px} | PCK at {px} | median error px |"
    yield "|---|--:|--:|--:|--:|"

    def row(one: Contender) -> str:
        f1, pck, median = figures(one.predict(val, places[one.name]), metrics)
        return f"| {one.name} | {len(one.losses)} | {f1:.1f} | {pck:.1f} | {median:.1f} |"

    for one in everyone[:2]:
        yield row(one)
    for _ in range(args.long_steps - args.steps):
        for one in everyone[1:]:
            one.step()
    for one in everyone[1:]:
        yield row(one)
    stored, few = everyone[1], min(args.frames, len(val))
    on_frames = stored.predict(val.take(np.arange(few)), None)
    on_features = stored.predict(val, places[stored.name])
    moved = np.linalg.norm(on_frames.xy_px - on_features.xy_px[:few], axis=1)[:-1]
    changed = np.abs(on_frames.score - on_features.score[:few])[:-1]
    yield (
        f"\nThat float16 model, evaluated on frames and on features ({len(moved)} frames): its points lie "
        f"{np.median(moved):.4f} frame px apart (median; 90 % within {np.quantile(moved, 0.9):.3f}), its scores differ "
        f"by {changed.max():.5f} at most."
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--model", default="dinov2_small")
    parser.add_argument("--data", required=True, help="what the shards hold, for the table")
    parser.add_argument("--steps", type=at_least(1), default=100, help="of every training, in turns")
    parser.add_argument(
        "--long-steps", type=at_least(1), default=1000, help="of those on stored features, in all"
    )
    parser.add_argument(
        "--frames", type=at_least(1), default=100, help="validated on frames too, for comparison"
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_intermixed_args(argv)
    lines = ["# Stored features\n"]
    for line in report(args):
        print(line, flush=True)
        lines.append(line)
        if args.out is not None:
            write_report(args.out, lines)


if __name__ == "__main__":
    main()
