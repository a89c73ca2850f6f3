"""A sheet of stored frames with their labels drawn, each beside a close-up of its ball."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracknet.reporting.overlays import TRUTH_RGB, Image, mark, sheet, write

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
    height, width = frame.image.shape[:2]
    scale = _CARD_HEIGHT_PX / height
    size = (round(width * scale), _CARD_HEIGHT_PX)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = np.asarray(cv2.resize(frame.image, size, interpolation=how), np.uint8)
    # Without a ball the close-up shows the middle of the picture.
    x, y = frame.xy_px or ((width - 1) / 2, (height - 1) / 2)
    middle = (_CARD_HEIGHT_PX - 1) / 2
    matrix = np.array([[_CLOSE_UP, 0, middle - _CLOSE_UP * x], [0, _CLOSE_UP, middle - _CLOSE_UP * y]])
    close_up = np.asarray(cv2.warpAffine(frame.image, matrix, (_CARD_HEIGHT_PX, _CARD_HEIGHT_PX)), np.uint8)
    if frame.xy_px is not None:
        mark(picture, ((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5), TRUTH_RGB, radius_px=7)
        mark(close_up, (middle, middle), TRUTH_RGB, radius_px=24)
    # OpenCV's letters are ASCII; it draws question marks for others.
    write(picture, f"{frame.split}  {frame.key}")
    write(close_up, " ".join(part for part in (frame.visibility, frame.status) if part))
    return np.concatenate([picture, close_up], axis=1)
