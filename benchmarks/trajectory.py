"""What each step of the trajectory is worth: F1 under WASB's protocol with it and without, and how long it takes.

    python -m benchmarks.trajectory_candidates MODEL --shards shards --split train --clips ... --out train.npz
    python -m benchmarks.trajectory_candidates MODEL --shards shards --split val --out val.npz
    python -m benchmarks.trajectory choose train.npz
    python -m benchmarks.trajectory measure train.npz val.npz --data "what they are" --out FILE.md [KEY=VALUE ...]
    python -m benchmarks.trajectory speed val.npz --out FILE.md

Thresholds and settings are chosen on the first file only. `choose` changes one setting at a time, to what gives the
highest F1, until nothing changes.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from benchmarks.bounds import at_least
from benchmarks.report_file import write_report
from benchmarks.trajectory_found import Found
from benchmarks.trajectory_kalman import KalmanCosts
from tracknet.inference.trajectory import track
from tracknet.training.metrics import Predictions, best_threshold, chosen_protocols
from tracknet.training.metrics.comparison import compare
from tracknet.training.metrics.counts import count, outcomes, ratios
from tracknet.utils.config import from_plain, to_plain
from tracknet.utils.geometry import Size
from tracknet.utils.settings import TrajectoryConfig

WASB = chosen_protocols(["wasb"])[0]
OFF = TrajectoryConfig(candidates=1, start_cost=0, hysteresis=0, turn_cost=0, lock_on_s=None)
GRID: dict[str, tuple[float, ...]] = {
    "start_cost": (0.5, 1, 1.5, 2, 3, 4),
    "hysteresis": (0, 0.25, 0.5, 0.75, 1, 1.5),
    "turn_cost": (0, 0.1, 0.15, 0.2, 0.3, 0.4),
    "turn_speed": (0.05, 0.1, 0.2, 0.4),
    "max_speed": (1, 1.5, 2.5, 4),
    "max_gap": (0, 1, 2, 4),
}
KALMAN_GRID = (KalmanCosts(*costs) for costs in product((1, 5, 15), (0.002, 0.005), (2.5, 5), (0, 0.5)))

HEAD = ["| | F1 | difference from raw | P | R | TP | TN | FP1 | FP2 | FN |", "|" + "---|" * 10]


def figures(predictions: Predictions, threshold: float) -> dict[str, Any]:
    """F1, precision, recall and the five counts under WASB's protocol."""
    counts = count(outcomes(predictions, WASB, threshold))
    return {**{n: float(v) for n, v in ratios(counts, WASB.recall_of).items()}, "counts": counts}


def averaged(predictions: Predictions, weight: float, most_px: float) -> Predictions:
    """Each point moved towards the middle of its neighbours in time, where that is within `most_px`."""
    xy, clip = predictions.xy_px, predictions.frames.clip_id
    middle = np.full_like(xy, np.nan)
    middle[1:-1] = np.where((clip[2:] == clip[:-2])[:, None], (xy[2:] + xy[:-2]) / 2, np.nan)
    off = np.hypot(*(middle - xy).T)
    moved = np.where((off <= most_px)[:, None], (1 - weight) * xy + weight * middle, xy)
    return replace(predictions, xy_px=moved)


def choose(found: Found, threshold: float) -> TrajectoryConfig:
    """The settings of highest F1, one at a time, from the defaults on."""
    config, best = TrajectoryConfig(), -1.0
    while True:
        before = config
        for key, values in GRID.items():
            for value in values:
                kind = type(getattr(config, key))
                other = replace(config, **{key: kind(value)})
                f1 = figures(found.tracked(other, threshold), 0.5)["f1"]
                if f1 > best:
                    config, best = other, f1
        print(f"{100 * best:.2f}", to_plain(config), flush=True)
        if config == before:
            return config


def steps(config: TrajectoryConfig) -> dict[str, TrajectoryConfig]:
    """From nothing to everything, each with what came before."""
    gate = replace(OFF, max_speed=config.max_speed, max_gap=config.max_gap, start_cost=config.start_cost)
    several = replace(gate, candidates=5)
    motion = replace(several, turn_cost=config.turn_cost, turn_speed=config.turn_speed)
    # What is fainter than the threshold is no candidate before this step.
    faint = replace(motion, hysteresis=config.hysteresis)
    return {
        "gate": gate,
        "+ 5 candidates": several,
        "+ smooth motion": motion,
        "+ hysteresis": faint,
        "+ hysteresis, 1 candidate": replace(faint, candidates=1),
        "+ hysteresis, 2 candidates": replace(faint, candidates=2),
        "+ hysteresis, lock-on 2 s": replace(faint, lock_on_s=2.0),
        "+ hysteresis, fill 1 frame": replace(faint, fill_frames=min(1, faint.max_gap)),
        "+ hysteresis, fill 2 frames": replace(faint, fill_frames=min(2, faint.max_gap)),
    }


