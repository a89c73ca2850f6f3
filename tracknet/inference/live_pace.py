"""Whether a live source is read as fast as it comes, and what to say where the model is slower.

What a model cannot keep up with waits or is lost where nobody sees it: a camera's driver and a UDP socket drop
pictures, a TCP connection keeps them waiting until the sender gives up. The results look as if nothing were wrong: a
row for every picture that was read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from tracknet.inference.predictor import DEFAULT_BATCH
from tracknet.inference.source_contract import FrameSource, SourceFrame
from tracknet.utils.progress import format_duration

SPAN_S = 5.0
"""Judged at once: much longer than what a sender sends ahead or holds back for a moment."""
TELL_EVERY_S = 60.0
"""Least time from one line to the next."""
# Rates in headers are rounded, and pictures come unevenly.
_KEEPS_UP = 0.95


def paced(source: FrameSource, *, batch_size: int, say: Callable[[str], None]) -> FrameSource:
    """The source, watched as `PacedSource` does where it is live."""
    return PacedSource(source, batch_size=batch_size, say=say) if source.live else source


class PacedSource:
    """A live source whose pace is watched.

    Over spans of 5 s two things are measured: for which part of the time the source had to wait for whoever takes its
    frames, and how many of its frames came. Where it waited for more than half of the time, and where fewer frames than
    its rate came, the model is the slower one. A source that rests, or sends little, is waited for; and one that first
    sends what it had kept (HLS) gives more than its rate. The first span is not judged: a model's first frames take
    longer, while libraries are loaded.
    """

    def __init__(
        self,
        source: FrameSource,
        *,
        batch_size: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is read yet.

        Args:
            source: live; closed with this one.
            batch_size: windows at once, as the model is used: a remedy where it is small.
            say: takes a line for the person watching, where the model is slower, at most once a minute.
            clock: seconds that pass.
        """
        self.name, self.frame_rate, self.traits = source.name, source.frame_rate, source.traits
        self.stated_frames, self.live, self.repeatable = source.stated_frames, source.live, source.repeatable
        self._source, self._batch_size, self._say, self._clock = source, batch_size, say, clock
        self._told_s = -math.inf
        # By the source's own times; of pictures that have none, whose time is when they are read, it stays 0.
        self._late_s, self._least_late_s = 0.0, math.inf
        self._slow_s, self._slow_frames = 0.0, 0

    def start_at(self, number: int) -> None:
        """Is handed on."""
        self._source.start_at(number)

    def __iter__(self) -> Iterator[SourceFrame]:
        span: _Span | None = None
        warm = False
        for frame in self._source:
            came_s = self._clock()
            span = span or _Span(came_s)
            self._least_late_s = min(self._least_late_s, came_s - frame.time_s)
            self._late_s = came_s - frame.time_s - self._least_late_s
            yield frame
            now_s = self._clock()
            span.held_s += now_s - came_s
            span.frames += 1
            if now_s - span.begun_s >= SPAN_S:
                if warm and self._too_slow(span, now_s):
                    self._note(span, now_s)
                span, warm = _Span(now_s), True

    def notes(self) -> list[str]:
        """Those of the source, and for how long the model was slower."""
        notes = self._source.notes()
        if self._slow_s:
            notes.append(self._words(self._slow_frames, self._slow_s, "at the end"))
        return notes

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def _too_slow(self, span: _Span, now_s: float) -> bool:
        passed_s = now_s - span.begun_s
        fewer = self.frame_rate is None or span.frames < _KEEPS_UP * self.frame_rate * passed_s
        return fewer and span.held_s > passed_s / 2

    def _note(self, span: _Span, now_s: float) -> None:
        passed_s = now_s - span.begun_s
        self._slow_s += passed_s
        self._slow_frames += span.frames
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._say(f"{self.name}: {self._words(span.frames, passed_s, 'now')}")

    def _words(self, frames: int, seconds: float, when: str) -> str:
        rate = "" if self.frame_rate is None else f" of its {self.frame_rate:.4g}"
        late = f", {format_duration(self._late_s)} behind it {when}" if self._late_s >= 1 else ""
        batch = f", --batch {DEFAULT_BATCH} (batch_size)" if self._batch_size < DEFAULT_BATCH else ""
        return (
            f"for {format_duration(seconds)} the model was slower than the stream: {frames / seconds:,.1f}{rate} "
            f"frames/s were done{late}; what it cannot keep up with waits or is lost. "
            f"A smaller model{batch} or a faster --device may keep up"
        )


class _Span:
    """A few seconds: when they began, for how long the source was not asked for a frame in them, and its frames."""

    def __init__(self, begun_s: float) -> None:
        self.begun_s, self.held_s, self.frames = begun_s, 0.0, 0
