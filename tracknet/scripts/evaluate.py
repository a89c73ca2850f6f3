"""`python -m tracknet.scripts.evaluate MODEL --shards shards --split val`; also scores predictions that are files."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknet.utils.errors import EXIT_DONE, UserError, cli_main

if TYPE_CHECKING:
    from tracknet.training.metrics.report import Scored


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracknet evaluate",
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
        "--shards",
        type=Path,
        help="folder of a build: the frames and labels. Default: shards; for predictions.parquet the labels in it",
    )
    parser.add_argument("--split", help="train, val or test; default: val, or that of predictions.parquet")
    parser.add_argument(
        "--out", type=Path, help="default: RUN/evaluation/SPLIT; evaluation/NAME for what is no run"
    )
    parser.add_argument(
        "--protocol", nargs="+", metavar="NAME", help="design, wasb, tracknetv2, tracknet, racketvision; all"
    )
    parser.add_argument(
        "--threshold", type=float, help="score from which a guess is a detection; default: the model's own"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap over clips")
    parser.add_argument("--distance", type=float, default=5.0, help="of the design protocol, in frame pixels")
    parser.add_argument(
        "--pck", type=float, nargs="+", default=[2, 5, 10, 20], help="radii in frame pixels, for each decoder"
    )
    parser.add_argument("--pictures", type=int, default=6, help="frames in overlays.png; 0 for none")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="auto", choices=["auto", "bf16", "fp16", "off"])
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    if problems := list(_problems(args)):
        raise UserError("the request cannot be met", problems=problems)
    return args


def _problems(args: argparse.Namespace) -> Sequence[str]:
    """What is wrong with the arguments by themselves."""
    problems = [
        f"--{name.replace('_', '-')} must be at least {low}, got {value}"
        for name, low in (("batch_size", 1), ("workers", 0), ("pictures", 0), ("resamples", 2))
        if (value := getattr(args, name)) < low
    ]
    problems += [f"a distance must be above 0, got {r:g}" for r in (args.distance, *args.pck) if not r > 0]
    if args.threshold is not None and not math.isfinite(args.threshold):
        problems.append(f"--threshold must be a number, got {args.threshold}")
    given = [
        name
        for name, value in (("a model", args.model), ("--from", args.source), ("--compare", args.compare))
        if value is not None
    ]
    if len(given) != 1:
        problems.append(f"give one of a model, --from and --compare, not {' and '.join(given) or 'none'}")
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


def run(argv: Sequence[str]) -> int:
    """Does what was asked, writes its files and prints the figures."""
    args = parse(argv)
    if args.compare:
        return _compare(args)
    if args.calibrate:
        return _calibrate(args)
    if args.source:
        return _score_files(args)
    return _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    from tracknet.datasets.index import open_split
    from tracknet.training.checkpoint import resolve_model_folder
    from tracknet.training.metrics import chosen_protocols, summarise
    from tracknet.training.metrics.report import Scored
    from tracknet.training.model_evaluation import run_model
    from tracknet.training.prediction_sources import DEFAULT_SHARDS, DEFAULT_SPLIT, with_threshold
    from tracknet.utils.settings import MetricsConfig

    chosen_protocols(args.protocol)
    folder = resolve_model_folder(args.model)
    shards = open_split(args.shards or DEFAULT_SHARDS, args.split or DEFAULT_SPLIT)
    is_run = (args.model / "config.yaml").is_file()
    out = args.out or (args.model if is_run else Path()) / "evaluation" / shards.split
    # Before minutes of evaluation, not after.
    out.mkdir(parents=True, exist_ok=True)
    made = run_model(folder, shards, **_how(args), pictures=args.pictures)
    scored = Scored(
        made.predictions,
        made.origin,
        str(shards.folder),
        shards.manifest.build_id,
        shards.split,
    )
    scored = with_threshold(scored, args.threshold)
    metrics = MetricsConfig(pck_px=tuple(args.pck), distance_px=args.distance)
    decoders = {
        name: summarise(predictions, metrics, threshold=scored.origin.threshold)
        for name, predictions in made.by_decoder.items()
    }
    return _write(args, scored, out, made.overlays, decoders=decoders, environment=made.environment)


def _score_files(args: argparse.Namespace) -> int:
    from tracknet.training.prediction_sources import read_source, with_threshold
    from tracknet.utils.environment import describe_environment

    scored = read_source(args.source, shards=args.shards, split=args.split)
    out = args.out or Path("evaluation") / f"{args.source.stem}-{scored.split}"
    out.mkdir(parents=True, exist_ok=True)
    return _write(args, with_threshold(scored, args.threshold), out, [], environment=describe_environment())


def _compare(args: argparse.Namespace) -> int:
    from tracknet.reporting.score_table import comparison_text
    from tracknet.training.metrics import chosen_protocols
    from tracknet.training.metrics.comparison import compare
    from tracknet.training.prediction_sources import read_source, with_threshold
    from tracknet.utils.files import write_json

    protocols = chosen_protocols(args.protocol, design_distance_px=args.distance)
    a, b = (
        with_threshold(read_source(path, shards=args.shards, split=args.split), args.threshold)
        for path in args.compare
    )
    comparison = compare(
        a.predictions,
        b.predictions,
        protocols,
        names=(str(args.compare[0]), str(args.compare[1])),
        thresholds=(a.origin.threshold, b.origin.threshold),
        resamples=args.resamples,
    )
    comparison["notes"] = [*a.notes, *b.notes]
    out = args.out or Path("evaluation") / "comparison"
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "metrics.json", {"compare": comparison})
    print("\n".join([comparison_text(comparison), *(f"note: {note}" for note in comparison["notes"])]))
    print(f"written: {out / 'metrics.json'}")
    return EXIT_DONE


def _calibrate(args: argparse.Namespace) -> int:
    from tracknet.datasets.index import open_split
    from tracknet.training.checkpoint import resolve_model_folder
    from tracknet.training.metrics import chosen_protocols
    from tracknet.training.metrics.bootstrap import Tally, whole
    from tracknet.training.model_evaluation import only_clips, run_model, set_threshold
    from tracknet.training.prediction_sources import DEFAULT_SHARDS

    (protocol,) = chosen_protocols(args.protocol or ["design"], design_distance_px=args.distance)
    split, *clips = args.calibrate
    folder = resolve_model_folder(args.model)
    shards = open_split(args.shards or DEFAULT_SHARDS, split)
    if clips:
        shards = only_clips(shards, clips)
    made = run_model(folder, shards, **_how(args), decoders=())
    predictions, before = made.predictions, made.origin.threshold
    threshold = set_threshold(made, folder, protocol, shards, whole_split=not clips)
    counted = protocol.with_all_frames()
    was, now = (whole(Tally.of(predictions, counted, value))["f1"] for value in (before, threshold))
    print(
        f"score threshold {before:.4g} -> {threshold:.4g}, chosen on {len(predictions):,} frames of {split}"
        f"{' (' + ', '.join(clips) + ')' if clips else ''}: F1 {was:.3f} -> {now:.3f} there under {protocol.name} "
        f"({protocol.distance_text}, false alarms counted)\nstored in {folder}"
    )
    return EXIT_DONE


def _write(
    args: argparse.Namespace, scored: Scored, out: Path, overlays: Sequence[Any], **more: dict[str, Any]
) -> int:
    """Scores, writes predictions.parquet, metrics.json and the pictures, and prints the figures."""
    from tracknet.reporting.score_table import evaluation_text
    from tracknet.training.metrics import chosen_protocols
    from tracknet.training.metrics.prediction_file import PREDICTIONS_NAME, write_predictions
    from tracknet.training.metrics.report import evaluation_report
    from tracknet.utils.files import replace_file, write_json

    protocols = chosen_protocols(args.protocol, design_distance_px=args.distance)
    report = {**evaluation_report(scored, protocols, resamples=args.resamples), **more}
    # The frames and labels in the file are those that were scored, whatever the model first ran on.
    origin = replace(scored.origin, build_id=scored.build_id, split=scored.split)
    write_predictions(out / PREDICTIONS_NAME, scored.predictions, origin)
    write_json(out / "metrics.json", report)
    written = [out / PREDICTIONS_NAME, out / "metrics.json"]
    if overlays:
        import cv2

        from tracknet.reporting.overlays import sheet

        picture = cv2.cvtColor(sheet(overlays), cv2.COLOR_RGB2BGR)
        replace_file(out / "overlays.png", cv2.imencode(".png", picture)[1].tobytes())
        written.append(out / "overlays.png")
    print(evaluation_text(report))
    print("written: " + ", ".join(map(str, written)))
    return EXIT_DONE


def _how(args: argparse.Namespace) -> dict[str, Any]:
    return {"batch_size": args.batch_size, "workers": args.workers, "device": args.device, "amp": args.amp}


def main() -> int:
    """Entry point."""
    return cli_main(run)


if __name__ == "__main__":
    sys.exit(main())
