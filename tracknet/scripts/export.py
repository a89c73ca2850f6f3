"""`python -m tracknet.scripts.export MODEL --format onnx`: a trained model as one file, or as a folder to publish."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracknet.scripts._choices import EXPORT_SUFFIXES
from tracknet.utils.errors import EXIT_DONE, UserError, cli_main
from tracknet.utils.naming import program

if TYPE_CHECKING:
    from tracknet.inference.check_frames import CheckFrames
    from tracknet.inference.export import Exported
    from tracknet.models.model import TrackNet

_SUFFIXES = {**EXPORT_SUFFIXES, "safetensors": ""}


def run(argv: Sequence[str]) -> int:
    """Writes, compares, and says how near the result is."""
    args = _parse(argv)
    from tracknet.inference.check_frames import check_frames
    from tracknet.inference.export_check import ENOUGH_JUDGED
    from tracknet.inference.heatmap_model import load_trained

    model = load_trained(args.model)
    out = args.out or _default_out(args)
    frames = check_frames(model, args.check, args.model)
    print(f"exporting to {out}, compared on {frames.origin} before it is kept", file=sys.stderr)
    done = (_export_folder if args.format == "safetensors" else _export_file)(args, model, out, frames)
    kind = f"{args.format}{', float16 weights' if args.half else ''}"
    print(f"written: {done.path} ({done.bytes / 1e6:,.1f} MB, {kind})")
    print(f"compared on {frames.origin}: {done.agreement}")
    if frames.drawn:
        print(
            "note: no real frames were at hand, as the shards of the model's training would be: --check PATH compares "
            "on a video or on shards"
        )
    if done.agreement.judged < ENOUGH_JUDGED:
        # Where none could be compared the agreement has said so.
        why = f"{done.agreement.judged_words}: " if done.agreement.judged else ""
        print(f"note: {why}compare on a video or shards that show a ball more often, --check PATH")
    return EXIT_DONE


def _export_file(args: argparse.Namespace, model: TrackNet, out: Path, frames: CheckFrames) -> Exported:
    from tracknet.inference.export import export_file

    done = export_file(
        model,
        out,
        frames,
        format=args.format,
        half=args.half,
        dynamic_batch=args.dynamic_batch,
        points=args.points,
        overwrite=args.overwrite,
    )
    batch = "batch" if args.dynamic_batch else 1
    size, cells, maps = model.input_size, model.config.heatmap.size, model.num_maps
    gives = f"logits float32 [{batch}, {maps}, {cells.height}, {cells.width}]"
    if args.points:
        gives += f", points_px float32 [{batch}, {maps}, 2], scores float32 [{batch}, {maps}]"
    print(f"takes frames uint8 [{batch}, {model.num_frames}, 3, {size.height}, {size.width}], gives {gives}")
    return done


def _export_folder(args: argparse.Namespace, model: TrackNet, out: Path, frames: CheckFrames) -> Exported:
    from tracknet.inference.export import export_folder
    from tracknet.models.model_card import model_card
    from tracknet.models.publishing import evaluations_of, push

    evaluations, notes = evaluations_of(Path(args.model).expanduser(), model)
    card = model_card(model, name=args.push, evaluations=evaluations, license=args.license)
    done = export_folder(model, out, frames, card=card, half=args.half, overwrite=args.overwrite)
    measured = ", ".join(str(evaluation.get("split")) for evaluation in evaluations)
    print(f"the card holds the figures of: {measured or 'no evaluation'}")
    for note in notes:
        print(f"note: {note}")
    if args.push:
        address = push(
            model,
            args.push,
            private=not args.public,
            license=args.license,
            evaluations=evaluations,
            half=args.half,
        )
        print(f"uploaded: {address}{'' if args.public else ' (private)'}")
    return done


def _default_out(args: argparse.Namespace) -> Path:
    """In a run its own folder `export`; for any other model the current folder."""
    path = Path(args.model).expanduser()
    name = path.resolve().name + ("-half" if args.half else "") + _SUFFIXES[args.format]
    return (path if (path / "config.yaml").is_file() else Path()) / "export" / name


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program("export"),
        description="Turn a model into one file that takes raw uint8 frames and gives heatmaps (ONNX, torch.export), "
        "or into a folder to publish (safetensors). The result is loaded again and compared with the model before it "
        "is kept.",
    )
    parser.add_argument("model", help="a run (its best model), a checkpoint, a model folder, or a hub name")
    parser.add_argument("--format", choices=list(_SUFFIXES), default="onnx")
    parser.add_argument(
        "--out", type=Path, help="default: RUN/export/NAME.onnx, or export/NAME.onnx for what is no run"
    )
    parser.add_argument(
        "--half", action="store_true", help="float16 weights: half the file; arithmetic stays float32"
    )
    parser.add_argument(
        "--dynamic-batch", action="store_true", help="take any number of windows at once instead of one"
    )
    parser.add_argument(
        "--points",
        action="store_true",
        help="decode in the file: xy in input pixels and a score for each heatmap",
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="PATH",
        help="compare on this video or folder of built shards; default: the shards of the model's training, where its "
        "run's config.yaml says or in ./shards, else drawn frames",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument("--license", help="of --format safetensors: for the model card, such as mit")
    parser.add_argument(
        "--push",
        metavar="OWNER/NAME",
        help="of --format safetensors: upload the folder to the Hugging Face hub too",
    )
    parser.add_argument(
        "--public", action="store_true", help="of --push: for everyone to see; default: private"
    )
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error")
    args = parser.parse_args(list(argv))
    if problems := list(_problems(args)):
        raise UserError("the request cannot be met", problems=problems)
    return args


def _problems(args: argparse.Namespace) -> Sequence[str]:
    """What is wrong with the arguments by themselves."""
    folder = args.format == "safetensors"
    problems = [
        f"{option} goes with --format {'onnx or torch-export' if folder else 'safetensors'}, not {args.format}"
        for option, given, of_folder in (
            ("--dynamic-batch", args.dynamic_batch, False),
            ("--points", args.points, False),
            ("--license", args.license, True),
            ("--push", args.push, True),
        )
        if given and of_folder is not folder
    ]
    if args.public and not args.push:
        problems.append("--public needs --push OWNER/NAME")
    if args.out and not folder and args.out.suffix != _SUFFIXES[args.format]:
        problems.append(
            f"--out {args.out}: the name of a file of --format {args.format} ends in {_SUFFIXES[args.format]}"
        )
    if (out := args.out or _default_out(args)).exists() and not args.overwrite:
        # Said here too, before a minute of tracing.
        problems.append(f"{out} is there already: choose another --out, or replace it with --overwrite")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return cli_main(run, argv)


if __name__ == "__main__":
    sys.exit(main())
