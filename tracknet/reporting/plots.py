"""The report's three plots, in the page and as SVG files: precision over recall, PCK, and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tracknet.reporting.charts import Series, bar_chart, line_chart
from tracknet.reporting.markup import real
from tracknet.utils.files import replace_file

Report = Mapping[str, Any]


def write_plots(folder: Path, report: Report) -> list[Path]:
    """Writes `pr.svg`, `pck.svg` and `errors.svg`.

    Args:
        folder: where to.
        report: the content of metrics.json.

    Returns:
        The files.
    """
    charts = {"pr.svg": precision_over_recall, "pck.svg": pck, "errors.svg": errors}
    for name, chart in charts.items():
        replace_file(folder / name, chart(report, standalone=True).encode())
    return [folder / name for name in charts]


def precision_over_recall(report: Report, *, standalone: bool = False) -> str:
    """A line per protocol with its operating point, as SVG; `standalone` has its styles inside."""
    protocols = report.get("protocols") or {}
    lines = [
        Series(
            name,
            curve.get("recall") or [],
            curve.get("precision") or [],
            (real(protocols.get(name, {}).get("recall")), real(protocols.get(name, {}).get("precision"))),
        )
        for name, curve in (report.get("pr_curves") or {}).items()
    ]
    return line_chart(
        lines,
        title="Precision over recall by protocol",
        x_label="recall",
        y_label="precision",
        x_range=(0, 1),
        standalone=standalone,
    )


def pck(report: Report, *, standalone: bool = False) -> str:
    """The share of balls found within each radius with its interval, as SVG; `standalone` has its styles inside."""
    curve = report.get("pck_curve") or {}
    radii, shares = curve.get("radii_px") or [], curve.get("share") or []
    return line_chart(
        [Series("PCK", radii, shares, band=curve.get("intervals"))],
        title="Share of balls found within a radius",
        x_label="radius, frame pixels",
        y_label="share of balls",
        x_range=(0, max(radii)) if radii else None,
        standalone=standalone,
    )


def errors(report: Report, *, standalone: bool = False) -> str:
    """The histogram of errors, as SVG; `standalone` has its styles inside.

    Bins as wide as the first stand side by side; the wider ones behind them are one bar, apart: drawn like the
    others, 20 to 30 px and 200 px to the diagonal made a hump where there is none.
    """
    labels, counts = error_bins(report)
    edges = (((report.get("error") or {}).get("histogram") or {}).get("edges_px") or [])[: len(labels) + 1]
    equal = 0
    while equal < len(labels) and _is_as_wide(edges[equal : equal + 2], edges[:2]):
        equal += 1
    beyond = [count or 0.0 for count in counts[equal:]]
    return bar_chart(
        labels[:equal],
        counts[:equal],
        title="Balls by error",
        x_label="error, frame pixels",
        y_label="balls",
        rest=(f"≥{edges[equal]:g}", sum(beyond)) if beyond else None,
        standalone=standalone,
    )


def _is_as_wide(these: Sequence[float | None], first: Sequence[float | None]) -> bool:
    (low, high), (start, end) = these, first
    if None in (low, high, start, end):
        return False
    return math.isclose(float(high or 0) - float(low or 0), float(end or 0) - float(start or 0))


def error_bins(report: Report) -> tuple[list[str], list[float | None]]:
    """Names of the histogram's bins and the balls in each; none where the two do not fit."""
    histogram = (report.get("error") or {}).get("histogram") or {}
    labels, counts = _bin_labels(histogram.get("edges_px") or []), list(histogram.get("counts") or [])
    return (labels, counts) if len(labels) == len(counts) else ([], [])


def _bin_labels(edges_px: Sequence[float | None]) -> list[str]:
    """An end that is not finite makes the last bin open."""
    labels = []
    for low, high in pairwise(edges_px):
        is_open = high is None or not math.isfinite(high)
        labels.append(f"≥{low:g}" if is_open else f"{low:g}–{high:g}")
    return labels
