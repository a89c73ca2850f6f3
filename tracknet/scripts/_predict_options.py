"""The options of `predict`, and what is wrong with them by themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from tracknet.scripts._choices import AMPS, DEFAULT_FPS, DEFAULT_TIMEOUT_S, OVERLAPS, RESULT_FORMATS, SPORTS
from tracknet.utils.bounds import is_above_0
from tracknet.utils.errors import UserError
from tracknet.utils.naming import program


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=program("predict"),
        description="Find the ball in every frame of videos: a row per frame that the video really holds, "
        "frame,time_s,x,y,score,visible, in pixels of the upright frame.",
        epilog="Ctrl-C keeps what is done in NAME.partial.csv; what a camera or live stream gave is complete then.",
    )
    parser.add_argument(
        "model",
        help="a run (its best model), a checkpoint, a model folder, the hub name OWNER/MODEL of one, or an .onnx file",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="VIDEO",
        help="video files; folders of videos or of pictures; a camera's number (0); an rtsp or http URL; "
        "- for a video on standard input",
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="default: predictions")
    parser.add_argument(
        "--format",
        type=_formats,
        default=("csv",),
        metavar="csv,parquet,json",
        help="of the results, one or several; default: csv",
    )
    parser.add_argument(
        "--tracknetv2",
        action="store_true",
        help="also NAME_ball.csv: Frame,Visibility,X,Y as TrackNetV2 spells it",
    )
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="also NAME.overlay.mp4: the video with the ball, its trail and its sound",
    )
    parser.add_argument(
        "--heatmap",
        action="store_true",
        help="with --overlay: the model's heatmap in a corner; the model still runs once",
    )
    parser.add_argument(
        "--smooth",
        action="store_true",
        help="follow the ball through each frame's best candidates; what the model said by itself stays in "
        "x_raw,y_raw,score_raw,visible_raw",
    )
    parser.add_argument(
        "--trajectory",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="with --smooth: a setting of it, such as fill_frames=2; may be repeated (docs/predict.md lists them)",
    )
    parser.add_argument(
        "--events",
        choices=SPORTS,
        help="add the columns event (hit, bounce) and event_score, from the ball's path; best with --smooth. "
        "Its weights were trained on labels that are for academic use",
    )
    parser.add_argument("--frames", default=":", metavar="A:B", help="only the frames A to B-1, from 0")
    parser.add_argument(
        "--fps", type=float, default=DEFAULT_FPS, help=f"of folders of pictures; default: {DEFAULT_FPS:g}"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT_S,
        metavar="S",
        help="of URLs: how long opening one, and each wait for a picture, may take; none waits for ever; "
        f"default: {DEFAULT_TIMEOUT_S:g} seconds",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace results that are there")
    existing.add_argument(
        "--skip-existing", action="store_true", help="leave out sources whose results are there"
    )
    parser.add_argument(
        "--threshold", type=float, help="score from which a ball is reported; default: the model's own"
    )
    parser.add_argument(
        "--overlap",
        choices=OVERLAPS,
        help="of models with a map per frame: how the maps of all windows that see a frame become one. Default: mean",
    )
    parser.add_argument("--flip", action="store_true", help="average with the mirror image: twice the time")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="windows at once; default: 8, of live sources 1"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="auto", choices=AMPS)
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    if problems := list(_problems(args)):
        raise UserError("the request cannot be met", problems=problems)
    return args


def trajectory_settings(args: argparse.Namespace) -> dict[str, Any] | None:
    """What `--trajectory` says of `--smooth`, unchecked; `None` where there is to be no trajectory.

    Raises:
        UserError: a setting without a value.
    """
    from omegaconf import OmegaConf

    if not args.smooth:
        return None
    if wrong := [pair for pair in args.trajectory if "=" not in pair]:
        raise UserError(f"--trajectory {wrong[0]}: needs a value", remedy=f"write {wrong[0]}=VALUE")
    plain = OmegaConf.to_container(OmegaConf.from_dotlist(args.trajectory))
    return cast(dict[str, Any], plain)


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not names or set(names) - set(RESULT_FORMATS):
        raise argparse.ArgumentTypeError(f"{text!r}: give one or several of {', '.join(RESULT_FORMATS)}")
    return names


def _seconds(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seconds nor none") from None


def _problems(args: argparse.Namespace) -> Iterator[str]:
    if args.batch is not None and args.batch < 1:
        yield f"--batch must be at least 1, got {args.batch}"
    if not is_above_0(args.fps):
        yield f"--fps must be above 0 and finite, got {args.fps:g}"
    if args.timeout is not None and not is_above_0(args.timeout):
        yield f"--timeout must be above 0 and finite, or none to wait for ever, got {args.timeout:g}"
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        yield f"--threshold must be from 0 to 1, as scores are, got {args.threshold:g}"
    if args.heatmap and not args.overlay:
        yield "--heatmap is drawn into the overlay: give --overlay too"
    if args.trajectory and not args.smooth:
        yield "--trajectory changes a setting of --smooth: give --smooth too"
    if args.out.exists() and not args.out.is_dir():
        yield f"--out {args.out} is a file, and must be a folder"
