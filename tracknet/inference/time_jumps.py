"""Places where a playlist's time jumps: FFmpeg passes over a part that cannot be had, and says so to nobody.

What its stamps cannot show: a part lost at the beginning or the end, or before a place where they begin anew. And a
pause in the recording itself looks the same.
"""

from __future__ import annotations

from tracknet.utils.naming import counted, times

_LEAST_S = 0.5
"""Parts are seconds long; pictures that come unevenly are rarely half a second apart."""
_LEAST_FRAMES = 5
_TOLD = 5


class TimeJumps:
    """Called with the time of each frame, in order, it counts what is missing between them.

    Attributes:
        count: of places.
        missing_frames: that would have fitted into all of them, as the frame rate says.
    """

    def __init__(self, frame_rate: float | None) -> None:
        """Begins with the first frame.

        Args:
            frame_rate: frames per second; where it is unknown (`None`), nothing is found.
        """
        self.count = self.missing_frames = 0
        self._frame_rate = frame_rate
        self._last_s: float | None = None
        self._places: list[str] = []

    def __call__(self, time_s: float) -> None:
        """Looks at the time of the next frame, in seconds, not less than the one before."""
        last_s, self._last_s = self._last_s, time_s
        if last_s is None or self._frame_rate is None:
            return
        missing = round((time_s - last_s) * self._frame_rate) - 1
        if missing >= max(_LEAST_FRAMES, _LEAST_S * self._frame_rate - 1):
            self.count += 1
            self.missing_frames += missing
            if self.count <= _TOLD:
                self._places.append(f"after {last_s:.3f} s ({counted(missing, 'frame')})")

    def notes(self) -> list[str]:
        """What is missing and where, in words with numbers."""
        if not self.count:
            return []
        later = f" and {times(self.count - _TOLD)} later" if self.count > _TOLD else ""
        return [
            f"its time stamps jump {times(self.count)}, over about {counted(self.missing_frames, 'frame')}: "
            f"{', '.join(self._places)}{later}; parts that its playlist lists could not be had, or the recording "
            "paused: time_s is right, frame counts on as if nothing were missing"
        ]
