"""How many frames a file holds, found by reading it: its header may claim anything."""

from __future__ import annotations

from pathlib import Path

from tracknet.utils.video import Video
from tracknet.utils.video_container import open_pictures


def count_packets(path: Path, at_most: int | None = None) -> int:
    """How many packets of pictures a file holds: most often its number of frames, at the price of reading it.

    Nothing is decoded. Raises as `Video` does; a file that breaks off is counted so far.

    Args:
        path: a video.
        at_most: above 0; so many are counted, and nothing is read after them; `None` counts all.
    """
    container, stream = open_pictures(path, 1, None)
    from av.error import FFmpegError

    count = 0
    with container:
        try:
            for packet in container.demux(stream):
                count += bool(packet.size and not packet.is_discard)
                if count == at_most:
                    break
        except FFmpegError as error:
            if isinstance(error, OSError) and not isinstance(error, EOFError):
                raise
    return count


def count_frames(path: Path) -> int:
    """How many frames of a file decode: the truth, at the price of decoding it. Raises as `Video` does."""
    with Video(path) as video:
        return sum(1 for _ in video)
