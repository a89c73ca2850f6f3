"""Sample data, built in: renders rallies with exactly known ball positions, in the TrackNet layout.

    python -m pipelines.synthesize --out data/tracknet

    data/tracknet/synthesize.json          the request, so that a second run knows what is there
    data/tracknet/game1/Clip1/0000.jpg ... frames at 30 a second
    data/tracknet/game1/Clip1/Label.csv    file name, visibility, x, y, status; empty where there is no ball

Every clip follows from (seed, game, clip) alone, every game's look from (seed, game): asking for more
games or clips, or for other workers, changes no file that is common to both. A clip is written under a
hidden name and renamed when whole, so an interrupted run is continued by running it again.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipelines.rally.clips import Request, cannot_write, clip_folder, is_whole, write_clips
from tracknet.datasets.label_csv import LABEL_NAME, parse_clip
from tracknet.datasets.schema import Status, Visibility
from tracknet.utils.cpus import usable_cpus
from tracknet.utils.errors import UserError, cli_main
from tracknet.utils.files import write_json
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted, program
from tracknet.utils.progress import Progress
from tracknet.utils.signals import Interrupts

# Raise it whenever the same request would render other bytes.
RENDERER_VERSION = 1
REQUEST_FILE = "synthesize.json"
# The smallest picture in which the smallest ball still covers a third of a pixel, and a court fits.
SMALLEST_PX, WIDEST_PX, LEAST_ASPECT = (160, 90), 4096, 1.4
MOST_FRAMES = 10_000


def synthesize(request: Request, out: Path, workers: int, *, overwrite: bool = False) -> int:
    """Render what `request` asks for and `out` lacks; how many clips that were."""
    _prepare(request, out, overwrite=overwrite)
    every = request.pairs()
    missing = [pair for pair in every if not is_whole(request, clip_folder(out, *pair))]
    if len(missing) < len(every) and missing:
        print(
            f"{out}: {len(every) - len(missing)} of {len(every)} clips are there; rendering the rest",
            flush=True,
        )
    with Progress("rendering", len(missing) * request.frames, "frames") as progress:
        for _ in write_clips(request, out, missing, workers):
            progress.advance(request.frames)
    return len(missing)


def _prepare(request: Request, out: Path, *, overwrite: bool) -> None:
    """Make `out` a folder that holds this request and nothing else, or say why not."""
    wanted = {"renderer": RENDERER_VERSION, **asdict(request)}
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file", remedy="name a folder that does not exist yet")
    try:
        entries = sorted(e.name for e in out.iterdir() if not e.name.startswith(".")) if out.exists() else []
        there = _request_in(out) if entries else None
        # Only the games that the request file names are this command's to replace.
        games_there = there.get("games") if there is not None else 0
        ours = (
            {f"game{game}" for game in range(1, games_there + 1)} if isinstance(games_there, int) else set()
        )
        foreign = [name for name in entries if name not in ours | {REQUEST_FILE}]
        if entries and (there is None or foreign):
            what = ", ".join((foreign or entries)[:4])
            raise UserError(
                f"{out} holds other things than this command would write there: {what}",
                remedy="choose another --out; nothing was touched",
            )
        if there is not None and there != wanted:
            if not overwrite:
                raise UserError(
                    f"{out} holds another synthetic data set",
                    problems=_differences(there, wanted),
                    remedy="choose another --out, ask for the same, or replace it with --overwrite",
                )
            for name in entries:
                if name != REQUEST_FILE:
                    shutil.rmtree(out / name)
        out.mkdir(parents=True, exist_ok=True)
        if there != wanted:
            write_json(out / REQUEST_FILE, wanted)
    except OSError as error:
        raise cannot_write(out, error) from error


def _request_in(out: Path) -> dict[str, object] | None:
    """What a folder was made for; None if not by this command."""
    try:
        found = json.loads((out / REQUEST_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _differences(there: dict[str, object], wanted: dict[str, object]) -> list[str]:
    names = [name for name in {**wanted, **there} if there.get(name) != wanted.get(name)]
    return [f"{name}: {there.get(name)} there, {wanted.get(name)} asked for" for name in names]


def summary(request: Request, out: Path) -> str:
    """Counts over all labels in `out`."""
    size = Size(request.width_px, request.height_px)
    labels = [
        row.label
        for pair in request.pairs()
        for row in parse_clip(clip_folder(out, *pair) / LABEL_NAME, size, None).rows
        if row.label is not None
    ]
    visibility = Counter(label.visibility for label in labels)
    status = Counter(label.status for label in labels)
    seen = ", ".join(f"{code.name.lower()} {visibility[code]:,}" for code in Visibility)
    acts = ", ".join(f"{code.name.lower()} {status[code]:,}" for code in Status)
    return (
        f"{out}: {counted(request.games, 'game')} x {counted(request.clips, 'clip')}, "
        f"{counted(len(labels), 'frame')} of {size}\n  visibility: {seen}\n  status: {acts}"
    )


def _parse(argv: Sequence[str]) -> tuple[Request, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        prog=program("synthesize"),
        description="Render tennis rallies with exactly known ball positions, in the TrackNet layout.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write game*/Clip*/ into")
    parser.add_argument("--games", type=int, default=32, help="games; each looks different")
    parser.add_argument("--clips", type=int, default=1, help="clips a game")
    parser.add_argument("--frames", type=int, default=40, help="frames a clip, at 30 a second")
    parser.add_argument("--seed", type=int, default=7, help="the same seed writes the same bytes")
    parser.add_argument("--size", default="1280x720", metavar="WxH", help="frame size in pixels")
    parser.add_argument(
        "--workers", type=int, default=usable_cpus(), help="processes; changes the time, not the files"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace another synthetic data set in --out"
    )
    args = parser.parse_args(argv)
    problems = [
        f"--{name} is {getattr(args, name)}, at least {least} is needed"
        for name, least in (("games", 1), ("clips", 1), ("frames", 2), ("seed", 0), ("workers", 1))
        if getattr(args, name) < least
    ]
    if args.frames > MOST_FRAMES:
        problems.append(f"--frames is {args.frames}, at most {MOST_FRAMES} have names of four digits")
    size = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", args.size)
    width_px, height_px = (int(size[1]), int(size[2])) if size else (0, 0)
    if size is None:
        problems.append(f"--size is {args.size!r}, not WIDTHxHEIGHT like 1280x720")
    elif width_px < SMALLEST_PX[0] or height_px < SMALLEST_PX[1] or width_px > WIDEST_PX:
        problems.append(
            f"--size is {args.size}; {SMALLEST_PX[0]}x{SMALLEST_PX[1]} to {WIDEST_PX} wide is possible"
        )
    elif width_px < LEAST_ASPECT * height_px:
        problems.append(f"--size is {args.size}; a court needs a width of at least {LEAST_ASPECT} heights")
    if problems:
        raise UserError("this cannot be rendered:", problems=problems, remedy="see --help for the defaults")
    return Request(args.games, args.clips, args.frames, args.seed, width_px, height_px), args


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


def run(argv: Sequence[str]) -> int:
    """Renders, as the arguments ask; returns the exit code."""
    request, args = _parse(argv)
    started_s = time.monotonic()
    with Interrupts():
        rendered = synthesize(request, args.out, args.workers, overwrite=args.overwrite)
    print(summary(request, args.out))
    if rendered:
        print(f"  {counted(rendered, 'clip')} rendered in {time.monotonic() - started_s:.1f} s")
    else:
        print("  already there, nothing to do")
    print(f"next: python -m pipelines.build_shards --root {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
