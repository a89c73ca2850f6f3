"""What a video states of itself that a copy must take over, so that it looks, sounds and runs the same."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple


class Colours(NamedTuple):
    """How a video's numbers are meant, in the codes of ITU-T H.273, which FFmpeg uses too; 2 states nothing.

    The range is FFmpeg's: 0 states nothing, 1 limited (16 to 235), 2 full.
    """

    matrix: int = 2
    range: int = 0
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True, slots=True)
class VideoTraits:
    """What a video made from another one takes over from it.

    Attributes:
        time_base: unit of its time stamps in seconds; `None` where it has none.
        frame_rate: frames per second; `None` where unknown.
        colours: as stated; `None` for a picture that never was in a video.
        pixel_aspect: width of a pixel over its height, of the upright picture.
        sound: the file or URL whose sound belongs to it; `None` where there is none.
        start_s: time stamp of the first frame, where `time_s` is 0.
        sound_lost: sound belongs to it, which was gone with the pictures when they were read.
        timeout_s: how long the place that its sound comes from may be silent; `None` for ever.

    """

    time_base: Fraction | None = None
    frame_rate: Fraction | None = None
    colours: Colours | None = None
    pixel_aspect: Fraction = Fraction(1)
    sound: str | None = None
    start_s: Fraction = Fraction(0)
    sound_lost: bool = False
    timeout_s: float | None = None
