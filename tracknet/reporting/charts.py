"""Charts as SVG text: lines, bars and intervals. Colours come from `assets/charts.css`, in a page as in a file."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from tracknet.reporting.axes import BOTTOM, RIGHT, SIZE, TOP, PlotFrame
from tracknet.utils.geometry import Size

_ROW_PX = 34
# Hues of charts.css; further series begin again with another dash.
_COLOURS = 6
# Beyond this many points a hover mark on each would only cost bytes.
_MOST_DOTS = 60
# Bars' widths between the last of equal ranges and that of the rest.
_APART = 1


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: for the legend.
        x: values. A point with an x or y that is no finite number is left out.
        y: as many values as `x`.
        mark: an (x, y) to emphasise, such as the operating point.
        band: (low, high) of each point, drawn as a shade; none where it is not known.
    """

    name: str
    x: Sequence[float | None]
    y: Sequence[float | None]
    mark: tuple[float | None, float | None] | None = None
    band: Sequence[Sequence[float | None] | None] | None = None


@dataclass(frozen=True)
class Interval:
    """A row of an interval chart: a value with the ends of its interval, any of them None where unknown."""

    name: str
    value: float | None
    low: float | None
    high: float | None


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] = (0.0, 1.0),
    standalone: bool = False,
) -> str:
    """Lines over two linear axes, told apart by colour and by dashes.

    Args:
        series: the lines; one without a finite point is listed as such.
        title: what the chart shows, read aloud in place of the picture.
        x_label: of the axis below.
        y_label: of the axis on the left.
        x_range: ends of the axis; those of the data where none are given.
        y_range: ends of the axis on the left; 0 to 1 where none is given.
        standalone: a file of its own, with its styles inside.
    """
    points = {line.name: _finite(line.x, line.y) for line in series}
    xs = [x for line in points.values() for x, _ in line]
    low, high = x_range or ((min(xs), max(xs)) if xs else (0.0, 1.0))
    frame = PlotFrame(low, high if high > low else low + max(1.0, abs(low) / 10), *y_range)
    parts = [frame.axes(x_label, y_label)]
    for number, line in enumerate(series):
        kept = [(frame.x(x), frame.y(y)) for x, y in points[line.name]]
        look = _look(number)
        parts.append(_band(line, frame, look))
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in kept)
        parts.append(f'<polyline class="line {look}" points="{path}"/>')
        if len(kept) <= _MOST_DOTS:
            parts += [
                f'<circle class="dot {look}" cx="{px:.1f}" cy="{py:.1f}" r="3">'
                f"<title>{escape(line.name)}: {x:g}, {y:.3f}</title></circle>"
                for (x, y), (px, py) in zip(points[line.name], kept, strict=True)
            ]
        if line.mark and (spot := _finite([line.mark[0]], [line.mark[1]])):
            (x, y) = spot[0]
            parts.append(
                f'<circle class="mark {look}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="5.5">'
                f"<title>{escape(line.name)}, operating point: {x:.3f}, {y:.3f}</title></circle>"
            )
    if not xs:
        parts.append(_nothing())
    legend = [(line.name if points[line.name] else f"{line.name} (no data)") for line in series]
    body = "".join(parts)
    height = SIZE.height
    if len(series) > 1:
        rows, legend_height = _legend(legend, height)
        body, height = body + rows, height + legend_height
    return _svg(body, Size(SIZE.width, height), title, standalone)


def bar_chart(
    labels: Sequence[str],
    values: Sequence[float | None],
    *,
    title: str,
    x_label: str,
    y_label: str,
    rest: tuple[str, float] | None = None,
    standalone: bool = False,
) -> str:
    """Bars from zero, one a label.

    Args:
        labels: below the bars, each for a range of the same width; thinned where they would overlap.
        values: at least 0; None for no bar.
        title: what the chart shows, read aloud in place of the picture.
        x_label: of the axis below.
        y_label: of the axis on the left.
        rest: label and value of all that lies beyond; a bar set apart and hollow, as its range is another.
        standalone: a file of its own, with its styles inside.
    """
    heights = [value if value is not None and math.isfinite(value) else 0.0 for value in values]
    bars = [
        (place, label, height, "") for place, (label, height) in enumerate(zip(labels, heights, strict=True))
    ]
    if rest is not None:
        bars.append((len(labels) + _APART, *rest, " rest"))
    width_of_all = max(1.0, bars[-1][0] + 1) if bars else 1.0
    frame = PlotFrame(0, width_of_all, 0, _round_up(max((height for _, _, height, _ in bars), default=0.0)))
    parts = [frame.axes(x_label, y_label, x_ticks=False)]
    width = frame.x(1) - frame.x(0)
    longest = max((len(label) for _, label, _, _ in bars), default=1)
    step = max(1, math.ceil((longest * 7.2 + 4) / width))
    for place, label, height, kind in bars:
        x, y = frame.x(place), frame.y(height)
        parts.append(
            f'<rect class="bar{kind}" x="{x + width * 0.08:.1f}" y="{y:.1f}" width="{width * 0.84:.1f}" '
            f'height="{frame.y(0) - y:.1f}"><title>{escape(label)}: {height:g}</title></rect>'
        )
        is_free = place % step == 0 and (rest is None or place + step <= bars[-1][0])
        if kind or is_free:
            parts.append(
                f'<text class="tick" x="{x + width / 2:.1f}" y="{SIZE.height - BOTTOM + 16}" '
                f'text-anchor="middle">{escape(label)}</text>'
            )
    if not any(height for _, _, height, _ in bars):
        parts.append(_nothing())
    return _svg("".join(parts), SIZE, title, standalone)


