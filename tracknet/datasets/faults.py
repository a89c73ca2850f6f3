"""What is wrong with the data while it is streamed: each fault named, counted, and stopped at a limit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tracknet.utils.errors import RunError, shorten

# No row is being read.
IDLE = -1


@dataclass(frozen=True, slots=True)
class FrameFault:
    """A frame that could not be had, or was slow to come.

    Attributes:
        kind: `bad`: its window is masked (weights 0, `valid` false, the frame grey); `slow`: nothing is lost.
        row: of the frame table.
        what: names shard and key, and what is wrong.
        cause: what it has in common with other frames, where a whole shard is to blame; a person is told it once.
        remedy: what makes it whole again.
    """

    kind: Literal["bad", "slow"]
    row: int
    what: str
    cause: str = ""
    remedy: str = ""

    @classmethod
    def bad(cls, row: int, error: RunError) -> FrameFault:
        """A frame that could not be had."""
        return cls(
            "bad", row, error.what, error.cause if isinstance(error, ShardFault) else "", error.remedy or ""
        )


class ShardFault(RunError):
    """A frame cannot be had because its shard is not there, or not the one that was built.

    Attributes:
        cause: the same for all frames of the shard, however often it is asked for; not handed over to another
            process.
    """

    def __init__(
        self, what: str, *, problems: Sequence[str] = (), remedy: str | None = None, cause: str = ""
    ) -> None:
        super().__init__(what, problems=problems, remedy=remedy)
        self.cause = cause


@dataclass
class FaultLog:
    """All faults of a loader so far, each frame once.

    Attributes:
        most_bad: so many bad frames are let pass.
        bad: row -> what is wrong.
        slow: row -> how long it took.
        remedies: what makes the bad ones whole again, each once.
    """

    most_bad: int
    bad: dict[int, str] = field(default_factory=dict)
    slow: dict[int, str] = field(default_factory=dict)
    remedies: list[str] = field(default_factory=list)
    _causes: Counter[str] = field(default_factory=Counter)
    _first_of: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.bad)

    def note(self, fault: FrameFault) -> bool:
        """Counts a fault; false if its frame is known already.

        Raises:
            RunError: there are more bad frames than may be skipped.
        """
        known = self.bad if fault.kind == "bad" else self.slow
        if fault.row in known:
            return False
        known[fault.row] = fault.what
        if fault.kind == "bad":
            cause = fault.cause or fault.what
            self._causes[cause] += 1
            self._first_of.setdefault(cause, fault.what)
            if fault.remedy and fault.remedy not in self.remedies:
                self.remedies.append(fault.remedy)
        if len(self.bad) > self.most_bad:
            # The shard to blame first, not what came last.
            shown = [self._words(cause, count) for cause, count in self._causes.most_common()]
            raise RunError(
                f"{len(self.bad)} bad frames are more than data.loader.max_bad_frames={self.most_bad}",
                problems=shorten(shown),
                remedy=less_bad(self.remedies),
            )
        return True

    def _words(self, cause: str, count: int) -> str:
        """What is shown of a cause. All frames of a shard that cannot be had lack for one reason."""
        first = self._first_of[cause]
        if count == 1:
            return first
        # What was wrong with a fetch is said in other words after each one, and names no frame.
        return f"{first if first.startswith(f'{cause}: ') else cause} ({count} frames so far)"


def less_bad(remedies: Sequence[str]) -> str:
    """What to do against more bad frames than may be skipped, where this would mend them."""
    return "; ".join([*shorten(remedies, 3), "or raise data.loader.max_bad_frames"])


class ReadWatch:
    """What one worker is reading since when, seen by what waits for it, also from another process."""

    def __init__(self, state: npt.NDArray[np.int64], slow_s: float) -> None:
        """Watches.

        Args:
            state: int64 `[2]`, row (-1: none) and start in monotonic ns; may lie in shared memory.
            slow_s: a read of so many seconds is slow.
        """
        self._state = state
        self.slow_s = slow_s
        self.slow: list[tuple[int, float]] = []
        self._state[0] = IDLE

    def begin(self, row: int) -> None:
        """A read starts."""
        self._state[1] = time.monotonic_ns()
        self._state[0] = row

    def end(self) -> None:
        """It ended; it is noted if it was slow."""
        took_s = (time.monotonic_ns() - int(self._state[1])) / 1e9
        if took_s >= self.slow_s:
            self.slow.append((int(self._state[0]), took_s))
        self._state[0] = IDLE


def stalled(state: npt.NDArray[np.int64], slow_s: float) -> tuple[int, float] | None:
    """The row that has been read for at least `slow_s` seconds and still is, and for how long.

    Args:
        state: int64 `[2]` of a `ReadWatch`.
        slow_s: its limit.
    """
    row, since_ns = (int(number) for number in state)
    for_s = (time.monotonic_ns() - since_ns) / 1e9
    return (row, for_s) if row != IDLE and for_s >= slow_s else None
