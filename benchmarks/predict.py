"""What prediction costs on top of the model, whether it keeps up with a camera, and whether its memory is flat.

    python -m benchmarks.predict ratio MODEL VIDEO [--frames 160] [--rounds 5]
    python -m benchmarks.predict memory MODEL VIDEO [--minutes 60] [--fps 60]
    python -m benchmarks.predict footage [MODEL] [--device cuda] [--size 1920x1080] [--fps 60] [--seconds 10]

`ratio` times, in turns within every round, on the same frames:

    bare       model(windows) on frames that lie in memory, ready, a window per frame: all T frames of each window
               go through the backbone, in batches of the same size
    once       the same without pixels being decoded: predictor.heatmaps, which runs the backbone once a frame
    predict    all of it: decode, resize, model, points

and prints bare / predict: the frames per second of the whole as a share of the model's own. `memory` plays the video
over and over until so many minutes' worth of frames have gone by, through the whole of prediction, and prints the
resident memory as it goes. `footage` renders a rally of the built-in kind, encodes it (H.264), and prints the frames
per second of decoding, of the model and of the whole command beside those of the footage; MODEL may be the name of a
config in configs/model, which is built without weights. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.bounds import above_0, at_least
from benchmarks.footage import footage
from tracknet.inference.frame_source import open_frames
from tracknet.inference.heatmap_model import load_model
from tracknet.inference.partial_csv import PartialCsv
from tracknet.inference.pipeline import FrameRange, input_frames, predict_points
from tracknet.inference.points import PointRows
from tracknet.inference.predictions import Predictions
from tracknet.inference.predictor import Predictor
from tracknet.inference.source_contract import SourceFrame
from tracknet.inference.video_source import VideoSource
from tracknet.utils.geometry import Size
from tracknet.utils.memory import keep_freed_memory, share_one_heap


class Endless(VideoSource):
    """A video that begins again when it is over, for so many frames."""

    def __init__(self, path: Path, frames: int) -> None:
        super().__init__(path, str(path))
        self._path, self._frames = path, frames

    def __iter__(self) -> Iterator[SourceFrame]:
        number = 0
        while number < self._frames:
            again = open_frames(self._path)
            for frame in again:
                if number == self._frames:
                    break
                yield SourceFrame(number, number / 60, frame.image)
                number += 1
            again.close()


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def ratio(args: argparse.Namespace) -> None:
    model = load_model(args.model)
    predictor = Predictor(model, device=args.device, amp=args.amp, batch_size=args.batch)
    device = predictor.precision.device
    ready = list(islice(input_frames(open_frames(args.video), model.input_size), args.frames))
    pixels = torch.from_numpy(np.stack([frame.pixels for frame in ready])).permute(0, 3, 1, 2)
    sequence = model.sequence
    offsets = (np.arange(sequence.length) - sequence.anchor_index) * sequence.stride
    windows = np.clip(np.arange(len(ready))[:, None] + offsets, 0, len(ready) - 1)

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def bare() -> None:
        with torch.no_grad(), predictor.precision.autocast():
            for start in range(0, len(ready), args.batch):
                model(pixels[torch.as_tensor(windows[start : start + args.batch])].to(device))
        wait()

    def once() -> None:
        for _ in predictor.heatmaps(ready):
            pass
        wait()

    def predict() -> None:
        wanted = FrameRange(0, len(ready))
        found = sum(len(block) for block in predict_points(open_frames(args.video), predictor, wanted))
        assert found == len(ready)

    ways = {"bare": bare, "once": once, "predict": predict}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.rounds + 1):
        for name, way in ways.items():
            begun_s, begun_processor_s = time.perf_counter(), time.process_time()
            way()
            seconds[name].append(time.perf_counter() - begun_s)
            processor_s[name].append(time.process_time() - begun_processor_s)
    print(f"{len(ready)} frames of {ready[0].source_size}, T={sequence.length}, batch {args.batch}, {device}")
    print(
        f"{'way':10}{'frames/s median':>18}{'best':>8}{'processor ms/frame':>20}{'bare / way, median of rounds':>32}"
    )
    for name, times in seconds.items():
        shares = [b / t for b, t in zip(seconds["bare"][1:], times[1:], strict=True)]
        median, best = (len(ready) / t for t in (statistics.median(times[1:]), min(times[1:])))
        busy_ms = 1000 * statistics.median(processor_s[name][1:]) / len(ready)
        print(f"{name:10}{median:18.1f}{best:8.1f}{busy_ms:20.1f}{statistics.median(shares):32.2f}")


def memory(args: argparse.Namespace) -> None:
    keep_freed_memory()
    share_one_heap()
    model = load_model(args.model)
    predictor = Predictor(model, device=args.device, amp=args.amp, batch_size=args.batch)
    total = round(args.minutes * 60 * args.fps)
    rows, done, told = PointRows(), 0, 0
    print(
        f"{total:,} frames = {args.minutes:g} minutes at {args.fps:g} frames/s\n{'frames':>10}{'resident MB':>14}"
    )
    with PartialCsv(args.scratch) as partial:
        for block in predict_points(Endless(args.video, total), predictor):
            partial.write(Predictions.of_points(block, predictor.threshold))
            rows.add(block)
            done += len(block)
            if done >= told:
                print(f"{done:10,}{resident_mb():14.1f}", flush=True)
                told += total // 12
        found = Predictions.of_points(rows.joined(), predictor.threshold)
        print(f"{len(found):10,}{resident_mb():14.1f}   all rows together")
        partial.discard()


def _size(text: str) -> Size:
    """`1920x1080`."""
    width, height = map(int, text.split("x"))
    if min(width, height) < 1:
        raise ValueError(text)
    return Size(width, height)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["ratio", "memory", "footage"])
    parser.add_argument("model", nargs="?", default="vit_tiny")
    parser.add_argument("video", type=Path, nargs="?", help="of ratio and memory")
    parser.add_argument("--frames", type=at_least(1), default=160)
    parser.add_argument("--rounds", type=at_least(1), default=5)
    parser.add_argument("--batch", type=at_least(1), default=8)
    parser.add_argument("--minutes", type=above_0, default=60.0)
    parser.add_argument("--fps", type=above_0, default=60.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="auto")
    parser.add_argument("--threads", type=at_least(1), default=torch.get_num_threads())
    parser.add_argument("--scratch", type=Path, default=Path("benchmark.partial.csv"))
    parser.add_argument("--size", type=_size, default=Size(1920, 1080), help="WIDTHxHEIGHT, of footage")
    parser.add_argument("--seconds", type=above_0, default=10.0, help="of footage")
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error("--rounds is at least 1: the median of the rounds is told")
    if (args.what == "footage") != (args.video is None):
        parser.error(
            "footage renders its own, and takes no VIDEO"
            if args.video
            else f"{args.what} needs MODEL and VIDEO"
        )
    if args.what == "footage" and round(args.seconds * round(args.fps)) < 1:
        parser.error("--seconds and --fps make less than one frame")
    torch.set_num_threads(args.threads)
    if args.what == "footage":
        footage(
            args.model,
            size=args.size,
            fps=round(args.fps),
            seconds=args.seconds,
            rounds=args.rounds,
            batch=args.batch,
            device=args.device,
            amp=args.amp,
        )
        return 0
    {"ratio": ratio, "memory": memory}[args.what](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
