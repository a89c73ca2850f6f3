"""How long scoring takes: 19,835 predictions under every protocol with 1,000 bootstrap resamples, on one core.

    python -m benchmarks.score [--repeats 5] [--out benchmarks/results/score/tennis.md]

The labels are those of the whole TrackNet tennis data set from the shared data (19,645 rows of 95 clips; frames 0
and 1 of each clip, which it lacks, are given the label of the clip's first row: 19,835). The guesses are made up:
gaussian errors of 2 px, one in ten anywhere in the picture, half of the scores near 1.
"""

from __future__ import annotations

import os

# Set before NumPy starts its threads.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bounds import at_least
from benchmarks.report_file import write_report
from tracknet.datasets.label_csv import parse_clip
from tracknet.datasets.label_faults import settle
from tracknet.datasets.table import FrameTable
from tracknet.training.metrics import PredictionOrigin, Predictions, chosen_protocols, score
from tracknet.training.metrics.comparison import compare
from tracknet.training.metrics.prediction_file import read_predictions, write_predictions
from tracknet.utils.environment import describe_environment
from tracknet.utils.geometry import Size

RESAMPLES = 1000


def labelled_frames(shared: Path) -> FrameTable:
    files = sorted((shared / "data" / "tracknet_labels").glob("game*/Clip*/Label.csv"))
    clips, _ = settle([parse_clip(path, Size(1280, 720), None) for path in files], "clip")
    whole = []
    for clip in clips:
        first = clip.frames[0]
        lacking = tuple(replace(first, number=number) for number in range(first.number))
        whole.append(replace(clip, frames=lacking + clip.frames))
    return FrameTable.from_clips(whole)


def guesses(table: FrameTable, seed: int) -> Predictions:
    rng = np.random.default_rng(seed)
    anywhere = rng.uniform([0, 0], [1280, 720], (len(table), 2))
    near = table.xy_px + rng.normal(0, 2, (len(table), 2))
    lost = (rng.uniform(size=len(table)) < 0.1) | np.isnan(near[:, 0])
    scores = np.where(lost, rng.uniform(0, 1, len(table)), rng.uniform(0, 1, len(table)) ** 0.2)
    return Predictions(table, np.where(lost[:, None], anywhere, near), scores, 12 * scores**2)


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Best wall time, and best and median CPU time: the latter are fair on a machine that others use too."""
    wall, cpu = [], []
    for _ in range(repeats):
        started, started_cpu = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
    return min(wall), min(cpu), float(np.median(cpu))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=at_least(1), default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    shared = Path(os.environ.get("TRACKNET_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    table = labelled_frames(shared)
    a, b = guesses(table, 0), guesses(table, 1)
    protocols = chosen_protocols(None)
    origin = PredictionOrigin("made up", "", "val", 0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.parquet"
        work: dict[str, Callable[[], Any]] = {
            "write predictions.parquet": lambda: write_predictions(path, a, origin),
            "read it": lambda: read_predictions(path),
            "score: no intervals (2 resamples)": lambda: score(a, protocols, threshold=0.5, resamples=2),
            f"score: {RESAMPLES:,} resamples": lambda: score(
                a, protocols, threshold=0.5, resamples=RESAMPLES
            ),
            f"compare two: {RESAMPLES:,} resamples": lambda: compare(
                a, b, protocols, names=("a", "b"), thresholds=(0.5, 0.5), resamples=RESAMPLES
            ),
        }
        rows = {name: timed(what, args.repeats) for name, what in work.items()}
    environment = describe_environment()
    lines = [
        "# Scoring speed",
        "",
        f"{len(table):,} predictions of {len(table.clips)} clips under {len(protocols)} protocols, on one core "
        f"({environment['processor']}, {environment['cpu_count']} cores in the machine). Labels: the whole TrackNet "
        "tennis data set; guesses made up, seeds 0 and 1. "
        f"`python -m benchmarks.score --repeats {args.repeats}`, load average {os.getloadavg()[0]:.1f} at the end.",
        "",
        "| | best, s | CPU best, s | CPU median, s |",
        "|---|---|---|---|",
        *(f"| {name} | " + " | ".join(f"{s:.2f}" for s in seconds) + " |" for name, seconds in rows.items()),
    ]
    print("\n".join(lines))
    if args.out:
        write_report(args.out, lines)


if __name__ == "__main__":
    main()
