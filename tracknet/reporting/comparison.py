"""Two prediction files side by side: differences with intervals, and who is right where the other is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tracknet.reporting.charts import Interval, interval_chart
from tracknet.reporting.markup import DASH, interval, number, plain, real, sentence, tag
from tracknet.reporting.outcomes import Frames, disagreements

_SHARES = ("f1", "precision", "recall", "accuracy", "ap")


def comparison_section(comparison: Mapping[str, Any], a: Frames | None, b: Frames | None) -> str:
    """The comparison as HTML.

    Args:
        comparison: `a` and `b` (names), `verdict`, `protocols` (name -> figure -> a, b, difference, interval),
            `notes`, and `optimistic` (`a`, `b`: whether a side was chosen on these very frames).
        a: N frames of A; None where only figures are known.
        b: N frames of B, the same.
    """
    protocols = comparison.get("protocols") or {}
    rows = [
        Interval(
            name,
            _points(figures.get("f1", {}).get("difference")),
            *_ends(figures.get("f1", {}).get("interval")),
        )
        for name, figures in protocols.items()
    ]
    chart = (
        interval_chart(rows, title="Difference in F1, B minus A", x_label="F1 points, B minus A")
        if rows
        else ""
    )
    caution = comparison.get("caution")
    flags = _flags(comparison)
    return (
        f'<p class="verdict">{plain(comparison.get("verdict"))}{flags["a"] or flags["b"]}</p>'
        f'<p class="sides"><b class="side">A</b> {plain(comparison.get("a"))}{flags["a"]}<br><b class="side">B</b> '
        f"{plain(comparison.get('b'))}{flags['b']}<br>The rest of this page is about A.</p>"
        f"{_notes(comparison, flags)}"
        f"{tag('p', sentence(caution), class_='hint') if caution else ''}"
        f'<div class="pair">{_matrix(a, b)}<figure><figcaption><h3>Difference in F1</h3>'
        "<p>Points, B minus A, with 95 % intervals over clips. An interval that crosses the line at zero decides "
        f"nothing.</p></figcaption>{chart}</figure></div>{_table(protocols, flags)}"
    )


def _flags(comparison: Mapping[str, Any]) -> dict[str, str]:
    """The dagger of each side, or nothing."""
    optimistic = comparison.get("optimistic") or {}
    mark = '<sup class="flag" title="chosen on the frames of this comparison: optimistic">†</sup>'
    return {side: mark if optimistic.get(side) else "" for side in ("a", "b")}


def _notes(comparison: Mapping[str, Any], flags: Mapping[str, str]) -> str:
    notes = [sentence(note) for note in comparison.get("notes") or []]
    if not notes:
        return ""
    sides = [side.upper() for side in ("a", "b") if flags[side]]
    if sides:
        one_sided = len(sides) == 1
        notes.append(
            f"Figures of {' and '.join(sides)} are marked <b>†</b>: expect less on other games"
            f"{', and so another difference' if one_sided else ''}."
        )
    return f'<div class="notice" role="note">{"<br>".join(notes)}</div>'


def _matrix(a: Frames | None, b: Frames | None) -> str:
    if a is None or b is None:
        return ""
    only_a, only_b = (len(rows) for rows in disagreements(a, b))
    right = int((a.right & b.right).sum())
    cells = (
        ("both right", right, None),
        ("only A right", only_a, "a"),
        ("only B right", only_b, "b"),
        ("both wrong", len(a) - right - only_a - only_b, None),
    )
    boxes = "".join(
        f'<button type="button" class="box" data-view="{view}"><strong>{frames:,}</strong>{words}'
        "<small>show frames</small></button>"
        if view and frames
        else f'<div class="box"><strong>{frames:,}</strong>{words}</div>'
        for words, frames, view in cells
    )
    return (
        '<div class="boxed"><h3>Who is right</h3><p>Frames; right is a ball found, or nothing said where there is none.'
        "</p>"
        f'<div class="boxes">{boxes}</div></div>'
    )


def _table(protocols: Mapping[str, Mapping[str, Mapping[str, Any]]], flags: Mapping[str, str]) -> str:
    body = []
    for name, figures in protocols.items():
        for figure in sorted(
            figures, key=lambda name: _SHARES.index(name) if name in _SHARES else len(_SHARES)
        ):
            values = figures[figure]
            known = {side: number(real(values.get(side))) for side in ("a", "b")}
            shown = [text if text == DASH else text + flags[side] for side, text in known.items()]
            difference = real(values.get("difference"))
            signed = DASH if difference is None else f"{difference:+.3f}".replace("-", "−")
            cells = "".join(
                tag("td", text) for text in (*shown, signed, interval(values.get("interval")) or DASH)
            )
            body.append(f'<tr><th scope="row">{escape(name)} · {escape(figure)}</th>{cells}</tr>')
    if not body:
        return ""
    head = "".join(tag("th", title, scope="col") for title in ("Figure", "A", "B", "B − A", "95 % interval"))
    return (
        "<details><summary>Every difference</summary>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Differences by protocol">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div></details>"
    )


def _points(value: Any) -> float | None:
    known = real(value)
    return None if known is None else 100 * known


def _ends(ends: Any) -> tuple[float | None, float | None]:
    return (
        (_points(ends[0]), _points(ends[1]))
        if isinstance(ends, list | tuple) and len(ends) == 2
        else (None, None)
    )
