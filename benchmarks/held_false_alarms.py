"""Models at thresholds that hold false alarms to a share: F1, alarms, and the difference from the first of them.

    python -m benchmarks.held_false_alarms WASB=runs/A/evaluation/test/predictions.parquet OURS=... \
        [--chosen-on WASB=runs/A/evaluation/val/predictions.parquet OURS=...] \
        [--shares 1 0.1 0.05] [--protocol wasb] --data "what it is" --out FILE.md

A detector that reports a ball everywhere finds many: F1 at each model's own best threshold compares models that raise
false alarms on very different shares of the frames without a ball. Here each has the best threshold among those that
raise them on at most such a share, as `evaluate --calibrate val --most-false-alarms SHARE` chooses it. With
`--chosen-on` it is chosen on each model's predictions of other frames, and what is then raised on the scored ones may
be more or less than the share. Without it, it is chosen on the very frames that are scored: all are optimistic by the
same rule, and their differences less so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report_file import write_report
from tracknet.training.metrics import Predictions, Protocol, best_threshold, chosen_protocols, score
from tracknet.training.metrics.comparison import compare
from tracknet.training.metrics.prediction_file import read_predictions
from tracknet.utils.errors import EXIT_DONE, UserError, cli_main

HEAD = (
    "| at most | model | F1 % | difference | precision | recall | false alarms | not in brief absences | threshold |",
    "|---|---|---|---|---|---|---|---|---|",
)


def rows(
    models: Mapping[str, Predictions],
    protocol: Protocol,
    share: float,
    chosen_on: Mapping[str, Predictions] | None = None,
) -> list[str]:
    """Lines of the table: each model held to one share, differences from the first.

    Args:
        models: predictions of the frames that are scored, the same of all.
        protocol: what counts.
        share: of the frames without a ball, on which one is reported at most.
        chosen_on: predictions of each model that its threshold is chosen on; those that are scored where `None`.
    """
    thresholds = {name: _held(name, found, protocol, share) for name, found in (chosen_on or models).items()}
    first, *_ = models
    lines = []
    for name, found in models.items():
        scored = score(found, [protocol], threshold=thresholds[name])
        figures, alarms = scored["protocols"][protocol.name], scored["false_alarms"]
        difference = ""
        if name != first:
            pair = (thresholds[first], thresholds[name])
            against = compare(models[first], found, [protocol], names=(first, name), thresholds=pair)
            f1 = against["protocols"][protocol.name]["f1"]
            difference = f"{100 * f1['difference']:+.1f} {_interval(f1['interval'], '+')}"
        cells = [
            "any share" if share >= 1 else f"{100 * share:g} %",
            name,
            f"{100 * figures['f1']:.1f} {_interval(figures['intervals']['f1'])}",
            difference,
            f"{100 * figures['precision']:.1f}",
            f"{100 * figures['recall']:.1f}",
            f"{alarms['false_alarms']} of {alarms['empty_frames']}",
            f"{alarms['other']['false_alarms']} of {alarms['other']['empty_frames']}",
            f"{thresholds[name]:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _held(name: str, found: Predictions, protocol: Protocol, share: float) -> float:
    try:
        # At 1 any number of them is allowed, where there are none too.
        return best_threshold(found, protocol, most_false_alarms=None if share >= 1 else share)
    except UserError as error:
        raise UserError(f"{name}: {error.what}", remedy=error.remedy) from error


def shared_games(models: Mapping[str, Predictions], chosen_on: Mapping[str, Predictions]) -> list[str]:
    """Games that are scored and that a threshold is chosen on, of any model."""
    scored, chosen = (
        {game for found in of.values() for game, _ in found.frames.clips} for of in (models, chosen_on)
    )
    return sorted(scored & chosen)


def _interval(ends: Sequence[float] | None, sign: str = "-") -> str:
    return "" if ends is None else f"[{', '.join(f'{100 * end:{sign}.1f}' for end in ends)}]"


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not path or "|" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=predictions.parquet, of a NAME without |")
    return name, Path(path)


def _read(named: Sequence[tuple[str, Path]]) -> dict[str, Predictions]:
    return {name: read_predictions(path)[0] for name, path in named}


def run(argv: Sequence[str]) -> int:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=_named, metavar="NAME=FILE")
    parser.add_argument(
        "--chosen-on",
        nargs="+",
        type=_named,
        metavar="NAME=FILE",
        help="of other frames, for each of the models",
    )
    parser.add_argument("--shares", nargs="+", type=float, default=[1.0, 0.1, 0.05])
    parser.add_argument("--protocol", default="wasb")
    parser.add_argument(
        "--data", required=True, help="what the models were trained on and what they are scored on"
    )
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    for given in (args.models, args.chosen_on or []):
        names = [name for name, _ in given]
        if len(names) > len(set(names)):
            parser.error(f"a name stands for one file, got {', '.join(names)}")
    if not args.out.parent.is_dir():
        parser.error(f"--out: there is no folder {args.out.parent}")
    if wrong := [share for share in args.shares if not 0 <= share <= 1]:
        parser.error(f"--shares are from 0 to 1, got {', '.join(f'{share:g}' for share in wrong)}")
    (protocol,), models = chosen_protocols([args.protocol]), _read(args.models)
    chosen_on = _read(args.chosen_on) if args.chosen_on else None
    if chosen_on is not None and chosen_on.keys() != models.keys():
        differing = ", ".join(sorted(chosen_on.keys() ^ models.keys()))
        parser.error(f"--chosen-on names the same models: {differing} is in one of the two lists alone")
    if both := shared_games(models, chosen_on or {}):
        parser.error(f"--chosen-on is of games that are not scored, and {', '.join(both)} are in both")
    files = " ".join(f"{name}=FILE" for name in models)
    where = (
        "the very frames that are scored"
        if chosen_on is None
        else "frames of other games than those that are scored"
    )
    lines = [
        "# Thresholds that hold false alarms to a share",
        "",
        f"`python -m benchmarks.held_false_alarms {files}{f' --chosen-on {files}' if chosen_on else ''}`. {args.data}",
        f"Each threshold is the best for F1 on {where}, among those that report a ball there on at",
        f"most such a share of the frames without one. Protocol `{protocol.name}`, per cent, with 95 % intervals over",
        f"clips; differences are paired, from {next(iter(models))}. Brief absences are of one or two frames.",
        "",
        *HEAD,
        *(line for share in args.shares for line in rows(models, protocol, share, chosen_on)),
    ]
    write_report(args.out, lines)
    print(f"written: {args.out}")
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(cli_main(run))
