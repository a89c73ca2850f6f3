"""Speed of a model as an exported file against the same model in torch, on the same windows, on this machine's CPU.

    python -m benchmarks.export MODEL [--threads 1] [--batch 1] [--rounds 15] [--out results.md]

The contestants take turns within every round, so that a busy machine slows all of them alike; what is told is the
fastest and the median round of each. The files are exported and compared here, in a temporary folder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.bounds import at_least
from benchmarks.report_file import write_report
from tracknet.inference.check_frames import check_frames
from tracknet.inference.export import FileFormat, export_file
from tracknet.inference.exported_model import load_exported
from tracknet.models.model import TrackNet
from tracknet.models.model_folder import resolve_model_folder
from tracknet.utils.environment import describe_environment

Contestant = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=at_least(1), default=1)
    parser.add_argument("--batch", type=at_least(1), default=1, help="windows at once")
    parser.add_argument("--rounds", type=at_least(1), default=15)
    parser.add_argument("--check", type=Path, help="video or shards whose frames are used; else drawn ones")
    parser.add_argument("--out", type=Path, help="a table in Markdown")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = TrackNet.from_pretrained(resolve_model_folder(args.model))
    frames = check_frames(model, args.check)
    windows = frames.windows[: args.batch]
    with tempfile.TemporaryDirectory() as scratch:
        contestants: dict[str, tuple[Contestant, int, str]] = {"torch": (model, _bytes(model), "")}
        files: tuple[tuple[str, FileFormat, str, bool], ...] = (
            ("onnxruntime", "onnx", ".onnx", False),
            ("onnxruntime, half", "onnx", ".onnx", True),
            ("torch.export", "torch-export", ".pt2", False),
        )
        for name, format, suffix, half in files:
            path = Path(scratch) / f"model{'-half' if half else ''}{suffix}"
            done = export_file(model, path, frames, format=format, half=half, dynamic_batch=True)
            agreement = done.agreement
            near = f"{agreement.points_px:.2g} px, {agreement.probability:.2g}"
            contestants[name] = (load_exported(path, "cpu"), done.bytes, near)
        times = _race({name: run for name, (run, _, _) in contestants.items()}, windows, args.rounds)
    lines = _table(contestants, times, len(windows))
    machine = describe_environment()
    facts = (
        f"{args.model.name}, {model.num_frames} frames of {model.input_size}, {args.batch} window(s) at once, "
        f"{args.threads} thread(s), {args.rounds} rounds; {frames.origin}; {machine['processor']}, "
        f"torch {machine['packages']['torch']}"
    )
    report = [facts, "", *lines]
    print("\n".join(report))
    if args.out:
        write_report(args.out, report)


@torch.no_grad()
def _race(runners: dict[str, Contestant], windows: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of every round of each."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 2):
        for name, run in runners.items():
            start = time.perf_counter()
            run(windows)
            if number >= 2:  # the first two warm up
                times[name].append(time.perf_counter() - start)
    return times


def _table(
    contestants: dict[str, tuple[Contestant, int, str]], times: dict[str, list[float]], windows: int
) -> list[str]:
    lines = [
        "| | ms per window, fastest | median | of torch's fastest | MB | points and heatmaps at most apart |",
        "|---|---|---|---|---|---|",
    ]
    fastest = min(times["torch"])
    for name, (_, size, near) in contestants.items():
        least, median = min(times[name]), statistics.median(times[name])
        lines.append(
            f"| {name} | {1e3 * least / windows:.1f} | {1e3 * median / windows:.1f} | {least / fastest:.2f} "
            f"| {size / 1e6:.1f} | {near or '-'} |"
        )
    return lines


def _bytes(model: TrackNet) -> int:
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())


if __name__ == "__main__":
    main()
