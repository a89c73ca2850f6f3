"""A sheet of windows as a training sees them: the picture with its label, and every frame's ball close up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tracknet.reporting.overlays import (
    TRUTH_RGB,
    Image,
    Point,
    close_up,
    heat_over,
    mark,
    moved,
    sheet,
    write,
)
from tracknet.utils.geometry import Size, scaling

_CARD_HEIGHT_PX = 216
_CLOSE_UP = 5.0


@dataclass(frozen=True, slots=True)
class ShownWindow:
    """A window as it comes out of the loader.

    Attributes:
        caption: whatever tells it from others.
        frames: T pictures, uint8 RGB `[H, W, 3]`.
        anchor: which of them the label is of.
        xy_px: the ball in that picture's pixels, `None` where it is absent.
        target: `[h, w]`, the heatmap to be learned.
    """

    caption: str
    frames: Sequence[Image]
    anchor: int
    xy_px: Point | None
    target: np.ndarray[tuple[int, ...], np.dtype[np.floating]]


def window_sheet(windows: Sequence[ShownWindow], *, columns: int = 2) -> Image:
    """Windows row by row: uint8 RGB.

    Each is its anchor frame with a ring around the ball, the same part of all frames magnified with nothing drawn over
    it, and that part of the anchor frame with ring and target.
    """
    return sheet([_card(window) for window in windows], columns=min(columns, len(windows)), gap_px=6)


def _card(window: ShownWindow) -> Image:
    picture = window.frames[window.anchor]
    height, width = picture.shape[:2]
    scale = _CARD_HEIGHT_PX / height
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    whole = np.asarray(
        cv2.resize(picture, (round(width * scale), _CARD_HEIGHT_PX), interpolation=how), np.uint8
    )
    centre = window.xy_px or ((width - 1) / 2, (height - 1) / 2)
    mark(
        whole,
        moved(scaling(Size(width, height), Size(whole.shape[1], whole.shape[0])), window.xy_px),
        TRUTH_RGB,
        radius_px=7,
    )
    write(whole, window.caption)

    def near(image: Image, xy_px: Point | None = None) -> Image:
        return close_up(
            image, centre, side_px=_CARD_HEIGHT_PX, zoom=_CLOSE_UP, true_xy_px=xy_px, predicted_xy_px=None
        )

    labelled = near(heat_over(picture, window.target), window.xy_px)
    return np.concatenate([whole, *map(near, window.frames), labelled], axis=1)
