"""How fast windows come: our stream beside the decoder's own limit and other ways to get the same windows.

    python -m benchmarks.stream [--quick] [--rows TEXT ...] [--columns WxH:T:WORKERS ...] [--rounds N]
        [--shared FOLDER] [--work FOLDER] [--out FOLDER]

Everything is measured in one run, in turns: in every round each case starts, gives its first batch, and then serves
batches for some seconds. A ratio is the median over the rounds of the ratios within a round; a rate is the best of
the rounds. T = 1, 3 and 5 at 512x288, T = 3 at 640x352. Needs about 4 GB of disk, about 25 minutes (`--quick`: two),
and an otherwise idle machine: the load at the start is printed with the result, and so is processor time, which a
busy machine changes less. LitData and MosaicML Streaming are measured where they are
installed: `pip install litdata mosaicml-streaming` into an environment of their own.

The rivals give frames alone; ours give frames, heatmaps, weights and points, from frames whose checksum was tested.
"""

from __future__ import annotations

import argparse
import functools
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from benchmarks import stream_data, stream_rivals
from benchmarks.bounds import at_least
from benchmarks.report_file import write_report
from benchmarks.stock_stream import StockStream
from benchmarks.stream_clock import Serve, measure, measure_floor, parts_us
from benchmarks.stream_table import (
    ALL_WARPED,
    AUGMENTED,
    AUGMENTED_IN_RUNS,
    FLOOR,
    LEFT_TO_DEVICE,
    OURS,
    PROCESSES,
    RAW,
    STOCK,
    WEBDATASET,
    Figures,
    Key,
    goals,
    note,
    parts_table,
    tables,
)
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.plan import PlanConfig
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.stream import WindowStream
from tracknet.utils.config import load_config
from tracknet.utils.geometry import Size
from tracknet.utils.settings import AugmentConfig, LoaderConfig

TIMES = 10
LANES = 24


def our_stream(
    shards: Any,
    size: Size,
    length: int,
    batch_size: int,
    augment: AugmentConfig | None,
    *,
    late: bool = False,
) -> WindowStream:
    config = load_config(model="vit_tiny", overrides=[f"data.sequence.length={length}"])
    spec = replace(SampleSpec.for_training(config, size), augment=augment, late=late)
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
        stock = StockStream(stream)
        loader = DataLoader(
            stock,
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_one_thread,
        )
        epoch = 0
        while True:
            stock.begin(epoch)
            yield from loader
            epoch += 1

    return serve


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def our_cases(
    shards: Any, size: Size, length: int, workers: int, batch_size: int
) -> dict[str, Callable[[], Serve]]:
    """Ours, in all its ways."""
    config = AugmentConfig()
    plain = our_stream(shards, size, length, batch_size, None)
    augmented = our_stream(shards, size, length, batch_size, config)
    warped = our_stream(shards, size, length, batch_size, replace(config, warp_prob=1.0))
    in_runs = our_stream(shards, size, length, batch_size, replace(config, warp_prob=1.0, per="run"))
    late = our_stream(shards, size, length, batch_size, config, late=True)
    cases: dict[str, Callable[[], Serve]] = {
        OURS: lambda: serve_ours(plain, workers, "auto"),
        AUGMENTED: lambda: serve_ours(augmented, workers, "auto"),
        ALL_WARPED: lambda: serve_ours(warped, workers, "auto"),
        AUGMENTED_IN_RUNS: lambda: serve_ours(in_runs, workers, "auto"),
        LEFT_TO_DEVICE: lambda: serve_ours(late, workers, "auto"),
        STOCK: lambda: serve_stock(plain, workers),
    }
    if workers:
        cases[PROCESSES] = lambda: serve_ours(plain, workers, "processes")
        cases[f"{LEFT_TO_DEVICE}, processes"] = lambda: serve_ours(late, workers, "processes")
    return cases


def rival_cases(
    shards: Any, size: Size, length: int, workers: int, batch_size: int, work: Path, root: Path
) -> dict[str, Callable[[], Serve]]:
    """The others. What a case reads is written when it is first wanted.

    The values raise ImportError or RuntimeError where a rival is not installed, or cannot be imported.
    """
    windows = stream_data.shuffled_windows(our_stream(shards, size, length, batch_size, None), len(shards))
    content = functools.cache(lambda: stream_data.jpegs(shards))

    def stored(write: Callable[..., Any], read: Callable[..., Any]) -> Callable[[], Serve]:
        def make() -> Serve:
            folder = write(work, shards, content(), windows)
            return lambda stack: stream_rivals.endless(read(folder, length, workers, batch_size))

        return make

    def raw(reduced: bool) -> Callable[[], Serve]:
        def make() -> Serve:
            paths = stream_data.raw_paths(root)
            return lambda stack: stream_rivals.endless(
                stream_rivals.raw(paths, windows, size, workers, batch_size, reduced=reduced)
            )

        return make

    return {
        WEBDATASET: stored(stream_data.webdataset_windows, stream_rivals.webdataset),
        "LitData": stored(stream_data.litdata_windows, stream_rivals.litdata),
        "MosaicML Streaming": stored(stream_data.mosaic_windows, stream_rivals.mosaic),
        RAW: raw(reduced=False),
        "raw frames, half-size decode": raw(reduced=True),
    }