def interval_chart(rows: Sequence[Interval], *, title: str, x_label: str, standalone: bool = False) -> str:
    """Values with their intervals, one a row, beside a line at zero.

    Args:
        rows: from top to bottom.
        title: what the chart shows, read aloud in place of the picture.
        x_label: of the axis below.
        standalone: a file of its own, with its styles inside.
    """
    known = [v for row in rows for v in (row.value, row.low, row.high) if v is not None and math.isfinite(v)]
    reach = _round_up(max((abs(value) for value in known), default=1.0))
    left, height = 112, _ROW_PX * len(rows) + TOP + BOTTOM
    scale = (SIZE.width - left - RIGHT) / (2 * reach)

    def place(value: float) -> float:
        return left + (value + reach) * scale

    below = height - BOTTOM
    parts = [
        f'<line class="{"zero" if tick == 0 else "grid"}" x1="{place(tick):.1f}" x2="{place(tick):.1f}" '
        f'y1="{TOP}" y2="{below}"/><text class="tick" x="{place(tick):.1f}" y="{below + 16}" '
        f'text-anchor="middle">{_signed(tick)}</text>'
        for tick in (-reach, -reach / 2, 0.0, reach / 2, reach)
    ]
    for number, row in enumerate(rows):
        y = TOP + _ROW_PX * (number + 0.5)
        parts.append(
            f'<text class="name" x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(row.name)}</text>'
        )
        if ends := _finite([row.low], [row.high]):
            low, high = ends[0]
            parts.append(
                f'<line class="range" x1="{place(low):.1f}" x2="{place(high):.1f}" y1="{y}" y2="{y}"/>'
            )
        if spot := _finite([row.value], [0.0]):
            value = spot[0][0]
            parts.append(
                f'<circle class="value" cx="{place(value):.1f}" cy="{y}" r="5">'
                f"<title>{escape(row.name)}: {value:+.2f}</title></circle>"
            )
    parts.append(
        f'<text class="label" x="{left + (SIZE.width - left - RIGHT) / 2}" y="{height - 8}" '
        f'text-anchor="middle">{escape(x_label)}</text>'
    )
    return _svg("".join(parts), Size(SIZE.width, height), title, standalone)


def chart_styles() -> str:
    """The style rules that the charts' classes refer to, for a page that holds charts."""
    return (files("tracknet.reporting") / "assets" / "charts.css").read_text("utf-8")


def _finite(xs: Sequence[float | None], ys: Sequence[float | None]) -> list[tuple[float, float]]:
    pairs = zip(xs, ys, strict=True)
    return [
        (x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    ]


def _band(line: Series, frame: PlotFrame, look: str) -> str:
    """The shade between the ends of a line's intervals; only where both are known."""
    ends = [
        (x, *spot)
        for x, pair in zip(line.x, line.band or (), strict=False)
        if x is not None and pair is not None
        for spot in _finite(pair[:1], pair[1:])
    ]
    if len(ends) < 2:
        return ""
    above = [f"{frame.x(x):.1f},{frame.y(high):.1f}" for x, _, high in ends]
    below = [f"{frame.x(x):.1f},{frame.y(low):.1f}" for x, low, _ in reversed(ends)]
    return f'<polygon class="band {look}" points="{" ".join(above + below)}"/>'


def _look(number: int) -> str:
    return f"c{number % _COLOURS} d{number % _COLOURS + number // _COLOURS}"


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... (also below 1); 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)))


def _nothing() -> str:
    return f'<text class="label" x="{SIZE.width / 2}" y="{SIZE.height / 2 - 12}" text-anchor="middle">no data</text>'


def _legend(names: Sequence[str], top: int) -> tuple[str, int]:
    """Line samples with names, three a row, and the height that they take."""
    column = (SIZE.width - 16) / 3
    parts = []
    for number, name in enumerate(names):
        x, y = 16 + number % 3 * column, top + 12 + number // 3 * 22
        shown = name if len(name) <= 14 else f"{name[:13]}…"
        parts.append(
            f'<line class="line {_look(number)}" x1="{x:.0f}" x2="{x + 26:.0f}" y1="{y}" y2="{y}"/>'
            f'<text class="name" x="{x + 33:.0f}" y="{y + 4}">{escape(shown)}</text>'
        )
    return "".join(parts), 22 * -(-len(names) // 3) + 6


def _svg(body: str, size: Size, title: str, standalone: bool) -> str:
    space = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    style = ""
    if standalone:
        # Viewers other than browsers know no light-dark().
        rules = re.sub(r"light-dark\(([^,]+), [^)]+\)", r"\1", chart_styles())
        style = f'<style>{rules}</style><rect class="paper" width="{size.width}" height="{size.height}"/>'
    return (
        f'<svg{space} class="chart" role="img" viewBox="0 0 {size.width} {size.height}" aria-label="{escape(title)}">'
        f"{style}{body}</svg>\n"
    )
