"""`python -m pipelines.build_shards --root data/tracknet`: raw frames and labels -> shards, once.

Run it again after a change or an interruption: only what is missing or changed is done.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracknet.utils.errors import EXIT_DONE, UserError, cli_main
from tracknet.utils.naming import program
from tracknet.utils.signals import Interrupts

if TYPE_CHECKING:
    from tracknet.utils.geometry import Size
    from tracknet.utils.settings import Config

FRAME_SPLIT_REASON = (
    "--split-by frame: a random split by frame proves nothing, because neighbouring frames are near-duplicates: "
    "in the usual 70/30 split of this dataset 90 % of the validation frames have a training frame right "
    "beside them"
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("build-shards"),
        description="Builds WebDataset shards, an index and a manifest from a folder of images in the TrackNet layout "
        "(ROOT/game1/Clip1/0000.jpg and Label.csv) or of annotated videos (ROOT/match1/video/ID.mp4 and "
        "ROOT/match1/csv/ID_ball.csv). Running it again does only what is missing or changed.",
    )
    parser.add_argument("--root", help="folder of the raw data set (default: data.root of the config)")
    parser.add_argument(
        "--out",
        help="folder for the shards, or an fsspec URL such as s3://bucket/shards (default: data.shards of the "
        "config)",
    )
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="of the raw data: auto (default), tracknet, video, or one of your own",
    )
    parser.add_argument(
        "--coordinates", metavar="UNIT", help="of the labels of videos: auto (default), pixel or normalised"
    )
    parser.add_argument(
        "--staging",
        metavar="DIR",
        help="where videos are decoded to for the time of the build, as large as the shards; every worker must "
        "see it (default: in OUT, or in TMPDIR where OUT is a URL)",
    )
    parser.add_argument("--data", default="tracknet", help="data config: a name in configs/data, or a file")
    parser.add_argument("--model", default="vit_heatmap", help="model config, asked when data.resize is null")
    parser.add_argument(
        "--val-games",
        nargs="+",
        metavar="GAME",
        help="games held out for validation, by name or number: 2, or game2,game4; `none` for training "
        "shards only (default: the last fifth of the games that are not tested)",
    )
    parser.add_argument(
        "--test-games",
        nargs="+",
        metavar="GAME",
        help="games kept for the test, by name or number (default: none)",
    )
    parser.add_argument("--split-by", choices=("game", "frame"), default="game", help=argparse.SUPPRESS)
    parser.add_argument("--num-shards", metavar="N", help="training shards (default: 32)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one per CPU; 0: none beside this)"
    )
    parser.add_argument(
        "--executor",
        choices=("auto", "serial", "processes", "dask"),
        default="auto",
        help="what writes the shards: this process, processes of this machine, or a dask cluster, whose workers "
        "must see --root and --out under the same names (default: processes, where more than one CPU is there)",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a dask cluster: tcp://host:8786, or its scheduler file"
    )
    parser.add_argument(
        "--on-bad-label",
        metavar="POLICY",
        help="error (default), drop (leave out faulty rows and frames) or clip (move points to the border)",
    )
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="the frames are as they were: write their labels anew into the index and encode nothing; "
        "needs no workers",
    )
    parser.add_argument("--overwrite", action="store_true", help="rebuild a folder of another configuration")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error arose")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.resize=[640,352]")
    return parser


def run(argv: list[str]) -> int:
    """Builds, as the arguments ask; returns the exit code."""
    args = _parser().parse_intermixed_args(argv)
    if args.split_by == "frame":
        raise UserError(FRAME_SPLIT_REASON, remedy="split by game: --val-games GAME ...")
    if args.labels_only and args.overwrite:
        raise UserError(
            "--labels-only and --overwrite: one keeps the frames, the other makes them anew",
            remedy="choose one",
        )
    if args.labels_only and (args.executor == "dask" or args.scheduler is not None):
        raise UserError(
            "--labels-only writes index and manifest from here: a cluster has nothing to do in it",
            remedy="leave --executor and --scheduler out",
        )
    # Parsed first and imported then, so that --help answers at once.
    from pathlib import Path

    from pipelines.build import build
    from pipelines.executors import check_executor, check_staging, open_executor
    from pipelines.labels_only import rewrite_labels
    from pipelines.request import BuildRequest, prepare
    from pipelines.store import open_store, output_place
    from pipelines.summary import describe_plan, describe_result, size_warnings
    from tracknet.utils.config import load_config
    from tracknet.utils.naming import counted

    check_executor(args.executor, args.workers, args.scheduler)
    config = load_config(data=args.data, model=args.model, overrides=_overrides(args))
    data = config.data
    out = output_place(args.out or data.shards)
    open_store(out)  # an unknown kind of URL is told before the labels are read
    prepared = prepare(
        BuildRequest(
            root=Path(args.root or data.root),
            out=out,
            size=_stored_size(config),
            jpeg_quality=data.jpeg_quality,
            segment_frames=data.segment_frames,
            num_shards=data.num_shards,
            val_games=data.val_games,
            test_games=data.test_games,
            decode=data.decode,
            split_seed=data.split_seed,
            on_bad_label=data.on_bad_label,
            layout=data.layout,
            coordinates=data.coordinates,
            staging_parent=None if args.staging is None else Path(args.staging),
            overwrite=args.overwrite,
        )
    )
    if prepared.videos:
        check_staging(args.executor, prepared.request)
    print(describe_plan(prepared), flush=True)
    sources = {segment.frame_size for shard in prepared.plan.shards for segment in shard.segments}
    _warn([*prepared.warnings, *size_warnings(prepared.request.size, sources)])
    with Interrupts():
        if args.labels_only:
            report = rewrite_labels(prepared)
        else:
            with open_executor(
                args.executor,
                workers=args.workers,
                scheduler=args.scheduler,
                shards=len(prepared.plan.shards),
                example=prepared.first_task,
            ) as executor:
                report = build(prepared, executor)
    if report.left_out:
        lines = "".join(f"\n  - {line}" for line in report.left_out)
        _warn([f"left out {counted(len(report.left_out), 'frame')} that cannot be decoded or found{lines}"])
    print(describe_result(report, prepared.request.shown_out, args.data))
    return EXIT_DONE


def _overrides(args: argparse.Namespace) -> list[str]:
    """Flags as overrides of the config, so that both are checked by the same rules; flags win."""
    overrides = list(args.overrides)
    for key, words in (("val_games", args.val_games), ("test_games", args.test_games)):
        # `--val-games 2 data.jpeg_quality=90`: argparse gives the override to the flag.
        overrides += [word for word in words or () if "=" in word]
        if words is not None:
            games = [game for word in words if "=" not in word for game in word.replace(",", " ").split()]
            overrides.append(f"data.{key}={json.dumps([] if games == ['none'] else games)}")
    if args.num_shards is not None:
        overrides.append(f"data.num_shards={args.num_shards}")
    for flag in ("layout", "coordinates", "on_bad_label"):
        if (value := getattr(args, flag)) is not None:
            overrides.append(f"data.{flag}={value}")
    return overrides


def _stored_size(config: Config) -> Size:
    if config.data.resize is not None:
        return config.data.resize
    from tracknet.utils.processor import read_processor

    processor = read_processor(config.model.backbone, None)
    print(f"frames are stored at {processor.size}, the size of {processor.source}")
    return processor.size


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
