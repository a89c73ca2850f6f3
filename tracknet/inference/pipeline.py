"""From a source's frames to points: decoding, the model and the caller work side by side.

    thread 1   decode, convert, resize           ->  a few batches of input frames
    thread 2   backbone per frame, windows       ->  two blocks of heatmaps
    caller     points, rows, files

Every queue is bounded, so that memory does not grow with the source. What a frame's points are does not depend on how
frames are cut into batches.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from tracknet.inference.points import PointBlock, read_points
from tracknet.inference.predictor import InputFrame, Predictor
from tracknet.inference.source_contract import FrameSource, StreamLost
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import resize_frame
from tracknet.utils.stages import Stages

_BLOCKS_AHEAD = 2


@dataclass(frozen=True, slots=True)
class FrameRange:
    """The frames `first`, `first + 1`, ... before `end`; all further ones where `end` is `None`."""

    first: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        """Refuses a range without a frame."""
        if self.first < 0 or (self.end is not None and self.end <= self.first):
            first = max(0, self.first)
            raise UserError(
                f"no frame lies in {self}: frames are counted from 0, and the second number is one past the last",
                remedy=f"{first}:{first + 1} is frame {first} alone, {first}: is all from there on",
            )

    @classmethod
    def parse(cls, text: str, named: str = "--frames") -> FrameRange:
        """`A:B`, `A:` or `:B`, as Python's slices without steps and negative numbers.

        Args:
            text: the range.
            named: what it was given as, for messages.

        Raises:
            UserError: it is none of these, or empty.
        """
        match = re.fullmatch(r"(\d*):(\d*)", text.strip())
        if match is None:
            raise UserError(
                f"{named} {text} is no range",
                remedy="write 100:200 for the frames 100 to 199, 100: for all from 100 on",
            )
        first, end = int(match[1] or 0), int(match[2]) if match[2] else None
        return cls(first, end)

    def __contains__(self, number: int) -> bool:
        return self.first <= number and (self.end is None or number < self.end)

    def __str__(self) -> str:
        return f"{self.first}:{'' if self.end is None else self.end}"

    def count_of(self, total: int | None) -> int | None:
        """How many of `total` frames these are; `None` where that is not known."""
        if total is None:
            return None if self.end is None else self.end - self.first
        end = total if self.end is None else min(self.end, total)
        return max(0, end - self.first)


ALL_FRAMES = FrameRange()


def input_frames(
    source: FrameSource, size: Size, wanted: FrameRange = ALL_FRAMES, *, reach: int = 0, images: bool = False
) -> Iterator[InputFrame]:
    """A source's frames at the model's input size, by the resize that also makes the shards. Closes the source.

    Args:
        source: of frames.
        size: of the model's input.
        wanted: the frames asked for.
        reach: frames beyond them that are given as well, so that those asked for come out as if all had been.
        images: hand the frames themselves on as well.
    """
    source.start_at(wanted.first - reach)
    with closing(source):
        for frame in source:
            if frame.number < wanted.first - reach:
                continue
            if wanted.end is not None and frame.number >= wanted.end + reach:
                return
            image = frame.image()
            found = Size(image.shape[1], image.shape[0])
            pixels = resize_frame(image, size)
            kept = image if images else None
            yield InputFrame(frame.number, frame.time_s, pixels, found, frame.number in wanted, kept)


def predict_points(
    source: FrameSource,
    predictor: Predictor,
    wanted: FrameRange = ALL_FRAMES,
    *,
    heatmaps: bool = False,
    images: bool = False,
) -> Generator[PointBlock]:
    """Points of the wanted frames, a block at a time, in order, each once.

    Args:
        source: closed at the end.
        predictor: the model.
        wanted: the frames asked for.
        heatmaps: hand the maps on with the points.
        images: hand the frames themselves on with the points.

    Raises:
        UserError: whatever goes wrong in any stage, here; `RunError` where the source breaks.
        StreamLost: a live source broke; all its frames have come out before.
    """
    size = predictor.model.input_size
    # A live picture is wanted now, not when a batch of them is there.
    depth = 2 if source.live else max(4, 2 * predictor.batch_size)
    lost: list[StreamLost] = []
    with Stages() as stages:
        inputs = input_frames(source, size, wanted, reach=predictor.reach, images=images)
        frames = stages.ahead(_until_lost(inputs, lost), depth=depth)
        for block in stages.ahead(predictor.heatmaps(frames), depth=_BLOCKS_AHEAD):
            points = read_points(
                block, predictor.model.config.heatmap, candidates=predictor.candidates, heatmaps=heatmaps
            )
            if points is not None:
                yield points
        if lost:
            raise lost[0]


def _until_lost(inputs: Iterable[InputFrame], lost: list[StreamLost]) -> Iterator[InputFrame]:
    """Ends where a stream is lost, as where it ends, so that the windows of its last frames are still worked out."""
    try:
        yield from inputs
    except StreamLost as error:
        lost.append(error)
