"""What the stream benchmark reports: its cases by name, its goals, and the tables of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from tracknet.utils.geometry import Size

FLOOR = "cv2 decode alone, one core"
OURS = "ours"
AUGMENTED = f"{OURS}, augmented"
AUGMENTED_IN_RUNS = f"{AUGMENTED} with data.augment.warp_prob=1 and per=run"
ALL_WARPED = f"{AUGMENTED} with data.augment.warp_prob=1"
LEFT_TO_DEVICE = f"{AUGMENTED} on the device (pixels left to it)"
STOCK = f"{OURS}, torch's own workers"
PROCESSES = f"{OURS}, processes"
WEBDATASET = "WebDataset, windows stored T times"
RAW = "raw frames, full decode"
# Of a case that is measured: name, size, T, workers.
Key = tuple[str, Size, int, int]


@dataclass
class Figures:
    """Of one case, a value a round."""

    rates: list[float]
    first_s: list[float]
    cpu_us: list[float]


@dataclass(frozen=True)
class Goal:
    """A ratio that is to be reached: of ours with (T, workers) to another case."""

    length: int
    workers: int
    against: str
    least: float


GOALS = (
    Goal(1, 0, FLOOR, 0.9),
    Goal(1, 2, FLOOR, 1.4),
    Goal(3, 2, WEBDATASET, 3.0),
    Goal(5, 2, WEBDATASET, 4.0),
    Goal(3, 2, RAW, 6.0),
    Goal(3, 2, AUGMENTED, 1.0),
    Goal(3, 2, ALL_WARPED, 1.0),
    Goal(3, 2, AUGMENTED_IN_RUNS, 1.0),
    Goal(3, 2, LEFT_TO_DEVICE, 1.0),
)


def note(figures: dict[Key, Figures], key: Key, measured: tuple[float, float, float]) -> None:
    """Adds a round's rate, time to the first batch, and processor time."""
    of_case = figures.setdefault(key, Figures([], [], []))
    for values, value in zip((of_case.rates, of_case.first_s, of_case.cpu_us), measured, strict=True):
        values.append(value)


def ratio(figures: dict[Key, Figures], one: Key, other: Key) -> float:
    pairs = zip(figures[one].rates, figures[other].rates, strict=True)
    return statistics.median(a / b for a, b in pairs)


def tables(figures: dict[Key, Figures]) -> Iterator[str]:
    """A table for every size: a row a case, a column for each T and number of workers."""
    for size in dict.fromkeys(key[1] for key in figures):
        columns = list(dict.fromkeys(key[2:] for key in figures if key[1] == size))
        names = dict.fromkeys(key[0] for key in figures if key[1] == size)
        yield f"## {size}: windows/s (ours / this)"
        yield ""
        yield "| | " + " | ".join(f"T={length}, {workers} w" for length, workers in columns) + " |"
        yield "|---" * (len(columns) + 1) + "|"
        for name in names:
            cells = [_cell(figures, (name, size, *column), (OURS, size, *column)) for column in columns]
            yield f"| {name} | " + " | ".join(cells) + " |"
        for name in names:
            keys = [(name, size, *column) for column in columns]
            cells = [f"{min(figures[key].cpu_us):,.0f}" if key in figures else "" for key in keys]
            yield f"| processor us a window: {name} | " + " | ".join(cells) + " |"
        first = [max(figures[(OURS, size, *column)].first_s) for column in columns]
        yield (
            "| first batch of ours, s (slowest round) | "
            + " | ".join(f"{value:.2f}" for value in first)
            + " |"
        )
        yield ""


def _cell(figures: dict[Key, Figures], key: Key, ours: Key) -> str:
    if key not in figures:
        return ""
    best = f"{max(figures[key].rates):,.0f}"
    return best if key == ours else f"{best} ({ratio(figures, ours, key):.2f})"


def goals(figures: dict[Key, Figures]) -> Iterator[str]:
    """What was to be reached."""
    yield "## Goals"
    yield ""
    yield "| ours | against | goal | measured |"
    yield "|---|---|---|---|"
    for size in dict.fromkeys(key[1] for key in figures):
        for goal in GOALS:
            column = (size, goal.length, goal.workers)
            if (goal.against, *column) not in figures:
                continue
            measured = ratio(figures, (OURS, *column), (goal.against, *column))
            where = f"{size}, T={goal.length}, {goal.workers} workers"
            by_cpu = _cpu_ratio(figures, column, goal.against)
            if goal.against.startswith(AUGMENTED):
                what = f"what augmentation costs ({goal.against})"
                cost, of_cpu = (f"{100 * (1.0 - 1.0 / slower):.0f} %" for slower in (measured, by_cpu))
                yield f"| {where} | {what} | under 30 % | {cost} ({of_cpu} of the processor time) |"
                continue
            text = f"{measured:.2f}"
            if goal.against == FLOOR and not goal.workers:
                text += f" ({by_cpu:.2f} by processor time)"
            yield f"| {where} | {goal.against} | at least {goal.least:g} | {text} |"
    yield ""


def _cpu_ratio(figures: dict[Key, Figures], column: tuple[Size, int, int], against: str) -> float:
    """How much more processor time another case takes for a window: a busy machine changes it less than the rates."""
    other, ours = (min(figures[(name, *column)].cpu_us) for name in (against, OURS))
    return other / ours


def parts_table(parts: dict[Size, dict[str, float]]) -> Iterator[str]:
    """The single parts."""
    yield "## What the parts cost, microseconds of processor time"
    yield ""
    yield "| | " + " | ".join(map(str, parts)) + " |"
    yield "|---" * (len(parts) + 1) + "|"
    for name in next(iter(parts.values())):
        yield f"| {name} | " + " | ".join(f"{of_size[name]:,.0f}" for of_size in parts.values()) + " |"