def chosen(
    makers: dict[str, Callable[[], Serve]], wanted: Sequence[str] | None, notes: set[str]
) -> dict[str, Serve]:
    """The cases that are to be measured and can be: `OURS`, which all are compared to, and what `wanted` is part of."""
    cases = {}
    for name, make in makers.items():
        if wanted is not None and name != OURS and not any(text in name for text in wanted):
            continue
        try:
            cases[name] = make()
        except (ImportError, RuntimeError) as error:
            # RuntimeError: a torchvision that does not fit torch, which MosaicML Streaming imports.
            notes.add(f"{name}: skipped, it cannot be imported ({error})")
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="one size, T = 1 and 3, 0 and 2 workers, few frames"
    )
    default = os.environ.get("TRACKNET_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("--shared", type=Path, default=Path(default), help="folder with data/badminton")
    parser.add_argument("--work", type=Path, help="keeps what is built for another run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "stream")
    parser.add_argument("--rounds", type=at_least(1))
    parser.add_argument(
        "--rows",
        nargs="+",
        metavar="TEXT",
        help="only cases with one of these in their names, beside ours and the decoder alone: augmented processes ...",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        help="only these, as WxH:T:WORKERS or parts of it from the left: 512x288 512x288:3 512x288:3:2 ...",
    )
    args = parser.parse_args()
    if (args.rows or args.columns) and args.out == parser.get_default("out"):
        parser.error("a part of the rows or columns is no result to keep: name another folder with --out")
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as temporary:
        text = run(args, args.work or Path(temporary))
    path = args.out / ("quick.md" if args.quick else "full.md")
    write_report(path, text.splitlines())
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
        columns = [
            (length, workers)
            for length in lengths_at(size, quick=args.quick)
            for workers in all_workers
            if is_wanted(args.columns, size, length, workers)
        ]
        if not columns:
            continue
        shards = stream_data.our_shards(work, root, size)
        content = stream_data.shuffled(stream_data.jpegs(shards))
        parts[size] = parts_us(shards, size)
        for length, workers in columns:
            makers = our_cases(shards, size, length, workers, batch_size)
            makers |= rival_cases(shards, size, length, workers, batch_size, work, root)
            cases = chosen(makers, args.rows, notes)
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
        f"Command: `python -m benchmarks.stream {shlex.join(options(args))}`. Data: {what}; batches of "
        f"{batch_size}, {rounds} rounds of {seconds} s in turns; ours streams these frames {TIMES} times over as one "
        f"data set, and are timed after the first {LANES} batches of an epoch, which decode whole windows (3 % of the "
        "decodes of an epoch of 20,000 frames).",
        f"Machine: {os.cpu_count()} cores, load {load:.1f} at the start; OpenCV {cv2.__version__}, torch "
        f"{torch.__version__}. Windows/s are the best round's, ratios the median of those within a round.",
        *sorted(notes),
        "",
    ]
    return "\n".join([*header, *tables(figures), *goals(figures), *parts_table(parts)]) + "\n"


def options(args: argparse.Namespace) -> list[str]:
    """What of the command line decides what is measured."""
    named = (
        ("--rows", args.rows),
        ("--columns", args.columns),
        ("--rounds", args.rounds and [str(args.rounds)]),
    )
    return ["--quick"] * args.quick + [part for name, values in named if values for part in (name, *values)]


def is_wanted(wanted: Sequence[str] | None, size: Size, length: int, workers: int) -> bool:
    """Whether a column is one of those named as `WxH:T:WORKERS`, whose last parts may be missing."""
    column = f"{size}:{length}:{workers}:"
    return wanted is None or any(column.startswith(f"{name}:") for name in wanted)


def lengths_at(size: Size, *, quick: bool) -> tuple[int, ...]:
    """Which T are measured: the larger size is there to show that it changes no ratio."""
    if quick:
        return (1, 3)
    return (1, 3, 5) if size.width == 512 else (3,)


if __name__ == "__main__":
    main()
