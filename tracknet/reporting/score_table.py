"""The figures of an evaluation or a comparison as text, for a terminal 110 columns wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tracknet.utils.outcome import OUTCOMES

_SHARES = ("precision", "recall", "accuracy", "ap")


def protocol_table(report: dict[str, Any]) -> str:
    """A line per protocol: F1 with its interval, the other shares in per cent, RMSE and the outcomes.

    Args:
        report: as metrics.json holds it.
    """
    lines = [
        _row(
            "", "F1 %", "[95 %]", *("P %", "R %", "acc %", "AP %"), "RMSE px", *(n.upper() for n in OUTCOMES)
        )
    ]
    # Every figure here depends on the threshold, but for a checkpoint's the note says so.
    mark = "*" if report["optimistic"] else ""
    for name, figures in report["protocols"].items():
        span = (figures["intervals"] or {}).get("f1")
        lines.append(
            _row(
                name + mark,
                _percent(figures["f1"]),
                "-" if span is None else f"[{_percent(span[0])}, {_percent(span[1])}]",
                *(_percent(figures[share]) for share in _SHARES),
                _number(figures["rmse_px"], 1),
                *(f"{figures[outcome]:,}" for outcome in OUTCOMES),
            )
        )
    lines += [
        f"  {name}: {figures['distance']}, {figures['counts_as_ball']}; AP with monotone precision "
        f"{_percent(figures.get('ap_monotone'))}{mark}"
        for name, figures in report["protocols"].items()
    ]
    return "\n".join(lines)


def evaluation_text(report: dict[str, Any]) -> str:
    """Everything that the evaluate command prints of a report."""
    error, alarms, shares = report["error"], report["false_alarms"], report["pck_curve"]["share"]
    measured = report["balls"] - error["without_guess"]
    where = f" of {report['shards']}" if report["shards"] else ""
    lines = [
        f"{report['model']} on {report['split']} ({', '.join(report['games'])}){where}",
        f"{report['frames']:,} frames of {', '.join(report['frame_sizes'])}, {report['balls']:,} with a ball, "
        f"{report['clips']} clips; detections score at least {report['threshold']:.4g}",
        "",
        protocol_table(report),
        "",
        f"error in frame px over {measured:,} of {report['balls']:,} balls: mean {_number(error['mean'], 2)}  "
        f"median {_number(error['median'], 2)}  90 % within {_number(error['p90'], 1)}  "
        f"99 % within {_number(error['p99'], 1)}",
        "PCK: " + "  ".join(f"{_percent(shares[r - 1])} % within {r} px" for r in (2, 5, 10, 20)),
        f"false alarms on frames without a ball: {alarms['false_alarms']:,} of {alarms['empty_frames']:,}"
        + other_absences(alarms),
    ]
    if report.get("decoders"):
        lines += ["", _decoder_table(report["decoders"], report["decode"])]
    notes = _notes({**report, "caution": report["bootstrap"]["caution"]}, report["optimistic"])
    return "\n".join([*lines, *([""] if notes else []), *notes])


def other_absences(alarms: Mapping[str, Any]) -> str:
    """`, 3 of 64 apart from absences of at most 2 frames ...`; empty for a metrics.json that does not know.

    Args:
        alarms: `false_alarms` of metrics.json.
    """
    other = alarms.get("other") or alarms.get("lasting")  # as earlier versions named it
    if not other:
        return ""
    return (
        f", {other['false_alarms']:,} of {other['empty_frames']:,} apart from absences of at most "
        f"{alarms['brief_frames']} frames between two frames with a ball"
    )


def comparison_text(comparison: dict[str, Any]) -> str:
    """The verdict, every compared figure's difference, and what flatters either side.

    Args:
        comparison: as `compare` of metrics.json holds it.
    """
    mark = {side: "*" if comparison["optimistic"][side] else "" for side in "ab"}
    lines = [
        f"A{mark['a']}: {comparison['a']} (threshold {comparison['thresholds']['a']:.4g})",
        f"B{mark['b']}: {comparison['b']} (threshold {comparison['thresholds']['b']:.4g})",
        f"{comparison['frames']:,} frames of {comparison['clips']} clips",
        "",
    ]
    for protocol, figures in comparison["protocols"].items():
        for name, value in figures.items():
            scale, unit = (1.0, "px") if name.endswith("_px") else (100.0, "points")
            span = value["interval"]
            shown = "-" if span is None else f"[{_number(scale * span[0], 1)}, {_number(scale * span[1], 1)}]"
            a, b = (_number(scale * value[side], 1) + mark[side] for side in "ab")
            difference = _signed(scale * value["difference"])
            lines.append(
                f"{protocol:14}{name.removesuffix('_px'):11}{a:>8} {b:>8}   B - A {difference:>7} {shown} {unit}"
            )
    lines += ["", comparison["verdict"]]
    return "\n".join([*lines, *_notes(comparison, any(mark.values()))])


def _notes(told: dict[str, Any], is_marked: bool) -> list[str]:
    """The notes and the caution, each on a line; after a star those that the stars at the figures stand for."""
    notes = [*told["notes"], *([told["caution"]] if told["caution"] else [])]
    return [f"{'*' if is_marked and 'optimistic' in note else 'note'}: {note}" for note in notes]


def _decoder_table(decoders: dict[str, dict[str, float]], chosen: str) -> str:
    """Position figures side by side, a column per decoder: these do not depend on the threshold."""
    names = list(decoders)
    figures = [name for name in decoders[chosen] if name.startswith(("l2_", "pck@"))]
    lines = [f"{'decoder':16}" + "".join(f"{name + ('*' if name == chosen else ''):>14}" for name in names)]
    lines += [
        f"{figure:16}" + "".join(f"{_number(decoders[name][figure], 4):>14}" for name in names)
        for figure in figures
    ]
    return "\n".join([*lines, "* the model's own"])


def _row(*cells: str) -> str:
    widths: Sequence[int] = (14, 7, 15, 7, 7, 7, 7, 9, *[7] * 5)
    first, *rest = zip(cells, widths, strict=True)
    return f"{first[0]:<{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in rest)


def _percent(share: float | None) -> str:
    return _number(None if share is None else 100 * share, 1)


def _signed(value: float) -> str:
    return f"{value:+.1f}" if math.isfinite(value) else "-"


def _number(value: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else "-"
