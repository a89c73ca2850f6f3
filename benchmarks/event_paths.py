"""What a detector's own path costs the events: those found on it against those found on the labelled path.

    python -m benchmarks.trajectory_candidates MODEL --shards shards --split val --out val.npz
    python -m benchmarks.event_paths val.npz --sport tennis --data "what they are" [--append] --out FILE.md

No event is labelled in the clips that a detector of this project was run on, so the reference is what the same net
finds on the labelled path (against labels of events: results/events/tennis.md). The figures say what is lost and made
up because the path is a detector's, not how good the events are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.event_scores import Found, counts_of, line
from benchmarks.event_training import Path2d
from benchmarks.events import section
from benchmarks.report_file import write_report
from benchmarks.trajectory_found import Found as Candidates
from tracknet.inference.events import Sport, find_events
from tracknet.inference.trajectory import track
from tracknet.utils.settings import TrajectoryConfig


def with_events(path: Path2d, found: Found) -> Path2d:
    return Path2d(
        path.game,
        path.name,
        path.time_s,
        path.x,
        path.y,
        path.visible,
        tuple((time_s, kind) for time_s, kind, _ in found),
    )


def main() -> None:
    """Reads the candidates, finds the events on the three paths of every clip, writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("candidates", type=Path)
    parser.add_argument("--sport", choices=get_args(Sport), default="tennis")
    parser.add_argument("--data", required=True, help="what the clips are, for the table")
    parser.add_argument("--append", action="store_true", help="a further table in a file that is there")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    candidates = Candidates.read(args.candidates)
    threshold = candidates.saved_threshold
    labelled: list[Path2d] = []
    ways: dict[str, list[Path2d]] = {"frame by frame": [], "--smooth": []}
    for rows, time_s, size in candidates.clips():
        name = "/".join(candidates.frames.clips[candidates.frames.clip_id[rows[0]]])
        best = candidates.xy_px[rows, 0]
        way = track(
            time_s,
            candidates.xy_px[rows],
            candidates.scores[rows],
            TrajectoryConfig(),
            threshold=threshold,
            frame_size=size,
        )
        x, y = candidates.frames.xy_px[rows].T
        labelled.append(Path2d(0, name, time_s, x, y, np.isfinite(x), ()))
        seen = candidates.scores[rows, 0] >= threshold
        x, y = best.T
        ways["frame by frame"].append(Path2d(0, name, time_s, x, y, seen, ()))
        ways["--smooth"].append(Path2d(0, name, time_s, way.x, way.y, way.visible, ()))
    find = finder(candidates, args.sport)
    true_paths = [with_events(path, find(path)) for path in labelled]
    events = [kind for path in true_paths for _, kind in path.events]
    rows_of_table = [
        line(name, counts_of(true_paths, [find(path) for path in paths])) for name, paths in ways.items()
    ]
    text = "\n".join([
        f"{args.data}. {len(true_paths)} clips, {len(candidates.frames):,} frames; on the labelled path the net finds "
        f"{events.count('hit')} hits and {events.count('bounce')} bounces. Per cent of these within 2 frames, one to "
        "one, in brackets 95 % intervals over clips (2,000 resamples). A kind of which there is none has 0.",
        *section(f"{args.sport.capitalize()}: {candidates.model.rpartition('/')[2]}", rows_of_table)[2:],
        "",
    ])  # fmt: skip
    title = f"## {args.sport.capitalize()}\n\n"
    before = args.out.read_text(encoding="utf-8") + "\n" if args.append else ""
    write_report(args.out, [before + title + text])
    print(title + text)


def finder(candidates: Candidates, sport: Sport) -> Callable[[Path2d], Found]:
    sizes = {
        "/".join(candidates.frames.clips[candidates.frames.clip_id[rows[0]]]): size
        for rows, _, size in candidates.clips()
    }

    def find(path: Path2d) -> Found:
        found = find_events(path.time_s, path.x, path.y, path.visible, sizes[path.name], sport=sport)
        return [
            (float(path.time_s[frame]), str(found.event[frame]), float(found.score[frame]))
            for frame in np.flatnonzero(found.event != "")
        ]

    return find


if __name__ == "__main__":
    main()
