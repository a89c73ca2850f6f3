"""How fast windows come: our stream beside the decoder's own limit and other ways to get the same windows.

    python -m benchmarks.stream [--quick] [--shared FOLDER] [--work FOLDER] [--out FOLDER]

Everything is measured in one run, in turns: in every round each case starts, gives its first batch, and then serves
batches for some seconds. A ratio is the median over the rounds of the ratios within a round; a rate is the best of
the rounds. T = 1, 3 and 5 at 512x288, T = 3 at 640x352. Needs about 4 GB of disk, about 20 minutes (`--quick`: two),
and an otherwise idle machine: the load at the start is printed with the result, and so is processor time, which a
busy machine changes less. LitData and MosaicML Streaming are measured where they are
installed: `pip install litdata mosaicml-streaming` into an environment of their own.

The rivals give frames alone; ours give frames, heatmaps, weights and points, from frames whose checksum was tested.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks import stream_data, stream_rivals
from tracknet.datasets.batch import SampleSpec
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.plan import PlanConfig
from tracknet.datasets.stream import WindowStream
from tracknet.utils.config import load_config
from tracknet.utils.geometry import Size
from tracknet.utils.settings import AugmentConfig, LoaderConfig

Serve = Callable[[ExitStack], Iterator[Any]]
TIMES = 10
LANES = 24
FLOOR = "cv2 decode alone, one core"
OURS = "ours"
AUGMENTED = f"{OURS}, augmented"
AUGMENTED_IN_RUNS = f"{AUGMENTED} with data.augment.per=run"
# Of a case that is measured: name, size, T, workers.
Key = tuple[str, Size, int, int]


@dataclass
class Figures:
    """Of one case, a value a round."""

    rates: list[float]
    first_s: list[float]
    cpu_us: list[float]


@dataclass(frozen=True)
class Goal:
    """A ratio that is to be reached: of ours with (T, workers) to another case."""

    length: int
    workers: int
    against: str
    least: float


GOALS = (
    Goal(1, 0, FLOOR, 0.9),
    Goal(1, 2, FLOOR, 1.4),
    Goal(3, 2, "WebDataset, windows stored T times", 3.0),
    Goal(5, 2, "WebDataset, windows stored T times", 4.0),
    Goal(3, 2, "raw frames, full decode", 6.0),
    Goal(3, 2, AUGMENTED, 1.0),
    Goal(3, 2, AUGMENTED_IN_RUNS, 1.0),
)


def our_stream(
    shards: Any, size: Size, length: int, batch_size: int, augment: AugmentConfig | None
) -> WindowStream:
    config = load_config(model="vit_tiny", overrides=[f"data.sequence.length={length}"])
    spec = replace(SampleSpec.for_training(config, size), augment=augment)
    plan = PlanConfig(seed=0, batch_size=batch_size, lanes=LANES, run_length=32)
    table = stream_data.tiled(shards.table, TIMES)
    source = functools.partial(stream_data.TiledReader, shards)
    return WindowStream(table, source, spec, batch_size=batch_size, plan=plan)


def serve_ours(stream: WindowStream, workers: int, mode: str) -> Serve:
    def serve(stack: ExitStack) -> Iterator[Any]:
        loader = StreamLoader(stream, LoaderConfig(workers=workers, mode=mode))  # type: ignore[arg-type]
        stack.callback(loader.close)
        epoch = 0
        while True:
            yield from loader.epoch(epoch)
            epoch += 1

    return serve


def serve_stock(stream: WindowStream, workers: int) -> Serve:
    def serve(stack: ExitStack) -> Iterator[Any]:
        loader = DataLoader(
            stream,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_one_thread,
        )
        epoch = 0
        while True:
            stream.seek(epoch, 0)
            yield from loader
            epoch += 1

    return serve


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def cases_of(
    shards: Any,
    size: Size,
    length: int,
    workers: int,
    batch_size: int,
    work: Path,
    root: Path,
    notes: set[str],
) -> dict[str, Serve]:
    """Everything that is compared at one size, T and number of workers."""
    config = AugmentConfig()
    plain = our_stream(shards, size, length, batch_size, None)
    augmented = our_stream(shards, size, length, batch_size, config)
    in_runs = our_stream(shards, size, length, batch_size, replace(config, per="run"))
    cases = {
        OURS: serve_ours(plain, workers, "auto"),
        AUGMENTED: serve_ours(augmented, workers, "auto"),
        AUGMENTED_IN_RUNS: serve_ours(in_runs, workers, "auto"),
        f"{OURS}, torch's own workers": serve_stock(plain, workers),
    }
    if workers:
        cases[f"{OURS}, processes"] = serve_ours(plain, workers, "processes")
    windows = stream_data.shuffled_windows(plain, len(shards))
    content = stream_data.jpegs(shards)
    tars = stream_data.webdataset_windows(work, shards, content, windows)

    def rival(make: Callable[[], Any]) -> Serve:
        return lambda stack: stream_rivals.endless(make())

    cases["WebDataset, windows stored T times"] = rival(
        lambda: stream_rivals.webdataset(tars, length, workers, batch_size)
    )
    for name, write, read in (
        ("LitData", stream_data.litdata_windows, stream_rivals.litdata),
        ("MosaicML Streaming", stream_data.mosaic_windows, stream_rivals.mosaic),
    ):
        try:
            folder = write(work, shards, content, windows)
        except (ImportError, RuntimeError) as error:
            # RuntimeError: a torchvision that does not fit torch, which MosaicML Streaming imports.
            notes.add(f"{name}: skipped, it cannot be imported ({error})")
            continue
        cases[name] = rival(lambda read=read, folder=folder: read(folder, length, workers, batch_size))
    paths = stream_data.raw_paths(root)
    for name, reduced in (("raw frames, full decode", False), ("raw frames, half-size decode", True)):
        cases[name] = rival(
            lambda reduced=reduced: stream_rivals.raw(
                paths, windows, size, workers, batch_size, reduced=reduced
            )
        )
    return cases


def cpu_s() -> float:
    """Processor time of this process and its workers so far."""
    total = time.process_time()
    for process in multiprocessing.active_children():
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(serve: Serve, batch_size: int, seconds: float, *, warm: int) -> tuple[float, float, float]:
    """Windows per second after `warm` batches, the time to the first, and processor microseconds per window."""
    with ExitStack() as stack:
        started = time.perf_counter()
        batches = serve(stack)
        next(batches)
        first_s = time.perf_counter() - started
        for _ in range(warm):
            next(batches)
        count, cpu_before, started = 0, cpu_s(), time.perf_counter()
        while time.perf_counter() - started < seconds:
            next(batches)
            count += batch_size
        rate = count / (time.perf_counter() - started)
        cpu_us = 1e6 * (cpu_s() - cpu_before) / count
        batches.close()  # type: ignore[attr-defined]
    return rate, first_s, cpu_us


def measure_floor(content: list[bytes], seconds: float) -> tuple[float, float, float]:
    """As `measure`, of nothing but the decoder, a frame for a window."""
    count, cpu_before, started = 0, cpu_s(), time.perf_counter()
    while time.perf_counter() - started < seconds:
        cv2.imdecode(np.frombuffer(content[count % len(content)], np.uint8), cv2.IMREAD_COLOR)
        count += 1
    rate = count / (time.perf_counter() - started)
    return rate, 0.0, 1e6 * (cpu_s() - cpu_before) / count


def parts_us(shards: Any, size: Size) -> dict[str, float]:
    """Best times of the single parts of a window's work, in microseconds."""
    import google_crc32c

    from tracknet.datasets.augmentations import draw_augmentation
    from tracknet.utils.heatmap import draw_gaussian
    from tracknet.utils.images import decode_image

    content = stream_data.jpegs(shards)[:40]
    frames = [decode_image(data) for data in content]
    drawn = [draw_augmentation(AugmentConfig(), size, np.random.default_rng(n)) for n in range(len(frames))]
    heatmap, out = np.zeros((144, 256), np.float16), np.empty_like(frames[0])

    def best(work: Callable[[int], object]) -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for number in range(len(content)):
                work(number)
            times.append((time.perf_counter() - started) / len(content))
        return 1e6 * min(times)

    return {
        "JPEG decode, a frame": best(lambda n: decode_image(content[n], whole=True)),
        "checksum, a frame": best(lambda n: google_crc32c.value(content[n])),
        "copy into the batch, a frame": best(lambda n: np.copyto(out, frames[n])),
        "augmentation, a frame": best(lambda n: drawn[n].apply(frames[n], out=out)),
        "heatmap, a window": best(lambda n: (heatmap.fill(0), draw_gaussian(heatmap, 100.3, 70.2, 2.0))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="one size, T = 1 and 3, 0 and 2 workers, few frames"
    )
    default = os.environ.get("TRACKNET_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder with data/badminton")
    parser.add_argument("--work", type=Path, help="keeps what is built for another run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "stream")
    parser.add_argument("--rounds", type=int)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as temporary:
        text = run(args, args.work or Path(temporary))
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / ("quick.md" if args.quick else "full.md")
    path.write_text(text)
    print(text)
    print(f"written: {path}", file=sys.stderr)


def run(args: argparse.Namespace, work: Path) -> str:
    sizes = [Size(512, 288)] if args.quick else [Size(512, 288), Size(640, 352)]
    all_workers = (0, 2) if args.quick else (0, 1, 2)
    rounds, seconds = (args.rounds or 2, 0.5) if args.quick else (args.rounds or 3, 1.2)
    batch_size = 8 if args.quick else 16
    load = os.getloadavg()[0]
    root, what = stream_data.raw_frames(work, args.shared, 240 if args.quick else 1500)
    figures: dict[Key, Figures] = {}
    notes: set[str] = set()
    parts = {}
    for size in sizes:
        shards = stream_data.our_shards(work, root, size)
        content = stream_data.jpegs(shards)
        parts[size] = parts_us(shards, size)
        for length in lengths_at(size, quick=args.quick):
            for workers in all_workers:
                cases = cases_of(shards, size, length, workers, batch_size, work, root, notes)
                for round_number in range(rounds):
                    print(f"{size}, T={length}, {workers} workers, round {round_number + 1}", file=sys.stderr)
                    floor = measure_floor(content, seconds / 2)
                    note(figures, (FLOOR, size, length, workers), floor)
                    for name, serve in cases.items():
                        # In an epoch's first batches every lane decodes whole windows.
                        warm = LANES if name.startswith(OURS) else 0
                        measured = measure(serve, batch_size, seconds, warm=warm)
                        note(figures, (name, size, length, workers), measured)
    header = [
        "# The stream's speed",
        "",
        f"Command: `python -m benchmarks.stream{' --quick' if args.quick else ''}`. Data: {what}; batches of "
        f"{batch_size}, {rounds} rounds of {seconds} s in turns; ours streams these frames {TIMES} times over as one "
        f"data set, and are timed after the first {LANES} batches of an epoch, which decode whole windows (3 % of the "
        "decodes of an epoch of 20,000 frames).",
        f"Machine: {os.cpu_count()} cores, load {load:.1f} at the start; OpenCV {cv2.__version__}, torch "
        f"{torch.__version__}. Windows/s are the best round's, ratios the median of those within a round.",
        *sorted(notes),
        "",
    ]
    return "\n".join([*header, *tables(figures), *goals(figures), *parts_table(parts)]) + "\n"


def lengths_at(size: Size, *, quick: bool) -> tuple[int, ...]:
    """Which T are measured: the larger size is there to show that it changes no ratio."""
    if quick:
        return (1, 3)
    return (1, 3, 5) if size.width == 512 else (3,)


def note(figures: dict[Key, Figures], key: Key, measured: tuple[float, float, float]) -> None:
    of_case = figures.setdefault(key, Figures([], [], []))
    for values, value in zip((of_case.rates, of_case.first_s, of_case.cpu_us), measured, strict=True):
        values.append(value)


def ratio(figures: dict[Key, Figures], one: Key, other: Key) -> float:
    pairs = zip(figures[one].rates, figures[other].rates, strict=True)
    return statistics.median(a / b for a, b in pairs)


def tables(figures: dict[Key, Figures]) -> Iterator[str]:
    """A table for every size: a row a case, a column for each T and number of workers."""
    for size in dict.fromkeys(key[1] for key in figures):
        columns = list(dict.fromkeys(key[2:] for key in figures if key[1] == size))
        names = dict.fromkeys(key[0] for key in figures if key[1] == size)
        yield f"## {size}: windows/s (ours / this)"
        yield ""
        yield "| | " + " | ".join(f"T={length}, {workers} w" for length, workers in columns) + " |"
        yield "|---" * (len(columns) + 1) + "|"
        for name in names:
            cells = [_cell(figures, (name, size, *column), (OURS, size, *column)) for column in columns]
            yield f"| {name} | " + " | ".join(cells) + " |"
        for name in names:
            if name == FLOOR:
                continue
            keys = [(name, size, *column) for column in columns]
            cells = [f"{min(figures[key].cpu_us):,.0f}" if key in figures else "" for key in keys]
            yield f"| processor us a window: {name} | " + " | ".join(cells) + " |"
        first = [max(figures[(OURS, size, *column)].first_s) for column in columns]
        yield (
            "| first batch of ours, s (slowest round) | "
            + " | ".join(f"{value:.2f}" for value in first)
            + " |"
        )
        yield ""


def _cell(figures: dict[Key, Figures], key: Key, ours: Key) -> str:
    if key not in figures:
        return ""
    best = f"{max(figures[key].rates):,.0f}"
    return best if key == ours else f"{best} ({ratio(figures, ours, key):.2f})"


def goals(figures: dict[Key, Figures]) -> Iterator[str]:
    """What was to be reached."""
    yield "## Goals"
    yield ""
    yield "| ours | against | goal | measured |"
    yield "|---|---|---|---|"
    for size in dict.fromkeys(key[1] for key in figures):
        for goal in GOALS:
            column = (size, goal.length, goal.workers)
            if (goal.against, *column) not in figures:
                continue
            measured = ratio(figures, (OURS, *column), (goal.against, *column))
            where = f"{size}, T={goal.length}, {goal.workers} workers"
            if goal.against.startswith(AUGMENTED):
                cost = 1.0 - 1.0 / measured
                yield f"| {where} | what augmentation costs ({goal.against}) | under 30 % | {100 * cost:.0f} % |"
            else:
                yield f"| {where} | {goal.against} | at least {goal.least:g} | {measured:.2f} |"
    yield ""


def parts_table(parts: dict[Size, dict[str, float]]) -> Iterator[str]:
    """The single parts."""
    yield "## What the parts cost, microseconds"
    yield ""
    yield "| | " + " | ".join(map(str, parts)) + " |"
    yield "|---" * (len(parts) + 1) + "|"
    for name in next(iter(parts.values())):
        yield f"| {name} | " + " | ".join(f"{of_size[name]:,.0f}" for of_size in parts.values()) + " |"


if __name__ == "__main__":
    main()
