"""What every source of frames gives, whatever it reads them from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tracknet.utils.errors import RunError
from tracknet.utils.images import RGBImage
from tracknet.utils.video_traits import VideoTraits


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame that can be had.

    Attributes:
        number: in the source, from 0. A number left out is a frame that cannot be had: no window reaches over it.
        time_s: since the first frame; never less than that of the frame before.
        image: decodes: the upright picture, RGB `uint8 [H, W, 3]`, of any size.
    """

    number: int
    time_s: float
    image: Callable[[], RGBImage]


class StreamLost(RunError):
    """A live source gives no more, and not because it ended. What it gave cannot be had again."""


class FrameSource(Protocol):
    """Frames in order, each once. Iterate over it once; close it, or use `contextlib.closing`.

    Attributes:
        name: as messages may show it, without passwords.
        stated_frames: how many there should be; `None` where nobody knows. A guess.
        live: it goes on for ever, and is late if it is not read as fast as it comes.
        frame_rate: frames per second as stated; `None` where unknown.
        repeatable: it can be opened again and is the same then.
        traits: what a video made from it takes over.
    """

    name: str
    stated_frames: int | None
    live: bool
    frame_rate: float | None
    repeatable: bool
    traits: VideoTraits

    def __iter__(self) -> Iterator[SourceFrame]: ...

    def start_at(self, number: int) -> None:
        """Says, before the iteration, that frames before `number` are not wanted.

        A source that has to read them on its way to `number` gives them all the same.
        """
        ...

    def notes(self) -> list[str]:
        """What was wrong with what has been read so far, in words with numbers; empty where nothing was."""
        ...

    def close(self) -> None:
        """Lets go of files and devices; harmless when repeated."""
        ...
