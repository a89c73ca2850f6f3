"""The command line of `python -m benchmarks.ablation`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.ablation.experiment import seed_problems
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size

# Options that take words up to the next option, and would take an override among them.
_TAKES_WORDS = ("--rows", "--seeds", "--weights")
_SETTING = re.compile(r"(data|model|training)[.=]")


def parse(argv: Sequence[str], *, description: str | None = None) -> argparse.Namespace:
    """What is asked for.

    Raises:
        UserError: impossible values.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablation",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment", help="a name in configs/experiments, or a .yaml file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of every row")
    parser.add_argument("--root", type=Path, help="folder of the raw data, where shards are to be built")
    parser.add_argument("--shards", type=Path, help="a build, for the rows of its size")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="instead of the experiment's")
    parser.add_argument("--steps", type=int, help="of every row, instead of the file's; of a rehearsal 2")
    parser.add_argument(
        "--input-size",
        nargs=2,
        type=int,
        metavar=("W", "H"),
        help="of every row, heatmaps in proportion, results in a folder of their own; multiples of 16 (a row in "
        "patches of 14 takes the nearest that is whole)",
    )
    parser.add_argument(
        "--size", choices=["full", "toy"], default="full", help="toy: a rehearsal on rendered frames"
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="where a backbone of the hub lies here",
    )
    parser.add_argument("--work", type=Path, help="runs and shards; default: runs/ablation-EXPERIMENT")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/ablation/EXPERIMENT")
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    kept, overrides = _apart(argv)
    args = parser.parse_intermixed_args(kept)
    args.overrides += overrides
    problems = [f"--weights takes NAME=FOLDER, got {pair}" for pair in args.weights if "=" not in pair]
    if args.steps is not None and args.steps < 1:
        problems.append(f"--steps must be at least 1, got {args.steps}")
    if args.seeds is not None:
        problems += [f"--seeds: {problem}" for problem in seed_problems(args.seeds)]
    if args.input_size is not None:
        problems += _size_problems(args)
        args.input_size = Size(*args.input_size)
    if problems:
        raise UserError("the request has impossible values", problems=problems)
    return args


def _size_problems(args: argparse.Namespace) -> Iterator[str]:
    if any(side < 16 or side % 16 for side in args.input_size):
        width, height = (max(1, round(side / 16)) * 16 for side in args.input_size)
        yield f"--input-size takes multiples of 16, got {args.input_size[0]} {args.input_size[1]}: say {width} {height}"
    if args.size == "toy":
        yield "--input-size: a rehearsal has a size of its own; leave out one of the two"
    for key in ("data.resize", "model.heatmap.size"):
        if any(item.startswith(f"{key}=") for item in args.overrides):
            yield f"--input-size sets {key}: leave out that override"


def _apart(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command line without the overrides that an option of several words would take, and these."""
    kept: list[str] = []
    overrides: list[str] = []
    option = ""
    for word in argv:
        if word.startswith("-"):
            option = word
        takes = [name for name in _TAKES_WORDS if option.startswith("--") and name.startswith(option)]
        is_override = "=" in word and word != option and bool(takes)
        if is_override and "--weights" in takes:
            is_override = _SETTING.match(word) is not None
        (overrides if is_override else kept).append(word)
    return kept, overrides
