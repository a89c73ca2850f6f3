"""The evaluation report: one HTML file that opens from disk, needs no network and shows where a model fails."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.reporting import sections
from tracknet.reporting.charts import chart_styles
from tracknet.reporting.comparison import align, comparison_section
from tracknet.reporting.findings import findings
from tracknet.reporting.markup import content_hash, count, interval, json_block, number, plain, sentence
from tracknet.reporting.outcomes import (
    EMPTY,
    FALSE_ALARM,
    FOUND,
    MISSED,
    NEAR_MISS,
    OUTCOME_NAMES,
    Frames,
    disagreements,
    worst_frames,
)
from tracknet.reporting.page_data import page_data, picture_budget
from tracknet.reporting.pictures import FramePicture
from tracknet.utils.files import finite_or_none, replace_file

# Frames listed without a picture are drawn as a sketch by the page; this many are enough to see a pattern.
_MOST_LISTED = 400
_SCRIPTS = ("store.js", "tables.js", "trace.js", "timeline.js", "frames.js", "page.js")
# Parts of a model's path that say nothing about which model it is.
_PLAIN_PARTS = re.compile(r"runs|checkpoints|model|best|last|step_\d+|\.|/")


def write_report(
    path: Path,
    report: Mapping[str, Any],
    predictions: Mapping[str, npt.NDArray[Any]],
    pictures: Sequence[FramePicture],
    comparison: Mapping[str, Any] | None = None,
) -> None:
    """Writes `report.html`, in one step.

    Args:
        path: of the file.
        report: the content of metrics.json.
        predictions: the columns of predictions.parquet and `outcome`, N long, as `Frames.of` takes them.
        pictures: of some frames, the most telling first (`worst_frames` chooses, `frame_picture` draws them).
            Those that would make the page larger than 10 MB are left out, and the page says how many.
        comparison: the content of `compare` in metrics.json (`a`, `b`, `verdict`, `protocols`). With
            `predictions`, the columns of B's file (then the others are A's), the page also shows the frames
            where only one is right.

    Raises:
        UserError: the comparison's predictions are about other frames.
    """
    others = (comparison or {}).get("predictions")
    comparison = {key: value for key, value in (comparison or {}).items() if key != "predictions"}
    # As it would be read back from metrics.json: plain values, null for what is no number.
    report, comparison = (
        json.loads(json.dumps(finite_or_none(part), default=_plain)) for part in (report, comparison)
    )
    threshold = float(0.5 if report.get("threshold") is None else report["threshold"])
    frames = Frames.of(predictions)
    other = None if others is None else Frames.of(others)
    if other is not None:
        align(frames, other)
    kept = picture_budget(pictures)
    rows = _shown_rows(frames, kept, other, worst_frames(predictions, _MOST_LISTED))
    data = page_data(frames, kept, rows, threshold=threshold, other=other)
    parts = {
        "title": escape(f"{_name(report)} · {report.get('split') or 'evaluation'}"),
        "name": escape(_name(report)),
        "about": _about(report, frames),
        "notice": _notice(report),
        "headline": _headline(report),
        "outcomes": _outcome_bar(frames),
        "rule": _rule(report),
        "findings": _findings(findings(report, frames), len(frames)),
        "tiles": sections.tiles(report),
        "comparison": _comparison(comparison, frames, other),
        "comparison_link": '<a href="#comparison">Comparison</a>' if comparison else "",
        "protocols": sections.protocol_table(report),
        "caution": sentence((report.get("bootstrap") or {}).get("caution")),
        "curves": sections.curves(report),
        "breakdowns": sections.breakdowns(report),
        "pictures_note": _pictures_note(len(pictures), len(kept)),
        "provenance": sections.provenance(report),
        "data": json_block("data", data),
    }
    replace_file(path, _page(parts).encode())


def _page(parts: Mapping[str, str]) -> str:
    """The template filled in. Values are put in once and never searched for further marks."""
    style = chart_styles() + _asset("report.css")
    script = "\n".join(['"use strict";', *(_asset(name) for name in _SCRIPTS)])
    script = f"(() => {{\n{script}}})();\n"
    whole = {
        **parts,
        "style": style,
        "script": script,
        "policy": escape(
            f"default-src 'none'; script-src {content_hash(script)}; style-src {content_hash(style)}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: whole[mark[1]], _asset("report.html"))


def _asset(name: str) -> str:
    return (files("tracknet.reporting") / "assets" / name).read_text("utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return finite_or_none(value.tolist())
    return str(value)


def _shown_rows(
    frames: Frames,
    pictures: Sequence[FramePicture],
    other: Frames | None,
    worst: Sequence[int],
) -> list[int]:
    """Rows to list: those with pictures first, then other failures, then those where two files disagree."""
    row_of = {key: row for row, key in enumerate(frames.key)}
    rows = [row_of[picture.key] for picture in pictures if picture.key in row_of]
    rows += [row for row in worst if frames.outcome[row] != FOUND]
    if other is not None:
        for side in disagreements(frames, other):
            rows += side[:_MOST_LISTED].tolist()
    return list(dict.fromkeys(rows))


def _name(report: Mapping[str, Any]) -> str:
    """What tells this model from others: `quickstart` of `runs/quickstart/checkpoints/best/model`."""
    model = str(report.get("model") or "predictions")
    telling = [part for part in Path(model).parts if not _PLAIN_PARTS.fullmatch(part)]
    return telling[-1] if telling else model


def _about(report: Mapping[str, Any], frames: Frames) -> str:
    games, clips = len(set(frames.game)), len(set(zip(frames.game, frames.clip, strict=True)))
    words = [
        f"split <b>{plain(report.get('split'))}</b>",
        f"{len(frames):,} frames",
        f"{clips:,} clip{'s' * (clips != 1)}",
        f"{games:,} game{'s' * (games != 1)}",
    ]
    if sizes := report.get("frame_sizes"):
        words.append(f"frames of {plain(sizes)}")
    return " · ".join(words)


def _notice(report: Mapping[str, Any]) -> str:
    notes = [sentence(note) for note in report.get("notes") or []]
    if sections.optimism_mark(report):
        notes.append("Figures marked <b>†</b> depend on that threshold: expect less on other games.")
        if len(notes) == 1:
            notes.insert(0, "The score threshold or the checkpoint was chosen on this very split.")
    if not notes:
        return ""
    title = "<b>Optimistic.</b> " * bool(report.get("optimistic"))
    return f'<div class="notice" role="note">{title}{"<br>".join(notes)}</div>'


def _main_protocol(report: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Name and figures of the protocol that outcomes and breakdowns go by."""
    protocols = report.get("protocols") or {}
    name = report.get("main_protocol") or next(iter(protocols), "")
    return str(name), protocols.get(name) or {}


