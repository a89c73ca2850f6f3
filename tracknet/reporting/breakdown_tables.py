"""Figures by part of the frames (visibility, speed, game, ...) as tables that the page's script can sort."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tracknet.reporting.markup import DASH, count, interval, number, optimism_mark, plain, real, tag

_GROUPS = (
    ("visibility", "By visibility"),
    ("status", "By what the ball does"),
    ("speed", "By speed"),
    ("region", "By region of the picture"),
    ("game", "By game"),
    ("clip", "By clip"),
)
_GROUP_FIGURES = (
    ("frames", "frames"),
    ("balls", "balls"),
    ("recall", "recall"),
    ("precision", "precision"),
    ("f1", "F1"),
    ("median_px", "median px"),
    ("false_alarm_rate", "false alarms"),
)
# Figures that do not move with the threshold.
_UNMARKED = ("frames", "balls", "median_px")


def breakdowns(report: Mapping[str, Any]) -> str:
    """A sortable table per grouping, with a bar for recall; figures that no row has are left out."""
    parts, mark = [], optimism_mark(report)
    for key, title in _GROUPS:
        rows = (report.get("breakdowns") or {}).get(key) or []
        if not rows:
            continue
        # Half the page's width has room for the figures that say most about a group.
        is_wide = key in ("game", "clip")
        kept = [
            (name, words)
            for name, words in _GROUP_FIGURES
            if any(row.get(name) is not None for row in rows) and (is_wide or name != "precision")
        ]
        head = (
            f'<th scope="col" aria-sort="none"><button type="button">{escape(key)}</button></th>'
            + "".join(
                f'<th scope="col" aria-sort="none"><button type="button">{words}</button></th>'
                for _, words in kept
            )
        )
        body = "".join(
            f'<tr><th scope="row">{plain(row.get("value"))}</th>'
            f"{''.join(_figure(row, name, mark) for name, _ in kept)}</tr>"
            for row in rows
        )
        parts.append(
            f'<section class="card{" wide" * is_wide}"><h3>{title}</h3>'
            f'<div class="scroll tall" tabindex="0" role="region" aria-label="{title}">'
            f'<table class="sortable"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>'
        )
    return "".join(parts) or '<p class="empty">No breakdowns in metrics.json.</p>'


def _figure(row: Mapping[str, Any], name: str, mark: str) -> str:
    value = real(row.get(name))
    data_value = "" if value is None else f"{value:.6g}"
    if name in ("frames", "balls"):
        return tag("td", count(value), data_value=data_value)
    alarms, silent = real(row.get("fp2")), real(row.get("tn"))
    if name == "false_alarm_rate" and alarms is not None and silent is not None:
        # Of few empty frames a share says little.
        text = DASH if value is None else f"{count(alarms)} of {count(alarms + silent)}"
    else:
        text = number(value, digits=2 if name == "median_px" else 3)
    if text != DASH and name not in _UNMARKED:
        text += mark
    bar = ""
    if name == "recall" and value is not None:
        bar = (
            '<svg class="meter" viewBox="0 0 60 6" aria-hidden="true"><rect width="60" height="6" rx="3"/>'
            f'<rect class="full" width="{60 * min(1.0, max(0.0, value)):.1f}" height="6" rx="3"/></svg>'
        )
    ends = interval((row.get("intervals") or {}).get(name), digits=2)
    return tag("td", text + bar + (f"<small>{ends}</small>" if ends else ""), data_value=data_value)