def with_spot(found: Found, share: float = 0.9) -> Found:
    """The same with a false ball that does not move in most frames, to 1 px; in half of them it is surer than all."""
    rng = np.random.default_rng(0)
    scores, xy_px = found.scores.copy(), found.xy_px.copy()
    there = rng.uniform(size=len(scores)) < share
    spot = np.array([0.42, 0.11]) * found.frames.source_size + rng.normal(0, 1, (len(scores), 2))
    sure = np.where(rng.uniform(size=len(scores)) < 0.5, 0.999, found.scores[:, 0] * 0.99)
    # It takes the place of the faintest one.
    xy_px[there, -1], scores[there, -1] = spot[there], sure[there]
    order = np.argsort(-scores, axis=1, kind="stable")
    return replace(
        found,
        xy_px=np.take_along_axis(xy_px, order[..., None], axis=1),
        scores=np.take_along_axis(scores, order, axis=1),
    )


def kept_while_waiting(
    found: Found, config: TrajectoryConfig, threshold: float, wait_s: float
) -> tuple[int, int]:
    """Frames of a real ball that is made to wait before each clip, to 1 px: how many are kept, and of how many.

    All but the best candidates of the clip's own frames are there beside it.
    """
    rng, kept, frames = np.random.default_rng(0), 0, 0
    for rows, time_s, size in found.clips():
        first = rows[found.scores[rows, 0] >= threshold][0]
        number = round(wait_s * 30)
        beside = rows[np.arange(number) % len(rows)]
        waiting, scores = found.xy_px[beside].copy(), found.scores[beside].copy()
        waiting[:, 0] = found.xy_px[first, 0] + rng.normal(0, 1, (number, 2))
        scores[:, 0] = found.scores[first, 0]
        way = track(
            np.concatenate([time_s[0] - np.arange(number, 0, -1) / 30, time_s]),
            np.concatenate([waiting, found.xy_px[rows]]),
            np.concatenate([scores, found.scores[rows]]),
            config,
            threshold=threshold,
            frame_size=size,
        )
        kept, frames = kept + int((way.candidate[:number] == 0).sum()), frames + number
    return kept, frames


def spots(found: Found, config: TrajectoryConfig, threshold: float) -> list[str]:
    """What lock-on does where there is something to lock on to."""
    without, lock = (replace(config, lock_on_s=seconds) for seconds in (None, 2.0))
    spotted = with_spot(found)
    plain = spotted.plain()
    lines = ["The scored clips with a made-up spot in 90 % of their frames", "", *HEAD]
    lines.append(line("raw", plain, plain, (threshold, threshold)))
    for name, own in (("a path without lock-on", without), ("with lock-on 2 s", lock)):
        lines.append(line(name, plain, spotted.tracked(own, threshold), (threshold, 0.5)))
    for seconds in (3.0, 10.0):
        kept = [kept_while_waiting(found, own, threshold, seconds) for own in (without, lock)]
        counted = f"{kept[0][0]} of {kept[0][1]} frames without lock-on and {kept[1][0]} with it"
        lines += ["", f"A ball made to wait {seconds:g} s before each clip is kept in {counted}."]
    return lines


def line(name: str, raw: Predictions, made: Predictions, thresholds: tuple[float, float]) -> str:
    own = figures(made, thresholds[1])
    f1 = compare(raw, made, [WASB], names=("raw", name), thresholds=thresholds)["protocols"]["wasb"]["f1"]
    low, high = (100 * edge for edge in f1["interval"])
    tp, tn, fp1, fp2, fn = own["counts"].tolist()
    shares = [f"{100 * own[key]:.1f}" for key in ("f1", "precision", "recall")]
    difference = f"{100 * f1['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
    return (
        "| "
        + " | ".join([name, shares[0], difference, *shares[1:], *map(str, (tp, tn, fp1, fp2, fn))])
        + " |"
    )


