"""The evaluation report: one HTML file that opens from disk, needs no network and shows where a model fails."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.reporting import sections
from tracknet.reporting.breakdown_tables import breakdowns
from tracknet.reporting.charts import chart_styles
from tracknet.reporting.comparison import comparison_section
from tracknet.reporting.findings import findings
from tracknet.reporting.markup import json_block, optimism_mark, sentence
from tracknet.reporting.outcomes import Frames, disagreements, worst_frames
from tracknet.reporting.overview import (
    about,
    counting_rule,
    failure_list,
    headline,
    model_name,
    notice,
    outcome_bar,
)
from tracknet.reporting.page_data import page_data, picture_budget
from tracknet.reporting.page_template import asset, filled_page
from tracknet.reporting.pictures import FramePicture
from tracknet.utils.files import finite_or_none, replace_file
from tracknet.utils.outcome import Outcome

# Frames listed without a picture are drawn as a sketch by the page; this many are enough to see a pattern.
_MOST_LISTED = 400
_SCRIPTS = ("store.js", "tables.js", "trace.js", "timeline.js", "frames.js", "page.js")


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
            `predictions`, the columns of B's file (then the others are A's) of the same frames in the same order,
            the page also shows the frames where only one is right.
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
    kept = picture_budget(pictures)
    rows = _shown_rows(frames, kept, other, worst_frames(predictions, _MOST_LISTED))
    data = page_data(frames, kept, rows, threshold=threshold, other=other)
    parts = {
        "title": escape(f"{model_name(report)} · {report.get('split') or 'evaluation'}"),
        "name": escape(model_name(report)),
        "about": about(report, frames),
        "notice": notice(report),
        "headline": headline(report),
        "outcomes": outcome_bar(frames, optimism_mark(report)),
        "rule": counting_rule(report),
        "findings": failure_list(findings(report, frames), len(frames), optimism_mark(report)),
        "tiles": sections.tiles(report),
        "comparison": _comparison(comparison, frames, other),
        "comparison_link": '<a href="#comparison">Comparison</a>' if comparison else "",
        "protocols": sections.protocol_table(report),
        "caution": sentence((report.get("bootstrap") or {}).get("caution")),
        "curves": sections.curves(report),
        "breakdowns": breakdowns(report),
        "pictures_note": _pictures_note(len(pictures), len(kept)),
        "provenance": sections.provenance(report),
        "data": json_block("data", data),
    }
    styles = [chart_styles(), asset("report.css")]
    replace_file(path, filled_page("report.html", parts, styles=styles, scripts=_SCRIPTS).encode())


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
    rows += [row for row in worst if frames.outcome[row] != Outcome.TP]
    if other is not None:
        for side in disagreements(frames, other):
            rows += side[:_MOST_LISTED].tolist()
    return list(dict.fromkeys(rows))


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
