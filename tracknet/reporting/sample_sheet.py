"""A sheet of stored frames with their labels drawn, each beside a close-up of its ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracknet.reporting.overlays import Image, close_up, labelled, middle_of, sheet, write

_CLOSE_UP = 5.0
_CARD_HEIGHT_PX = 216


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A stored frame and what its label says.

    Attributes:
        key: of the sample.
        split, game, clip: where it belongs.
        visibility: in words, such as `2 hard to see`.
        status: in a word; empty where there is none.
        xy_px: the ball in the stored picture's pixels, `None` where it is absent.
        frame_xy_px: the same in frame pixels.
        image: uint8 RGB `[H, W, 3]`.
        file: the stored image file.
    """

    key: str
    split: str
    game: str
    clip: str
    visibility: str
    status: str
    xy_px: tuple[float, float] | None
    frame_xy_px: tuple[float, float] | None
    image: Image
    file: bytes


def sample_sheet(frames: Sequence[ShownFrame], *, columns: int = 3) -> Image:
    """Frames row by row, each with a ring around its ball and a close-up of it: uint8 RGB."""
    return sheet([_card(frame) for frame in frames], columns=min(columns, len(frames)), gap_px=6)


def _card(frame: ShownFrame) -> Image:
    whole = labelled(frame.image, frame.xy_px, f"{frame.split}  {frame.key}", height_px=_CARD_HEIGHT_PX)
    near = close_up(
        frame.image,
        frame.xy_px or middle_of(frame.image),
        side_px=_CARD_HEIGHT_PX,
        zoom=_CLOSE_UP,
        true_xy_px=frame.xy_px,
        predicted_xy_px=None,
    )
    write(near, " ".join(part for part in (frame.visibility, frame.status) if part))
    return np.concatenate([whole, near], axis=1)
