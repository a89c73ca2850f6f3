"""A sheet of windows as a training sees them: the picture with its label, and every frame's ball close up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracknet.reporting.overlays import Image, Point, close_up, heat_over, labelled, middle_of, sheet

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
    whole = labelled(picture, window.xy_px, window.caption, height_px=_CARD_HEIGHT_PX)
    centre = window.xy_px or middle_of(picture)

    def near(image: Image, xy_px: Point | None = None) -> Image:
        return close_up(
            image, centre, side_px=_CARD_HEIGHT_PX, zoom=_CLOSE_UP, true_xy_px=xy_px, predicted_xy_px=None
        )

    with_target = near(heat_over(picture, window.target), window.xy_px)
    return np.concatenate([whole, *map(near, window.frames), with_target], axis=1)
