"""Progress of long work with rate and time left: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

SECONDS_BETWEEN_LINES = 5.0


def format_duration(seconds: float) -> str:
    """`8.4 s`, `3:05` (minutes), `2:03:05` (hours)."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """A context that is told of work done and shows it on stderr.

    Args:
        what: the work in a word or two, such as `building`.
        total: how much there is to do; `None` where nobody knows. More may turn out to be.
        unit: what is counted, in the plural.
        line_every_s: least time between two plain lines.
        shown: false where another process shows it.

    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: str,
        *,
        line_every_s: float = SECONDS_BETWEEN_LINES,
        shown: bool = True,
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self._shown = shown
        self.done = 0
        self._line_every_s = line_every_s
        self._bar: RichProgress | None = None
        self._start_s = self._last_line_s = time.monotonic()

    def __enter__(self) -> Progress:
        self._start_s = self._last_line_s = time.monotonic()
        if self._shown and sys.stderr.isatty():
            self._bar = _rich_bar(self.unit)
            self._bar.start()
            self._bar.add_task(self.what, total=self.total, rate="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self.done:
            self._print_line(over=True)

    def advance(self, count: int) -> None:
        """Notes that `count` more units are done."""
        self.done += count
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=self.done, rate=self._rate_words())
        elif time.monotonic() - self._last_line_s >= self._line_every_s and self.done != self.total:
            self._print_line()

    def bytes_counter(self) -> Callable[[int], None]:
        """A function that is told of bytes and advances by whole MB, for a progress whose unit is MB."""
        total = 0

        def count(number: int) -> None:
            nonlocal total
            total += number
            if (whole := total // 1_000_000) > self.done:
                self.advance(whole - self.done)

        return count

    def per_second(self) -> float:
        """Units per second since the start."""
        return self.done / max(time.monotonic() - self._start_s, 1e-9)

    def _print_line(self, *, over: bool = False) -> None:
        """`over`: nothing follows, also where there was less to do than was thought."""
        if not self._shown:
            return
        self._last_line_s = time.monotonic()
        rate = self.per_second()
        done, left = f"{self.done:,}", ""
        if self.total is not None and self.done <= self.total:
            done += f" of {self.total:,}"
            if not over or self.done == self.total:
                left = f", {format_duration((self.total - self.done) / rate if rate else 0.0)} left"
        print(f"{self.what}: {done} {self.unit}, {self._rate_words()}{left}", file=sys.stderr, flush=True)

    def _rate_words(self) -> str:
        rate = self.per_second()
        # A large model on a CPU does less than one frame a second, which is not none.
        return f"{rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"


def _rich_bar(unit: str) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
