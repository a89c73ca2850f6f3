"""What an opened container states of its video: rate, length, whether it ends, whether it was cut. It may be wrong."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

_NO_TIMESTAMPS = 0x80
"""FFmpeg's AVFMT_NOTIMESTAMPS."""
_PLAYLISTS = ("hls", "dash")


def rate_of(stream: Any) -> Fraction | None:
    """Frames per second as the header has it; `None` where it says nothing."""
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate else None


def frames_in_length(container: Any, stream: Any, rate: Fraction | None) -> int | None:
    """How many frames fit into the length that a header states; `None` where it states none."""
    if rate is None or _grows(container):
        return None
    # Sound may be longer than the pictures.
    length_s = (
        stream.duration * stream.time_base
        if stream.duration
        else Fraction(container.duration or 0, 1_000_000)
    )
    return round(length_s * rate) or None


def states_no_end(container: Any, stream: Any) -> bool:
    """Whether neither a length in bytes nor one in frames or seconds is stated."""
    if container.format.name == "mpjpeg":  # some cameras state a length, of which they know nothing
        return True
    return (
        length_bytes(container) is None
        and not stream.frames
        and (not container.duration or _grows(container))
    )


def is_playlist(container: Any) -> bool:
    """Whether its pictures lie in other files, any of which may be missing."""
    return container.format.name in _PLAYLISTS


def length_bytes(container: Any) -> int | None:
    """Of a file; `None` where nobody knows it, and of a playlist, whose own length is not that of its pictures."""
    size: int = container.size
    return size if size > 0 and not is_playlist(container) else None


def is_cut_short(container: Any, stream: Any) -> bool:
    """Whether the file ends before its last packet, as its index has it."""
    entries = stream.index_entries
    length = length_bytes(container)
    if not len(entries) or length is None:  # no index, or a stream without an end
        return False
    last = entries[len(entries) - 1]
    return bool(last.pos + last.size > length)


def has_times(container: Any) -> bool:
    """Whether its frames have time stamps; else FFmpeg makes them up, 1/25 s apart."""
    return not container.format.flags & _NO_TIMESTAMPS


def _grows(container: Any) -> bool:
    """Whether a length is that of the fragments of an MP4 that came so far."""
    name = container.format.name
    return length_bytes(container) is None and "mp4" in name.split(",")
