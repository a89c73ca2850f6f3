"""The options of `inspect`, and what is wrong with them by themselves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tracknet.utils.errors import UserError
from tracknet.utils.naming import program
from tracknet.utils.urls import is_url, shown

SAMPLED_FRAMES = 1536
PAGE_FRAMES = 60
MOST_WINDOWS = 60
MOST_SAMPLES = 600
"""A sheet of more would be higher than the 65,500 lines of the largest JPEG, a page of more 50 MB and larger."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=program("inspect"),
        description="Tell what a build of shards holds and what is doubtful in it; --verify reads every byte and "
        "exits with 1 if anything is not what was built.",
    )
    parser.add_argument(
        "folder", nargs="?", default="shards", help="of a build, on this machine (default: shards)"
    )
    parser.add_argument(
        "--verify", action="store_true", help="check every byte against manifest and index, and no more"
    )
    parser.add_argument("--decode", action="store_true", help="with --verify: decode every picture too")
    parser.add_argument(
        "--duplicates",
        action="store_true",
        help=f"compare all frames with their neighbours, instead of about {SAMPLED_FRAMES:,}",
    )
    parser.add_argument("--samples", type=int, metavar="N", help="draw N frames with their labels on a sheet")
    parser.add_argument(
        "--augment",
        nargs="*",
        metavar="KEY=VALUE",
        help="with --samples: windows as a training with these settings sees them, in place of stored frames",
    )
    parser.add_argument("--out", type=Path, help="the sheet's file: .jpg or .png (default: samples.jpg)")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help=f"a page of these frames (of {PAGE_FRAMES} without --samples)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    problems = []
    if args.samples is not None and not 1 <= args.samples <= MOST_SAMPLES:
        problems.append(f"--samples must be 1 to {MOST_SAMPLES}, got {args.samples}")
    if args.decode and not args.verify:
        problems.append("--decode goes with --verify")
    if args.verify and (args.samples or args.html or args.duplicates):
        problems.append("--verify goes alone: damaged shards cannot be shown; verify first, then look")
    if args.augment is not None and (args.samples is None or args.html is not None):
        problems.append("--augment goes with --samples N, and without --html: it draws windows on that sheet")
    elif args.augment is not None and args.samples > MOST_WINDOWS:
        problems.append(f"--samples must be at most {MOST_WINDOWS} with --augment, got {args.samples}")
    if args.out is not None and args.samples is None:
        problems.append("--out names the sheet of --samples N")
    if args.out is not None and args.out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        problems.append(f"--out {args.out}: give a .jpg or .png file")
    if is_url(args.folder):
        raise UserError(
            f"{shown(args.folder)}: inspect reads folders of this machine",
            remedy="give the folder under which that place is mounted, or copy it here and inspect the copy",
        )
    args.folder = Path(args.folder)
    if problems:
        raise UserError("the request has impossible values", problems=problems)
    return args
