"""The table of `ablation.py`: its JSON files as lines of Markdown, with differences from the better reference row."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.ablation_plan import Experiment, Row
from tracknet.training.metrics import chosen_protocols
from tracknet.training.metrics.comparison import compare
from tracknet.training.prediction_sources import read_source

_HEAD = (
    "row",
    "seed",
    "F1 wasb",
    "difference",
    "F1 tracknetv2",
    "F1 design",
    "AP wasb",
    "false alarms on empty frames",
    "in long absences",
    "M weights",
    "GFLOP",
    "frames/s",
    "train min",
)


def table(experiment: Experiment, rows: Mapping[str, Row], results: Path, work: Path) -> str:
    """What has been measured so far, rows in the experiment's order.

    Args:
        experiment: for its words and its reference.
        rows: of the experiment.
        results: folder of the JSON files.
        work: folder of the runs, whose predictions differences are taken from; where a run is gone, so is its
            difference.
    """
    records = {name: _records(results, name) for name in rows}
    reference = max(
        (name for name in experiment.reference if records.get(name)),
        key=lambda name: _mean(records[name], "wasb", "f1"),
        default=None,
    )
    lines = []
    for name, seeds in records.items():
        for record in seeds:
            base = None
            if reference is not None and name != reference:
                base = next((one for one in records[reference] if one["seed"] == record["seed"]), None)
            lines.append(_line(record, _difference(base, record, experiment.split, work)))
        if len(seeds) > 1:
            lines.append(_spread(name, seeds))
    some = next((record for seeds in records.values() for record in seeds), None)
    if some is None:
        return "nothing has been measured yet\n"
    notes = [
        experiment.about,
        f"{some['frames']} frames of {some['clips']} clips ({experiment.split}); {_steps_of_all(records)}. "
        "Shares in per cent with 95 % intervals over clips; differences in F1 under wasb"
        + (f" from {reference}, of the same seed." if reference else "."),
        *([some["caution"] + "."] if some.get("caution") else []),
        *(
            [
                f"Optimistic: {' and '.join(some['optimistic_because'])} chosen on what is scored, in every row."
            ]
            if some["optimistic_because"]
            else []
        ),
        f"{some['environment']['processor']}, {some['device']} in {some['precision']}, "
        f"torch {some['environment']['packages']['torch']}; work and speed are of one window, batch 1.",
    ]
    about = [f"- `{name}`: {row.about}" for name, row in rows.items() if row.about and records[name]]
    head = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    return "\n\n".join(["\n".join(notes), "\n".join([*head, *lines]), "\n".join(about)]).rstrip() + "\n"


def _records(results: Path, name: str) -> list[dict[str, Any]]:
    files = sorted(results.glob(f"{name}-s*.json"))
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return sorted((record for record in records if record["row"] == name), key=lambda record: record["seed"])


def _steps_of_all(records: Mapping[str, list[dict[str, Any]]]) -> str:
    """`400 steps`, or `400 steps, detail_full_long 8000`: most rows' and those of the others."""
    steps = {name: _steps(seeds[0]) for name, seeds in records.items() if seeds}
    usual = statistics.mode(steps.values())
    others = [f"{name} {count}" for name, count in steps.items() if count != usual]
    return ", ".join([f"{usual} steps", *others])


def _steps(record: dict[str, Any]) -> str:
    options = reversed(record["asked"]["options"])
    return next(item for item in options if item.startswith("training.max_steps=")).partition("=")[2]


def _line(record: dict[str, Any], difference: str) -> str:
    protocols, alarms = record["protocols"], record["false_alarms"]
    wasb = protocols["wasb"]
    cells = [
        record["row"],
        str(record["seed"]),
        _share(wasb["f1"], wasb["intervals"]["f1"]),
        difference,
        *(_share(protocols[n]["f1"], protocols[n]["intervals"]["f1"]) for n in ("tracknetv2", "design")),
        _share(wasb["ap"], wasb["intervals"]["ap"]),
        f"{_share(alarms['rate'], alarms['interval'])} of {alarms['empty_frames']}",
        f"{alarms['lasting']['false_alarms']} of {alarms['lasting']['empty_frames']}"
        if "lasting" in alarms
        else "",
        f"{record['parameters'] / 1e6:.2f}",
        f"{record['gflops']:.1f}",
        f"{record['frames_per_s']:.1f}",
        f"{record['train_s'] / 60:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(name: str, seeds: list[dict[str, Any]]) -> str:
    def both(protocol: str, figure: str) -> str:
        values = [_value(record, protocol, figure) for record in seeds]
        return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"

    cells = [f"{name}, mean ± deviation of {len(seeds)} seeds", "", both("wasb", "f1"), ""]
    cells += [both("tracknetv2", "f1"), both("design", "f1"), both("wasb", "ap")]
    return "| " + " | ".join([*cells, *[""] * (len(_HEAD) - len(cells))]) + " |"


def _difference(base: dict[str, Any] | None, record: dict[str, Any], split: str, work: Path) -> str:
    """`+3.1 [+0.4, +6.0]`, of the same clips; empty where there is nothing to compare."""
    if base is None:
        return ""
    folders = [work / one["run"] / "evaluation" / split for one in (base, record)]
    if not all(folder.is_dir() for folder in folders):
        return ""
    a, b = (read_source(folder, shards=None, split=None) for folder in folders)
    compared = compare(
        a.predictions,
        b.predictions,
        chosen_protocols(["wasb"]),
        names=(base["row"], record["row"]),
        thresholds=(a.origin.threshold, b.origin.threshold),
    )["protocols"]["wasb"]["f1"]
    text = f"{100 * compared['difference']:+.1f}"
    if compared["interval"] is None:
        return text
    low, high = compared["interval"]
    return f"{text} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _share(value: float | None, interval: list[float] | None) -> str:
    if value is None:
        return "-"
    text = f"{100 * value:.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _value(record: dict[str, Any], protocol: str, figure: str) -> float:
    value = record["protocols"][protocol][figure]
    return 0.0 if value is None else float(value)


def _mean(records: list[dict[str, Any]], protocol: str, figure: str) -> float:
    return statistics.mean(_value(record, protocol, figure) for record in records)
