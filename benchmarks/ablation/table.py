"""The table of `ablation.py`: its JSON files as lines of Markdown, with differences from the better reference row."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.ablation.differences import Difference, difference
from benchmarks.ablation.experiment import Experiment, Row
from benchmarks.ablation.records import Measured
from benchmarks.ablation.results import Results, frames_of_clips
from benchmarks.ablation.shares import decoder_table, speed_table
from tracknet.utils.naming import counted

_HEAD = (
    "row",
    "seed",
    "F1 wasb",
    "difference",
    "F1 tracknetv2",
    "F1 design",
    "accuracy wasb",
    "AP wasb",
    "false alarms on empty frames",
    "apart from brief absences",
    "M weights",
    "GFLOP",
    "frames/s",
    "train min",
)


_NONE_TO_JUDGE = "no such frames"
_REHEARSAL = (
    "**A rehearsal, no result.** Every row was made small (pictures of about 96x48 pixels, backbones of random "
    "weights) and run on three rendered games of 12 frames each: it shows that the rows run, and its figures say "
    "nothing of them."
)


def table(
    experiment: Experiment, rows: Mapping[str, Row], results: Results, *, rehearsal: bool = False
) -> str:
    """What has been measured so far, rows in the experiment's order.

    Seeds of a row are averaged where they differ in nothing else; what differs stands behind the row's name.

    Args:
        experiment: for its words and its reference.
        rows: of the experiment.
        results: what was measured.
        rehearsal: it is one, and not what the experiment's words are of.
    """
    if not results.all:
        return "\n".join(["nothing has been measured yet", *_unread(results)]) + "\n"
    reference = results.best(experiment.reference, lambda one: _value(one, "wasb", "f1"))
    lines = []
    for name in results.rows:
        for group in results.groups(name):
            lines += [_line(one, results.title(one), _difference(results, reference, [one])) for one in group]
            if len(group) > 1:
                lines.append(_spread(results.title(group[0]), group, _difference(results, reference, group)))
    about = [f"- `{name}`: {row.about}" for name, row in rows.items() if row.about and name in results.rows]
    head = ["| " + " | ".join(_HEAD) + " |", "|" + "---|" * len(_HEAD)]
    title = _REHEARSAL if rehearsal else experiment.about
    parts = [
        _notes(title, experiment, results, reference),
        [*head, *lines],
        about,
        decoder_table(results),
        speed_table(results),
        _unread(results),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _notes(title: str, experiment: Experiment, results: Results, reference: str | None) -> list[str]:
    """What holds for the whole table, with the rows that it does not hold for."""
    frames, clips = results.scored
    has_means = any(len(group) > 1 for row in results.rows for group in results.groups(row))
    beside_means = "; beside a mean, of its mean over the same seeds" if has_means else ""
    notes = [
        title,
        f"{frames_of_clips(frames, clips)} ({experiment.split}); {told(results, _training)}. "
        "Shares in per cent with 95 % intervals over clips; differences in F1 under wasb"
        + (f" from {reference}, of the same seed{beside_means}." if reference else "."),
    ]
    if results.common:
        notes.append(f"Of every row: {', '.join(sorted(results.common))}.")
    if caution := told(results, lambda one: one.record.get("caution")):
        notes.append(f"{caution}.")
    optimistic = told(results, lambda one: " and ".join(one.record["optimistic_because"]))
    if optimistic:
        notes.append(
            f"Chosen on the frames that are scored, so that the figures are optimistic: {optimistic}."
        )
    notes.append(f"{told(results, _machine)}; work and speed are of one window, batch 1.")
    return notes


def told(results: Results, value: Callable[[Measured], str | None]) -> str:
    """What is true of most rows, and behind it the rows of which something else is."""
    values = [(one, value(one) or "") for one in results.all]
    usual = statistics.mode(text for _, text in values)
    parts = [usual] if usual else []
    others: dict[str, list[Measured]] = {}
    for one, text in values:
        if text != usual:
            others.setdefault(text, []).append(one)
    for text, some in others.items():
        parts.append(f"{', '.join(_names(results, some))}: {text or 'none'}")
    return "; ".join(parts)


def _names(results: Results, some: Sequence[Measured]) -> list[str]:
    """Rows, or the seeds of those that are not all among them."""
    names: list[str] = []
    for row in dict.fromkeys(one.row for one in some):
        seeds = [str(one.seed) for one in some if one.row == row]
        whole = len(seeds) == len(results.rows[row])
        names.append(row if whole else f"{row} seed {' and '.join(seeds)}")
    return names


def _training(one: Measured) -> str:
    windows = "an unknown number of windows"
    if one.windows_a_step is not None:
        windows = counted(one.windows_a_step, "window")
    return f"{_steps(one)} of {windows}"


def _steps(one: Measured) -> str:
    return f"{one.steps} step{'' if one.steps == 1 else 's'}"


def _machine(one: Measured) -> str:
    environment = one.record["environment"]
    torch = environment["packages"]["torch"]
    return f"{environment['processor']}, {one.record['device']} in {one.record['precision']}, torch {torch}"


def _unread(results: Results) -> list[str]:
    return ["Not in the table:", *(f"- {fault}" for fault in results.faults)] if results.faults else []


def _of_other_absences(alarms: Mapping[str, Any]) -> str:
    """Those that `brief` leaves; empty for the first records. `lasting` is how it was once named."""
    other = alarms.get("other") or alarms.get("lasting") or {}
    is_told = {"false_alarms", "empty_frames"} <= other.keys()
    if is_told and not other["empty_frames"]:
        return _NONE_TO_JUDGE
    return f"{other['false_alarms']} of {other['empty_frames']}" if is_told else ""


def _line(one: Measured, title: str, difference: str) -> str:
    record = one.record
    protocols, alarms = record["protocols"], record["false_alarms"]
    wasb = protocols["wasb"]
    cells = [
        title,
        str(one.seed),
        _share(wasb["f1"], wasb["intervals"]["f1"]),
        difference,
        *(_share(protocols[n]["f1"], protocols[n]["intervals"]["f1"]) for n in ("tracknetv2", "design")),
        _share(wasb.get("accuracy"), None),
        _share(wasb["ap"], wasb["intervals"]["ap"]),
        f"{_share(alarms['rate'], alarms['interval'])} of {alarms['empty_frames']}"
        if alarms["empty_frames"]
        else _NONE_TO_JUDGE,
        _of_other_absences(alarms),
        f"{record['parameters'] / 1e6:.2f}",
        f"{record['gflops']:.1f}",
        f"{record['frames_per_s']:.1f}",
        f"{record['train_s'] / 60:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(name: str, seeds: Sequence[Measured], difference_of_means: str) -> str:
    def both(protocol: str, figure: str) -> str:
        values = [value for one in seeds if (value := _value(one, protocol, figure)) is not None]
        if len(values) < len(seeds):
            # A mean of some of the seeds would be taken for that of all.
            return "-"
        return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"

    cells = [f"{name}, mean ± deviation of {len(seeds)} seeds", "", both("wasb", "f1"), difference_of_means]
    cells += [both("tracknetv2", "f1"), both("design", "f1")]
    cells += [both("wasb", "accuracy"), both("wasb", "ap")]
    return "| " + " | ".join([*cells, *[""] * (len(_HEAD) - len(cells))]) + " |"


def _difference(results: Results, reference: str | None, seeds: Sequence[Measured]) -> str:
    """`+3.1 [+0.4, +6.0]`, of the same seeds and clips, of several seeds that of the means; empty where not known, or
    where the reference's seeds are of several numbers of steps.

    Where the two trained for other numbers of steps both are said: `+7.4 [+4.1, +13.1], 3000 steps against 1000`.
    """
    bases = [] if reference is None else [results.partner(reference, one) for one in seeds]
    partners = [base for base in bases if base is not None]
    # The partners of some seeds may be as long as these, and those of others as the experiment asks: no one row.
    are_one = len(partners) == len(seeds) and len({base.steps for base in partners}) == 1
    found = difference(partners, seeds) if are_one else None
    if found is None:
        return ""
    steps, of_base = seeds[0].steps, partners[0].steps
    return _signed(found) + ("" if steps == of_base else f", {_steps(seeds[0])} against {of_base}")


def _signed(found: Difference) -> str:
    text = f"{100 * found.estimate:+.1f}"
    if found.interval is None:
        return text
    low, high = found.interval
    return f"{text} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _share(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    text = f"{100 * value:.1f}"
    return text if interval is None else f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _value(one: Measured, protocol: str, figure: str) -> float | None:
    value: float | None = one.record["protocols"][protocol].get(figure)
    return value