def _rule(report: Mapping[str, Any]) -> str:
    name, figures = _main_protocol(report)
    words = [
        figures.get("distance"),
        figures.get("counts_as_ball") and f"balls are {figures['counts_as_ball']}",
    ]
    return escape("; ".join(str(word) for word in (f"Counted by {name}", *words) if word))


def _headline(report: Mapping[str, Any]) -> str:
    """The one figure to remember."""
    name, figures = _main_protocol(report)
    value = figures.get("f1")
    mark = sections.optimism_mark(report) if value is not None else ""
    ends = interval((figures.get("intervals") or {}).get("f1"))
    parts = "".join(
        f"<div><dt>{title}</dt><dd>{number(figures.get(key))}{mark if figures.get(key) is not None else ''}</dd></div>"
        for key, title in (("precision", "Precision"), ("recall", "Recall"), ("ap", "AP"))
    )
    return (
        f'<div class="big"><span>F1 · {escape(name)}</span><strong>{number(value)}{mark}</strong>'
        f"<small>{ends and f'95 % interval {ends}'}</small><dl>{parts}</dl></div>"
    )


def _outcome_bar(frames: Frames) -> str:
    """All frames as one bar, and a button per outcome that leads to its frames."""
    counts = np.bincount(frames.outcome, minlength=len(OUTCOME_NAMES)).tolist()
    whole, x, bars, legend = max(1, sum(counts)), 0.0, [], []
    for code in (FOUND, NEAR_MISS, MISSED, FALSE_ALARM, EMPTY):
        width = 1000 * counts[code] / whole
        bars.append(f'<rect class="o{code}" x="{x:.2f}" width="{width:.2f}" height="30"/>')
        x += width
        content = (
            f'<i class="glyph o{code}" aria-hidden="true"></i><span>{OUTCOME_NAMES[code]}</span>'
            f"<b>{count(counts[code])}</b>"
        )
        is_failure = code in (NEAR_MISS, MISSED, FALSE_ALARM) and counts[code]
        legend.append(
            f'<li><button type="button" data-show="{code}">{content}</button></li>'
            if is_failure
            else f"<li><span>{content}</span></li>"
        )
    words = ", ".join(f"{counts[code]} {OUTCOME_NAMES[code]}" for code in range(len(OUTCOME_NAMES)))
    return (
        f'<svg class="bar" viewBox="0 0 1000 30" preserveAspectRatio="none" role="img" aria-label="{words}">'
        f'{"".join(bars)}</svg><ul class="legend">{"".join(legend)}</ul>'
    )


def _findings(sentences: Sequence[str], frames: int) -> str:
    if not sentences:
        nothing = "No frames were evaluated." if not frames else "Nothing stands out."
        return f'<p class="empty">{nothing}</p>'
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def _comparison(comparison: Mapping[str, Any], frames: Frames, other: Frames | None) -> str:
    if not comparison:
        return ""
    inner = comparison_section(comparison, None if other is None else frames, other)
    heading = '<h2 id="h-comparison">A against B</h2>'
    return f'<section id="comparison" aria-labelledby="h-comparison">{heading}{inner}</section>'


def _pictures_note(given: int, kept: int) -> str:
    if not given:
        return "No pictures were rendered for this report: the sketches show where the ball was and where it was seen."
    left = f" {given - kept:,} more pictures were left out to keep the page small." if given > kept else ""
    return (
        "The worst of every kind, spread over the clips. Ring: truth. Cross: prediction. Frames without a picture "
        f"are sketched.{left}"
    )
