"""The shipped events net on simulated rallies, whose paths and events are known exactly at any frame rate.

    python -m benchmarks.event_rates --out benchmarks/results/events/rates.md

No rally of them was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.event_scores import counts_of, line
from benchmarks.event_training import FRAME_SIZE, Path2d
from benchmarks.events import finder, section
from benchmarks.report_file import write_report
from pipelines.rally.looks import game_look
from pipelines.rally.points import simulate_rally
from tracknet.inference.event_net import shipped_net

RALLIES, LENGTH_S, EDGE_S = 30, 15.0, 0.1


def simulated(seed: int, rate: float) -> Path2d:
    """A rally by its physics, through a broadcast camera of its own; nothing hides the ball."""
    look = game_look(seed, 1, *FRAME_SIZE)
    rally = simulate_rally(np.random.default_rng(seed), LENGTH_S, look.wall_x_m, look.wall_y_m)
    time_s = np.arange(int(LENGTH_S * rate)) / rate
    places = [rally.ball_at(float(moment)) for moment in time_s]
    visible = np.array([place is not None for place in places])
    xy = np.full((len(time_s), 2), np.nan)
    xy[visible] = look.camera.project(np.stack([place for place in places if place is not None]))[0]
    events = tuple(
        (event.time_s, event.kind.name.lower())
        for event in rally.events
        if EDGE_S < event.time_s < LENGTH_S - EDGE_S
    )
    return Path2d(0, f"seed {seed}", time_s, xy[:, 0], xy[:, 1], visible, events)


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    find, rows = finder(shipped_net()), []
    for rate in (24.0, 25.0, 30.0, 50.0, 60.0, 120.0):
        paths = [simulated(seed, rate) for seed in range(RALLIES)]
        rows.append(line(f"at {rate:g} frames/s", counts_of(paths, [find(path) for path in paths])))
    text = [
        "# Events of simulated rallies, at their true frame rates",
        "",
        f"{RALLIES} rallies of {LENGTH_S:g} s from `pipelines.rally`, seeds 0-{RALLIES - 1}, each with a broadcast "
        "camera of its own, 1280x720; no simulated ball was in the training. An event is found when one of its "
        "kind is reported within 2/30 s, one to one. Per cent, in brackets 95 % intervals over rallies.",
        *section("The shipped net", rows),
    ]
    write_report(args.out, text)
    print("\n".join(text))


if __name__ == "__main__":
    main()
