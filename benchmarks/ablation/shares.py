"""The tables below that of `ablation.py`: a share of each row and seed by decoder, and by how fast the ball is."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.ablation.records import Measured
from benchmarks.ablation.results import Results

_UNKNOWN = "unknown"


def decoder_table(results: Results) -> list[str]:
    """PCK@5px by decoder as lines of Markdown, or none where no record has the figures."""
    return _table(
        results,
        "PCK@5px (per cent of the balls that are found within 5 frame pixels, whatever the score) by how the place is "
        "read from the same heatmaps:",
        _by_decoder,
    )


def speed_table(results: Results) -> list[str]:
    """F1 under `wasb` by the speed of the ball as lines of Markdown, or none where no record has the figures."""
    return _table(results, "F1 under `wasb` by how far the ball moves between two frames (balls):", _by_speed)


def _by_decoder(one: Measured) -> Mapping[str, float | None]:
    found: Mapping[str, float | None] = one.record.get("pck_5px_by_decoder", {})
    return found


def _by_speed(one: Measured) -> Mapping[str, float | None]:
    parts = one.record.get("breakdowns", {}).get("speed", [])
    return {f"{part['value']} ({part['balls']})": part["f1"] for part in parts if part["value"] != _UNKNOWN}


def _table(
    results: Results, title: str, shares: Callable[[Measured], Mapping[str, float | None]]
) -> list[str]:
    """A column for each name that some record has a share of; seeds are averaged as in the main table."""
    names = list(dict.fromkeys(name for one in results.all for name in shares(one)))
    if not names:
        return []
    lines = []
    for row in results.rows:
        for group in results.groups(row):
            lines += [
                _cells(results.title(one), str(one.seed), [_text(shares(one).get(name)) for name in names])
                for one in group
            ]
            if len(group) > 1:
                spread = f"{results.title(group[0])}, mean ± deviation of {len(group)} seeds"
                cells = [_spread([shares(one).get(name) for one in group]) for name in names]
                lines.append(_cells(spread, "", cells))
    return [title, "", _cells("row", "seed", names), "|" + "---|" * (2 + len(names)), *lines]


def _cells(title: str, seed: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([title, seed, *cells]) + " |"


def _text(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _spread(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None]
    if len(known) < len(shares):
        return "-"
    return f"{100 * statistics.mean(known):.1f} ± {100 * statistics.stdev(known):.1f}"
