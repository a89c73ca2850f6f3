"""A video's time stamps as a time that never runs backwards."""

from __future__ import annotations

from tracknet.utils.naming import times

RESTART_S = 1.0
"""A stamp that is further back than this begins a new count; one that is less is a slip of a single frame."""


class ForwardClock:
    """Called with the stamp of each frame, in order, it gives the frame's time.

    Recordings that were joined, and servers that start again, begin to count anew: time then goes on, a frame after
    the last one. A frame whose stamp is a little before the last one's gets the time of that one, and the next frame
    its own again.

    Attributes:
        held: frames that got the time of the one before them.
        restarts: how often the count began anew.
    """

    def __init__(self, frame_rate: float | None) -> None:
        """Begins with the first frame.

        Args:
            frame_rate: frames per second; `None` where unknown: then a frame is as long as the one before.
        """
        self.held = self.restarts = 0
        self._frame_s = 1 / frame_rate if frame_rate else 0.0
        self._known = bool(frame_rate)
        self._added_s = 0.0
        self._last_s: float | None = None

    def __call__(self, stamp_s: float) -> float:
        """The time of the next frame, in seconds, never less than the one before."""
        time_s, last_s = stamp_s + self._added_s, self._last_s
        if last_s is not None:
            if time_s < last_s - RESTART_S:
                self.restarts += 1
                self._added_s += last_s + self._frame_s - time_s
                time_s = last_s + self._frame_s
            elif time_s < last_s:
                self.held += 1
                time_s = last_s
            elif not self._known:
                self._frame_s = time_s - last_s
        self._last_s = time_s
        return time_s

    def notes(self) -> list[str]:
        """What was mended, in words with numbers."""
        notes = []
        if self.restarts:
            notes.append(
                f"its time stamps begin anew {times(self.restarts)}: time_s goes on from the frame before"
            )
        if self.held:
            notes.append(
                f"frames whose time stamp is before the last one's, and that got its time: {self.held:,}"
            )
        return notes
