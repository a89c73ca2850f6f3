"""The second table of `ablation.py`: how near the ball each way of reading a heatmap is, of the same heatmaps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from benchmarks.ablation_records import Measured
from benchmarks.ablation_results import Results


def decoder_table(results: Results) -> list[str]:
    """Lines of Markdown, or none where no record has the figures.

    Args:
        results: what was measured; seeds of a row are averaged as in the main table.
    """
    names = list(dict.fromkeys(name for one in results.all for name in _shares(one)))
    if not names:
        return []
    lines = []
    for row in results.rows:
        for group in results.groups(row):
            lines += [
                _cells(results.title(one), str(one.seed), [_text(_shares(one).get(name)) for name in names])
                for one in group
            ]
            if len(group) > 1:
                title = f"{results.title(group[0])}, mean ± deviation of {len(group)} seeds"
                lines.append(
                    _cells(title, "", [_spread([_shares(one).get(name) for one in group]) for name in names])
                )
    return [
        "PCK@5px (per cent of the balls that are found within 5 frame pixels, whatever the score) by how the place is "
        "read from the same heatmaps:",
        "",
        _cells("row", "seed", names),
        "|" + "---|" * (2 + len(names)),
        *lines,
    ]


def _shares(one: Measured) -> Mapping[str, float | None]:
    found: Mapping[str, float | None] = one.record.get("pck_5px_by_decoder", {})
    return found


def _cells(title: str, seed: str, cells: list[str]) -> str:
    return "| " + " | ".join([title, seed, *cells]) + " |"


def _text(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _spread(shares: list[float | None]) -> str:
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return "-"
    return f"{100 * statistics.mean(known):.1f} ± {100 * statistics.stdev(known):.1f}"
