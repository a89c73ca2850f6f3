"""The report's parts that need no script: figures, tables and charts as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tracknet.reporting import plots
from tracknet.reporting.markup import DASH, count, facts, interval, number, optimism_mark, plain, real, tag
from tracknet.reporting.score_table import other_absences

Report = Mapping[str, Any]

# What moves with the score threshold (the recall that ends WASB's AP does, too).
_SHARES = (
    ("f1", "F1"),
    ("precision", "Precision"),
    ("recall", "Recall"),
    ("accuracy", "Accuracy"),
    ("ap", "AP"),
)
_COUNTS = (
    ("tp", "TP", "found: detected within the distance"),
    ("fp1", "FP1", "near miss: detected, but farther off"),
    ("fp2", "FP2", "false alarm: detected where there is no ball"),
    ("fn", "FN", "missed: nothing detected"),
    ("tn", "TN", "rightly nothing detected"),
)


def protocol_table(report: Report) -> str:
    """A row per protocol: shares with intervals, counts, error."""
    protocols: Mapping[str, Mapping[str, Any]] = report.get("protocols") or {}
    if not protocols:
        return '<p class="empty">No figures: metrics.json names no protocol.</p>'
    flag = optimism_mark(report)
    head = "".join(
        tag("th", title, scope="col")
        for title in (
            "Protocol",
            *(title for _, title in _SHARES),
            "RMSE px",
            *(f'<abbr title="{words}">{title}</abbr>' for _, title, words in _COUNTS),
        )
    )
    rows = []
    for name, figures in protocols.items():
        ranges = figures.get("intervals") or {}
        distance, space = str(figures.get("distance") or ""), str(figures.get("space") or "")
        balls = figures.get("counts_as_ball")
        rule = " · ".join(str(word) for word in (distance, "" if space in distance else space, balls) if word)
        cells = [
            tag(
                "th",
                f'<b title="{escape(str(figures.get("source") or ""))}">{escape(str(figures.get("title") or name))}</b>'
                f"<small>{escape(rule)}</small>",
                scope="row",
            )
        ]
        for key, title in _SHARES:
            value = number(real(figures.get(key)))
            shown = value if value == DASH else f"{value}{flag}"
            # Detections that all have one score give no curve to take the area of.
            is_point = key == "ap" and figures.get("ap_of_single_point")
            below = "one point" if is_point else interval(ranges.get(key))
            monotone = number(real(figures.get("ap_monotone"))) if key == "ap" else DASH
            more = "" if monotone == DASH else f"<small>monotone {monotone}{flag}</small>"
            cells.append(tag("td", f"<b>{shown}</b><small>{below}</small>{more}", data_label=title))
        error = number(real(figures.get("rmse_px")), digits=2)
        cells.append(tag("td", error if error == DASH else f"{error}{flag}", data_label="RMSE px"))
        for key, title, _ in _COUNTS:
            value = count(figures.get(key))
            cells.append(tag("td", value if value == DASH else f"{value}{flag}", data_label=title))
        rows.append(tag("tr", "".join(cells)))
    sources = "".join(
        f"<li><b>{escape(str(figures.get('title') or name))}</b>: {plain(figures.get('source'))}</li>"
        for name, figures in protocols.items()
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Figures by protocol"><table class="protocols">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="hint">AP sums precision over the distinct recalls of the detections; monotone: with the best '
        "precision at this or any higher recall in its place.</p>"
        f"<details><summary>Where the protocols come from</summary><ul>{sources}</ul></details>"
    )


def tiles(report: Report) -> str:
    """Single figures: error, PCK, false alarms on empty frames, threshold."""
    error, alarms = report.get("error") or {}, report.get("false_alarms") or {}
    curve = report.get("pck_curve") or {}
    near = dict(zip(curve.get("radii_px") or [], curve.get("share") or [], strict=False)).get(5)
    flag = optimism_mark(report)
    rate = number(real(alarms.get("rate")))
    cells = [
        ("Median error", _with_unit(error.get("median")), _measured_text(report)),
        ("90 % within", _with_unit(error.get("p90")), "error, 90th percentile"),
        ("99 % within", _with_unit(error.get("p99")), "error, 99th percentile"),
        ("PCK at 5 px", number(real(near)), "whatever the score"),
        (
            "False alarms",
            rate if rate == DASH else rate + flag,
            f"{count(alarms.get('false_alarms'))} of {count(alarms.get('empty_frames'))} empty frames"
            + other_absences(alarms),
        ),
        ("Threshold", number(real(report.get("threshold"))), "a score of at least this is a detection"),
    ]
    return "".join(
        f'<div class="tile"><span>{name}</span><strong>{value}</strong><small>{words}</small></div>'
        for name, value, words in cells
    )


def curves(report: Report) -> str:
    """Precision over recall, PCK over distance, and the histogram of errors, each with its numbers."""
    curve = report.get("pck_curve") or {}
    radii, shares = curve.get("radii_px") or [], curve.get("share") or []
    labels, counts = plots.error_bins(report)
    figures = (
        (
            "Precision over recall",
            f"What each score threshold would give: from the surest guess alone to where every guess, however unsure, "
            f"is taken. The ring is the stored threshold{optimism_mark(report)}; AP is of the part up to it, and does "
            "not know what a lower one would find.",
            plots.precision_over_recall(report),
            "",
        ),
        (
            "Found within a distance (PCK)",
            "Share of balls whose prediction is within the radius, whatever its score; in frame pixels. Shaded: 95 % "
            "intervals over clips.",
            plots.pck(report),
            _numbers_table(("radius px", "share"), radii, _with_intervals(shares, curve.get("intervals"))),
        ),
        (
            "How far off",
            "Balls by the distance between prediction and truth, in frame pixels. The hollow bar is all that is "
            "farther off than the others reach.",
            plots.errors(report),
            _numbers_table(("error px", "balls"), labels, [count(value) for value in counts]),
        ),
    )
    return "".join(
        f"<figure><figcaption><h3>{title}</h3><p>{words}</p></figcaption>{chart}{numbers}</figure>"
        for title, words, chart, numbers in figures
    )


def provenance(report: Report) -> str:
    """Everything in metrics.json that is no figure: model, build, threshold, settings, environment."""
    shown = {
        "protocols",
        "pck_curve",
        "error",
        "false_alarms",
        "breakdowns",
        "pr_curves",
        "decoders",
        "compare",
        "notes",
        "bootstrap",
        "main_protocol",
    }
    pairs = [(key.replace("_", " "), value) for key, value in report.items() if key not in shown]
    return facts(pairs) + _decoders(report.get("decoders") or {})


def _decoders(decoders: Mapping[str, Mapping[str, Any]]) -> str:
    if not decoders:
        return ""
    names = list(decoders)
    figures = list(dict.fromkeys(figure for values in decoders.values() for figure in values))
    head = "".join(tag("th", escape(name), scope="col") for name in ("figure", *names))
    body = "".join(
        f'<tr><th scope="row">{escape(figure)}</th>'
        f"{''.join(f'<td>{plain(decoders[name].get(figure))}</td>' for name in names)}</tr>"
        for figure in figures
    )
    return (
        '<details><summary>Every decoder</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Figures by decoder">{_table(head, body)}</div></details>'
    )


def _numbers_table(names: tuple[str, str], left: Sequence[Any], right: Sequence[str]) -> str:
    if not left:
        return ""
    body = "".join(
        f'<tr><th scope="row">{plain(a)}</th><td>{b}</td></tr>' for a, b in zip(left, right, strict=False)
    )
    head = "".join(tag("th", name, scope="col") for name in names)
    return f"<details><summary>The numbers</summary>{_table(head, body)}</details>"


def _table(head: str, body: str) -> str:
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _with_intervals(shares: Sequence[Any], ends: Sequence[Any] | None) -> list[str]:
    known = ends if ends and len(ends) == len(shares) else [None] * len(shares)
    return [
        f"{number(real(share))} {interval(pair)}".rstrip() for share, pair in zip(shares, known, strict=True)
    ]


def _measured_text(report: Report) -> str:
    """The mean, and over which balls errors are: one without a guess has none, as many of other programs."""
    error = report.get("error") or {}
    balls, without = real(report.get("balls")), real(error.get("without_guess"))
    over = "balls with a guess"
    if balls is not None and without is not None:
        over = f"{count(balls - without)} of {count(balls)} balls"
    mean = number(real(error.get("mean")), digits=1)
    return f"mean {mean} px, over {over}"


def _with_unit(value: Any) -> str:
    text = number(real(value), digits=1)
    return text if text == DASH else f"{text}<i> px</i>"
