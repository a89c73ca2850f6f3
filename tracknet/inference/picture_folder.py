"""Frames of a folder of pictures: which files they are, and which numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from tracknet.datasets.label_csv import FRAME_NAME
from tracknet.inference.source_contract import SourceFrame
from tracknet.utils.errors import RunError, shorten
from tracknet.utils.images import IMAGE_SUFFIXES, ImageError, read_image
from tracknet.utils.naming import counted, natural_key
from tracknet.utils.video_traits import VideoTraits

# Stamps in ms, us or ns for names are no numbers of frames: they
# would make every picture a stretch of its own, and 20 digits overflow int64.
_NUMBERS_END = 1 << 31
_SPAN_OF_FEW, _SPAN_PER_PICTURE = 100_000, 1000


def picture_files(folder: Path) -> list[Path]:
    """A folder's pictures, in natural order; what begins with a dot is none, such as the `._0005.jpg` of macOS."""
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "." and path.is_file()
    ]
    return sorted(files, key=lambda path: natural_key(path.name))


class PictureFolder:
    """A folder's pictures, in natural order.

    Their numbers are those of their names where all are named by number alone (`0042.jpg` is 42), else 0, 1, 2, ...;
    where some are, a note says so.
    Time is the number (from the first) by the frame rate.
    """

    live, repeatable = False, True

    def __init__(self, folder: Path, *, fps: float) -> None:
        self.name = str(folder)
        self._files = files = picture_files(folder)
        if not files:
            raise RunError(f"{folder} holds no pictures ({', '.join(IMAGE_SUFFIXES)})")
        self._fps = fps
        self.traits = VideoTraits(frame_rate=Fraction(fps).limit_denominator(1001))
        self.frame_rate: float | None = fps
        self.stated_frames: int | None = len(files)
        self._numbers, self._counted = _numbers_of(files)
        self._lost: list[str] = []
        self._start = 0

    def start_at(self, number: int) -> None:
        """Pictures of lower numbers are not read."""
        self._start = number

    def __iter__(self) -> Iterator[SourceFrame]:
        first = self._numbers[0]
        for number, path in zip(self._numbers, self._files, strict=True):
            if number < self._start:
                continue
            try:
                picture = read_image(path)
            except (ImageError, OSError) as error:
                self._lost.append(f"{path.name} {error}")
                continue
            time_s = (number - first) / self._fps
            yield SourceFrame(number, time_s, lambda picture=picture: picture)  # type: ignore[misc]

    def notes(self) -> list[str]:
        """Why pictures with numbers were counted, and which could not be read."""
        notes = [] if self._counted is None else [self._counted]
        if not self._lost:
            return notes
        return [
            *notes,
            f"pictures that cannot be read, and have no row: {len(self._lost):,}",
            *shorten(self._lost, 5),
        ]

    def close(self) -> None:
        """Nothing is held."""


def _numbers_of(files: Sequence[Path]) -> tuple[list[int], str | None]:
    """The numbers of pictures, and why they are not those of their names where some have one."""
    named = [FRAME_NAME.fullmatch(path.name) for path in files]
    numbers = [int(match[1]) for match in named if match]
    counted_up = list(range(len(files)))
    if not numbers:
        return counted_up, None
    if len(numbers) < len(files):
        other = files[named.index(None)].name
        return counted_up, f"numbered 0, 1, 2, ... and not by their names: {other} has no number for a name"
    if len(set(numbers)) < len(numbers):
        # Natural order puts the same numbers side by side.
        twice = next(number for number, after in pairwise(numbers) if number == after)
        return counted_up, f"numbered 0, 1, 2, ... and not by their names: two are named {twice}"
    span = max(numbers) - min(numbers)
    if max(numbers) >= _NUMBERS_END or span > max(_SPAN_OF_FEW, _SPAN_PER_PICTURE * len(files)):
        return counted_up, (
            f"numbered 0, 1, 2, ... and not by their names: {min(numbers)} to {max(numbers)} for "
            f"{counted(len(files), 'picture')} are times, not frames"
        )
    return numbers, None