def measure(chosen_on: Found, scored: Found, config: TrajectoryConfig) -> list[str]:
    """The tables, of both files."""
    threshold = best_threshold(chosen_on.plain(), WASB)
    rival = max(
        KALMAN_GRID,
        key=lambda costs: figures(chosen_on.kalman(costs, threshold, smooth=False), 0.5)["f1"],
    )
    averaging = max(
        product((0.1, 0.2, 0.33, 0.5), (2.0, 4.0, 8.0)),
        key=lambda how: figures(averaged(chosen_on.tracked(config, threshold), *how), 0.5)["f1"],
    )
    lines = [f"Settings: {to_plain(config)}; Kalman: {rival}; averaging: {averaging}.", ""]
    for title, found, at in (
        (f"Scored, at the threshold chosen on the other clips ({threshold:.3f})", scored, threshold),
        (
            f"Scored, at the model's own threshold ({scored.saved_threshold:.3f})",
            scored,
            scored.saved_threshold,
        ),
        (f"The clips that the settings were chosen on ({threshold:.3f})", chosen_on, threshold),
    ):
        raw, clips = found.plain(), len(found.clips())
        lines += [f"{title}: {len(raw)} frames of {clips} clips", ""]
        lines += HEAD
        lines.append(line("raw", raw, raw, (at, at)))
        lines += [line(name, raw, found.tracked(own, at), (at, 0.5)) for name, own in steps(config).items()]
        full = found.tracked(config, at)
        lines.append(
            line("the settings, points averaged over time", raw, averaged(full, *averaging), (at, 0.5))
        )
        for smooth in (False, True):
            name = f"Kalman filter{', smoothed (RTS)' if smooth else ''}"
            lines.append(line(name, raw, found.kalman(rival, at, smooth=smooth), (at, 0.5)))
        lines.append("")
    return lines + spots(scored, config, threshold)


def speed(found: Found, frames: int) -> list[str]:
    """Seconds and memory for a video that repeats the split's candidates, in turn with five random ones a frame."""
    times = -(-frames // len(found.frames))
    xy, scores = (np.concatenate([a] * times)[:frames] for a in (found.xy_px, found.scores))
    rng = np.random.default_rng(0)
    size, threshold = Size(*found.frames.source_size[0].tolist()), best_threshold(found.plain(), WASB)
    clutter = rng.uniform(0, 1, xy.shape) * np.array(size)
    works: dict[str, Callable[[], object]] = {
        f"{name}{', with lock-on' if lock else ''}": partial(
            track,
            np.arange(frames) / 60.0,
            points,
            sure,
            TrajectoryConfig(lock_on_s=lock),
            threshold=threshold,
            frame_size=size,
        )
        for name, points, sure in (
            ("the split's candidates, again and again", xy, scores),
            ("5 candidates a frame anywhere, all above the threshold", clutter, np.full(scores.shape, 0.9)),
        )
        for lock in (None, 2.0)
    }
    lines = ["| | s, best of 3 | CPU s | memory at most, MB |", "|---|---|---|---|"]
    for name, work in works.items():
        clock, cpu = [], []
        for _ in range(3):
            start, used = time.perf_counter(), time.process_time()
            work()
            clock.append(time.perf_counter() - start)
            cpu.append(time.process_time() - used)
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        lines.append(f"| {name} | {min(clock):.1f} | {min(cpu):.1f} | {peak / 1e6:.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["choose", "measure", "speed"])
    parser.add_argument("files", nargs="+", help="files of candidates, and key=value settings")
    parser.add_argument("--data", default="", help="what was trained on what, and what is scored")
    parser.add_argument("--frames", type=at_least(1), default=216_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    files = [Found.read(Path(name)) for name in args.files if "=" not in name]
    overrides = OmegaConf.to_container(OmegaConf.from_dotlist([own for own in args.files if "=" in own]))
    config = from_plain(TrajectoryConfig, overrides)
    if args.what == "choose":
        choose(files[0], best_threshold(files[0].plain(), WASB))
        return
    lines = measure(files[0], files[1], config) if args.what == "measure" else speed(files[0], args.frames)
    report = [*([args.data, ""] if args.data else []), f"Model: {files[0].model}.", "", *lines]
    if args.out:
        write_report(args.out, report)
    print("\n".join(report))


if __name__ == "__main__":
    main()
