"""What test-time options are worth: each way of merging windows, the flip and each decoder, on one model and split.

    python -m benchmarks.ensemble MODEL --shards shards [--split val] [--amp bf16] --data "what it is" --out FILE.md

Each row's threshold is the one of its own highest F1 on the very split that is scored: all rows are optimistic by
the same rule, and their differences less so. Differences are from the first row, with 95 % intervals over clips.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report_file import write_report
from tracknet.datasets.index import open_split
from tracknet.models.model_folder import resolve_model_folder
from tracknet.models.window_overlap import OVERLAPS
from tracknet.training.metrics import Predictions, best_threshold, chosen_protocols, score
from tracknet.training.metrics.comparison import compare
from tracknet.training.model_evaluation import ModelRun, run_model
from tracknet.utils.environment import describe_environment

PROTOCOLS = chosen_protocols(["design", "wasb"])


def runs(args: argparse.Namespace) -> Iterator[tuple[str, ModelRun, float]]:
    """The model under every option, with its seconds; the plain one first."""
    folder, shards = resolve_model_folder(args.model), open_split(args.shards, args.split)
    plain_and_default = ("none", "mean")
    options = [(overlap, False) for overlap in ("none", *(name for name in OVERLAPS if name != "none"))]
    options += [(overlap, True) for overlap in plain_and_default]
    num_maps = None
    for overlap, flip in options:
        if num_maps == 1 and overlap != "none":
            continue
        start = time.perf_counter()
        made = run_model(
            folder, shards, batch_size=8, workers=0, device="cpu", amp=args.amp, overlap=overlap, flip=flip
        )
        num_maps = made.model.num_maps
        yield f"overlap {overlap}{', flip' if flip else ''}", made, time.perf_counter() - start


def row(name: str, predictions: Predictions, plain: Predictions, took: str) -> str:
    """A line of the table: figures, and the difference of F1 from the plain predictions."""
    threshold, base = (best_threshold(p, PROTOCOLS[0]) for p in (predictions, plain))
    figures = score(predictions, PROTOCOLS, threshold=threshold)
    against = compare(plain, predictions, PROTOCOLS, names=("plain", name), thresholds=(base, threshold))
    f1 = against["protocols"]["design"]["f1"]
    low, high = (100 * edge for edge in f1["interval"])
    near = dict(zip(figures["pck_curve"]["radii_px"], figures["pck_curve"]["share"], strict=True))
    cells = [
        name,
        f"{100 * figures['protocols']['design']['f1']:.1f}",
        f"{100 * f1['difference']:+.1f} [{low:+.1f}, {high:+.1f}]",
        f"{100 * figures['protocols']['wasb']['f1']:.1f}",
        f"{100 * near[2]:.1f}",
        f"{100 * near[5]:.1f}",
        f"{figures['error']['median']:.2f}",
        f"{threshold:.3f}",
        took,
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--shards", type=Path, default=Path("shards"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--amp", choices=("off", "bf16"), default="off")
    parser.add_argument(
        "--data", required=True, help="what the model was trained on and what it is scored on"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    plain, lines = None, []
    for name, made, took_s in runs(args):
        plain = plain or made
        lines.append(row(name, made.predictions, plain.predictions, f"{took_s:.0f}"))
        if made is plain:
            others = {d: p for d, p in made.by_decoder.items() if d != made.origin.decode}
            lines += [row(f"decode {d}", p, made.predictions, "") for d, p in others.items()]
        # After each, so that the run may be stopped.
        write_report(args.out, [*head(args, plain), *lines])
    print(args.out.read_text(encoding="utf-8"))


def head(args: argparse.Namespace, plain: ModelRun) -> list[str]:
    """What the table is of, and its first lines."""
    frames, machine = plain.predictions.frames, describe_environment()
    columns = (
        "option",
        "F1 design",
        "difference",
        "F1 wasb",
        "PCK 2 px",
        "PCK 5 px",
        "median px",
        "threshold",
        "s",
    )
    return [
        f"{args.data}. {len(frames)} frames of {len(frames.clips)} clips; the model decodes with "
        f"{plain.origin.decode}, T = {plain.model.num_frames}, {plain.model.num_maps} map(s). Frame pixels; shares "
        "in per cent. Each row at the threshold of its own highest F1 on these frames; differences from the first "
        "row with 95 % intervals over clips.",
        "",
        f"torch {machine['packages']['torch']}, CPU, one thread, amp {args.amp}; times are of a busy machine "
        "and no measure.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]


if __name__ == "__main__":
    main()
