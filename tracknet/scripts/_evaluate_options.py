"""The options of `evaluate`, and what is wrong with them by themselves."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracknet.scripts._choices import AMPS, OVERLAPS
from tracknet.utils.bounds import is_above_0
from tracknet.utils.errors import UserError
from tracknet.utils.naming import program

if TYPE_CHECKING:
    from tracknet.datasets.remote_path import RemotePath

# A 95 % interval leaves 2.5 % out on either side: of 100 resamples two and a half.
_FEWEST_RESAMPLES = 100


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=program("evaluate"),
        description="Score a model on a split of a build under the field's published protocols, with 95 % intervals "
        "over clips; or score predictions that are files, compare two of them, or set a model's threshold.",
    )
    parser.add_argument(
        "model", type=Path, nargs="?", help="a run (its best model), a checkpoint, or a model folder"
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="score predictions instead of a model: predictions.parquet, or a folder with GAME_CLIP.csv per clip "
        "(Frame,Visibility,X,Y[,Score])",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="two predictions of the same frames: files, folders as for --from, or runs that were evaluated",
    )
    parser.add_argument(
        "--calibrate",
        nargs="+",
        metavar=("SPLIT", "CLIP"),
        help="choose the model's score threshold by F1 on `val`, or on `train` and the clips named (game1/Clip3), "
        "and store it in the model; --protocol says whose F1 (default: design)",
    )
    parser.add_argument(
        "--most-false-alarms",
        type=float,
        metavar="SHARE",
        help="with --calibrate: the threshold of highest F1 among those that report a ball on at most this share of "
        "the frames without one, such as 0.05",
    )
    parser.add_argument(
        "--shards",
        type=_place,
        help="folder or URL of a build: the frames and labels. Default: shards; for predictions.parquet the labels "
        "in it",
    )
    parser.add_argument(
        "--features",
        help="folder or URL of the tokens of the model's backbone (pipelines.build_features), which is then not run",
    )
    parser.add_argument("--split", help="train, val or test; default: val, or that of predictions.parquet")
    parser.add_argument(
        "--out",
        type=Path,
        help="default: RUN/evaluation/SPLIT, with the build's id behind it where that holds one of another build; "
        "below evaluation/ for what is no run; evaluation/comparison of a pair, comparison-2, comparison-3, "
        "... of other pairs",
    )
    parser.add_argument(
        "--protocol",
        nargs="+",
        metavar="NAME",
        help="design, wasb, tracknetv2, tracknet, racketvision; default: all",
    )
    parser.add_argument(
        "--threshold", type=float, help="score from which a guess is a detection; default: the model's own"
    )
    parser.add_argument(
        "--overlap",
        choices=OVERLAPS,
        help="of models with a map per frame: how the maps of all windows that see a frame become one; weighted "
        "counts a window's middle most, none takes the window that the frame anchors. Default: mean",
    )
    parser.add_argument(
        "--flip",
        action="store_true",
        help="average with the mirror image: twice the time",
    )
    parser.add_argument(
        "--resamples", type=int, default=1000, help="of the bootstrap over clips, at least 100"
    )
    parser.add_argument("--distance", type=float, default=5.0, help="of the design protocol, in frame pixels")
    parser.add_argument(
        "--pck", type=float, nargs="+", default=[2, 5, 10, 20], help="radii in frame pixels, for each decoder"
    )
    parser.add_argument("--pictures", type=int, default=6, help="frames in overlays.png; 0 for none")
    parser.add_argument(
        "--no-report", dest="page", action="store_false", help="no report.html, whose pictures take a while"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="auto", choices=AMPS)
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    if problems := list(_problems(args)):
        raise UserError("the request cannot be met", problems=problems)
    return args


def _problems(args: argparse.Namespace) -> Sequence[str]:
    """What is wrong with the arguments by themselves."""
    problems = [
        f"--{name.replace('_', '-')} must be at least {low}, got {value}"
        for name, low in (
            ("batch_size", 1),
            ("workers", 0),
            ("pictures", 0),
            ("resamples", _FEWEST_RESAMPLES),
        )
        if (value := getattr(args, name)) < low
    ]
    problems += [
        f"a distance must be a number above 0, got {r:g}"
        for r in (args.distance, *args.pck)
        if not is_above_0(r)
    ]
    if args.threshold is not None and not math.isfinite(args.threshold):
        problems.append(f"--threshold must be a number, got {args.threshold}")
    problems += _unknown_protocols(args.protocol)
    given = [
        name
        for name, value in (("a model", args.model), ("--from", args.source), ("--compare", args.compare))
        if value is not None
    ]
    if len(given) != 1:
        problems.append(f"give one of a model, --from and --compare, not {' and '.join(given) or 'none'}")
    if args.model is None:
        problems += [
            f"{option} needs the model: predictions that are files are made already"
            for option, given in (
                ("--overlap", args.overlap is not None),
                ("--flip", args.flip),
                ("--features", args.features is not None),
            )
            if given
        ]
    if args.features is not None and args.flip:
        problems.append("--flip needs the mirrored frames' own tokens: leave out --features")
    if args.features is not None and args.calibrate and len(args.calibrate) > 1:
        problems.append("--features goes with whole splits, not with the clips of --calibrate: leave it out")
    if args.most_false_alarms is not None and not args.calibrate:
        problems.append("--most-false-alarms chooses a threshold: it goes with --calibrate")
    if args.most_false_alarms is not None and not 0 <= args.most_false_alarms < 1:
        problems.append(f"--most-false-alarms {args.most_false_alarms:g} is no share below 1, such as 0.05")
    if args.calibrate:
        split, *clips = args.calibrate
        if args.model is None:
            problems.append("--calibrate needs the model whose threshold is to be set")
        if split == "test":
            problems.append(
                "--calibrate test: a threshold chosen on the test split makes its figures worthless"
            )
        if split == "train" and not clips:
            problems.append("--calibrate train needs the clips that training left aside, such as game1/Clip3")
        if args.split is not None:
            problems.append(f"--calibrate {split} names its split itself: leave out --split")
        if len(args.protocol or ()) > 1:
            problems.append(f"--calibrate goes by the F1 of one protocol, not {len(args.protocol)}")
    return problems


def _place(spec: str) -> Path | RemotePath:
    # Not at the top, here and below: --help must not wait for NumPy.
    from tracknet.datasets.shard_names import input_place

    return input_place(spec)


def _unknown_protocols(names: Sequence[str] | None) -> list[str]:
    from tracknet.training.metrics import chosen_protocols

    try:
        chosen_protocols(names)
    except UserError as error:
        return [f"--protocol: {error.what}: {', '.join(error.problems)}; {error.remedy}"]
    return []
