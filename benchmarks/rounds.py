"""Work timed in turns, so that what else the machine does hits all of it alike."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import time
from collections.abc import Callable


def quietly(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds it takes by the clock and of CPU, its worker processes' included; its progress lines unseen."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        start_s, used_s = time.perf_counter(), cpu_s()
        work()
        return time.perf_counter() - start_s, cpu_s() - used_s


def cpu_s() -> float:
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


class Rounds:
    """Works done one after the other in every round, in turned order in every other.

    On a machine that others use too, the CPU seconds tell more than the clock.
    """

    def __init__(self, works: dict[str, Callable[[], object]], count: int) -> None:
        self.taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for number in range(count):
            for name in list(works)[:: 1 if number % 2 == 0 else -1]:
                self.taken[name].append(quietly(works[name]))

    def clock_s(self, name: str) -> float:
        """The least."""
        return min(clock for clock, _ in self.taken[name])

    def line(self, name: str, per: int, unit: str) -> str:
        scale = 1000 / per if per > 1 else 1
        clock, cpu = ([taken[n] * scale for taken in self.taken[name]] for n in (0, 1))
        return (
            f"{name:32} clock least {min(clock):6.2f} {unit}, median {statistics.median(clock):6.2f}; "
            f"CPU least {min(cpu):6.2f}, median {statistics.median(cpu):6.2f}"
        )

    def ratio(self, over: str, under: str) -> str:
        clock, cpu = (
            [statistics.median(taken[n] for taken in self.taken[name]) for name in (over, under)]
            for n in (0, 1)
        )
        least = self.clock_s(over) / self.clock_s(under)
        least_cpu = min(c for _, c in self.taken[over]) / min(c for _, c in self.taken[under])
        return (
            f"{over} / {under}: clock {least:.3f} of the least, {clock[0] / clock[1]:.3f} of the medians; "
            f"CPU {least_cpu:.3f} and {cpu[0] / cpu[1]:.3f}"
        )
