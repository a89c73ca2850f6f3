"""`python -m tracknet.scripts.evaluate RUN_OR_MODEL --shards shards --split val [--out DIR]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracknet.utils.errors import EXIT_DONE, UserError, cli_main

if TYPE_CHECKING:
    from tracknet.datasets.index import ShardSet
    from tracknet.models.model import TrackNet


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="tracknet evaluate",
        description="Score a model on a split of a build: L2, PCK, precision, recall and F1 in frame pixels, "
        "over frames that have a ball, with each decoder.",
    )
    parser.add_argument("model", type=Path, help="a run (its best model), a checkpoint, or a model folder")
    parser.add_argument("--shards", type=Path, default=Path("shards"), help="folder of a build")
    parser.add_argument("--split", default="val", help="train, val or test")
    parser.add_argument(
        "--out", type=Path, help="default: RUN/evaluation/SPLIT, or evaluation/SPLIT for a bare model"
    )
    parser.add_argument(
        "--distance", type=float, default=5.0, help="in frame pixels, for precision, recall and F1"
    )
    parser.add_argument("--pck", type=float, nargs="+", default=[2, 5, 10, 20], help="radii in frame pixels")
    parser.add_argument("--pictures", type=int, default=6, help="frames in overlays.png; 0 for none")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="auto", choices=["auto", "bf16", "fp16", "off"])
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    problems = [
        f"--{name.replace('_', '-')} must be at least {low}, got {value}"
        for name, low in (("batch_size", 1), ("workers", 0), ("pictures", 0))
        if (value := getattr(args, name)) < low
    ]
    problems += [f"a distance must be above 0, got {r:g}" for r in (args.distance, *args.pck) if not r > 0]
    if problems:
        raise UserError("the request has impossible values", problems=problems)
    return args


def run(argv: Sequence[str]) -> int:
    """Evaluates, writes metrics.json and overlays.png, and prints a table."""
    args = parse(argv)
    from tracknet.datasets.index import open_split
    from tracknet.models.model import TrackNet
    from tracknet.training.checkpoint import resolve_model_folder
    from tracknet.utils.files import replace_file, write_json

    folder = resolve_model_folder(args.model)
    shards = open_split(args.shards, args.split)
    model = TrackNet.from_pretrained(folder)
    out = args.out or _default_out(args.model, args.split)
    # Before minutes of evaluation, not after.
    out.mkdir(parents=True, exist_ok=True)
    report, pictures = _evaluate(model, shards, args)
    report = {"model": str(folder), **report}
    write_json(out / "metrics.json", report)
    written = [str(out / "metrics.json")]
    if pictures:
        import cv2

        from tracknet.reporting.overlays import sheet

        picture = cv2.cvtColor(sheet(pictures), cv2.COLOR_RGB2BGR)
        replace_file(out / "overlays.png", cv2.imencode(".png", picture)[1].tobytes())
        written.append(str(out / "overlays.png"))
    print(_table(report))
    print("written: " + ", ".join(written))
    return EXIT_DONE


def _evaluate(
    model: TrackNet, shards: ShardSet, args: argparse.Namespace
) -> tuple[dict[str, Any], list[Any]]:
    from tracknet.datasets.loader import StreamLoader
    from tracknet.datasets.stream import check_stored_size, evaluation_stream
    from tracknet.training.evaluation import evaluation_spec, predict_split
    from tracknet.training.metrics import summarise
    from tracknet.training.pictures import OverlayCollector
    from tracknet.training.precision import Precision, resolve_device
    from tracknet.utils.environment import describe_environment
    from tracknet.utils.heatmap import DECODERS
    from tracknet.utils.progress import Progress
    from tracknet.utils.settings import LoaderConfig, MetricsConfig

    check_stored_size(shards, model.input_size)
    precision = Precision.resolve(args.amp, resolve_device(args.device))
    model.to(precision.device)
    stream = evaluation_stream(shards, evaluation_spec(model), batch_size=args.batch_size)
    loader = StreamLoader(
        stream, LoaderConfig(workers=args.workers), pin_memory=precision.device.type == "cuda"
    )
    pictures = OverlayCollector(model, loader, args.pictures)
    with Progress("evaluating", len(shards), "frames") as progress:

        def on_batch(step: int, batch: Any, logits: Any) -> None:
            pictures.take(step, batch, logits)
            progress.advance(int(batch.valid.sum()))

        by_decoder = predict_split(model, loader, precision, decoders=list(DECODERS), on_batch=on_batch)
    metrics = MetricsConfig(pck_px=tuple(args.pck), distance_px=args.distance)
    report = {
        "shards": str(shards.folder),
        "build_id": shards.manifest.build_id,
        "split": shards.split,
        "games": shards.manifest.games.get(shards.split, []),
        "protocol": "design: frames of visibility 0 excluded, except from f1_all_frames and false_alarm_rate; "
        "distances in frame pixels",
        "frame_sizes": sorted({f"{w}x{h}" for w, h in shards.table.source_size.tolist()}),
        "threshold_chosen_on": model.provenance.get("threshold_chosen_on"),
        "decode": model.config.heatmap.decode,
        "decoders": {
            name: summarise(predictions, metrics, threshold=model.score_threshold)
            for name, predictions in by_decoder.items()
        },
        "environment": {
            **describe_environment(),
            "device": str(precision.device),
            "precision": precision.name,
        },
    }
    return report, pictures.images()


def _default_out(model: Path, split: str) -> Path:
    is_run = (model / "config.yaml").is_file()
    return (model if is_run else Path()) / "evaluation" / split


def _table(report: dict[str, Any]) -> str:
    """The figures side by side, a column per decoder."""
    names = list(report["decoders"])
    chosen = report["decode"]
    lines = [
        f"{report['model']} on {report['split']} ({', '.join(report['games'])}) of {report['shards']}, "
        f"frames of {', '.join(report['frame_sizes'])}",
        f"{'':24}" + "".join(f"{name + ('*' if name == chosen else ''):>14}" for name in names),
    ]
    for figure in report["decoders"][chosen]:
        cells = "".join(f"{_number(report['decoders'][name][figure]):>14}" for name in names)
        lines.append(f"{figure:24}{cells}")
    lines.append("* the model's own decoder")
    *builds, split = report["threshold_chosen_on"] or [None]
    if report["build_id"] in builds and report["split"] == split:
        lines.append(
            "note: the threshold was chosen on this very split: precision, recall, f1 and what follows are optimistic"
        )
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4g}"


def main() -> int:
    """Entry point."""
    return cli_main(run)


if __name__ == "__main__":
    sys.exit(main())
