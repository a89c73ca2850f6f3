"""What a dataset is, as lines for a terminal; the figures come from `datasets.statistics` and `datasets.duplicates`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracknet.utils.naming import listed, times

Figures = Mapping[str, Any]
_FEW_ABSENT, _MANY_ABSENT = 0.001, 0.9
_LISTED = 8


def dataset_text(figures: Figures, repeats: Figures) -> str:
    """The figures in a screenful."""
    totals = figures["totals"]
    origin = ", made elsewhere" if figures["made_elsewhere"] else ""
    width, height = figures["image_size"]
    lines = [
        f"{figures['folder']}: build {figures['build_id'][:12]}{origin}, {totals['frames']:,} frames stored at "
        f"{width}x{height} in {totals['shards']:,} shards, {totals['bytes'] / 1e6:,.1f} MB",
        "  split   games  clips   frames  shards       size  frames of",
    ]
    for split, part in figures["splits"].items():
        lines.append(
            f"  {split:<6}{len(part['games']):>7,}{part['clips']:>7,}{part['frames']:>9,}{part['shards']:>8,}"
            f"{part['bytes'] / 1e6:>8,.1f} MB  {', '.join(part['source_sizes'])}"
        )
    lines += ["", f"  visibility{'0 absent':>15}{'1 clear':>17}{'2 hard':>17}{'3 occluded':>17}"]
    for split, part in figures["splits"].items():
        shares = [_share(part["visibility"][code], part["frames"]) for code in "0123"]
        lines.append(f"  {split:<6}  " + "".join(f"{share:>17}" for share in shares))
    lines += ["", f"  status    {'flying':>15}{'hit':>17}{'bounce':>17}{'none':>17}"]
    for split, part in figures["splits"].items():
        shares = [
            _share(part["status"][name], part["frames"]) for name in ("flying", "hit", "bounce", "none")
        ]
        lines.append(f"  {split:<6}  " + "".join(f"{share:>17}" for share in shares))
    lines += [
        "",
        "  ball, frame px per frame  median     p90     p99     max   faster than a quarter of the width",
    ]
    for split, part in figures["splits"].items():
        speed = part["ball_speed_px_per_frame"]
        cells = "".join(f"{_number(speed[name]):>8}" for name in ("median", "p90", "p99", "max"))
        count = speed["suspicious"]["count"]
        lines.append(f"  {split:<24}{cells}   {_share(count, speed['pairs'])}")
    lines += ["", *_repeat_lines(repeats)]
    return "\n".join(lines)


def dataset_warnings(figures: Figures, repeats: Figures) -> Iterator[str]:
    """What to look at before training on it."""
    yield from figures["leakage"]
    across = repeats["across_splits"]
    if across["found"]:
        pairs = ", ".join(" = ".join(pair) for pair in across["first"][:3])
        yield (
            f"{across['found']:,} of {across['frames_sought']:,} frames sought are near-identical to a frame of "
            f"another split: {pairs}"
        )
    games_of: dict[int, list[str]] = {}
    for game, found in repeats["games"].items():
        if found["period"]:
            games_of.setdefault(found["period"], []).append(game)
    for period, games in games_of.items():
        yield (
            f"every {_ordinal(period)} frame repeats the one before it in {listed(games, _LISTED)}: video shown at "
            "another rate than it was filmed at. The ball stands still there and then jumps, and these frames "
            "count twice"
        )
    copies = figures["duplicates"]["same_source"]
    if copies["groups"]:
        example = " = ".join(copies["first"][0])
        yield f"{copies['frames']:,} frames are made from files of the same bytes as another, such as {example}"
    for split, part in figures["splits"].items():
        speed = part["ball_speed_px_per_frame"]["suspicious"]
        if speed["count"]:
            yield f"{split}: the ball jumps by more than a quarter of the width {_to(speed)}: check these labels"
        if part["labels_outside"]["count"]:
            yield f"{split}: the label lies outside of the picture {_to(part['labels_outside'])}"
        if part["missing_frames"]:
            yield f"{split}: clips lack {part['missing_frames']:,} frames between their first and last"
        if part["absent_share"] < _FEW_ABSENT or part["absent_share"] > _MANY_ABSENT:
            yield (
                f"{split}: {part['absent_share']:.1%} of the frames have no ball, so that "
                + (
                    "false alarms cannot be measured"
                    if part["absent_share"] < 0.5
                    else "there is little to find"
                )
            )


def _repeat_lines(repeats: Figures) -> Iterator[str]:
    compared, pairs = repeats["pairs_compared"], repeats["of_pairs"]
    how = (
        f"all {pairs:,} pairs"
        if compared == pairs
        else f"a sample of {compared:,} of {pairs:,} pairs; --duplicates takes all"
    )
    yield f"  near-identical to the frame before: {_share(repeats['near_identical'], compared)}, in {how}"


def _share(count: int, of: int) -> str:
    return f"{count:,} ({count / of:.1%})" if of else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _ordinal(number: int) -> str:
    last = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 < number % 100 < 14 else last}"


def _to(some: Figures) -> str:
    return f"{times(some['count'])}, such as at {', '.join(some['first'][:3])}"
