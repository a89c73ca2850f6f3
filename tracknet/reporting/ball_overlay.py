"""The ball marked on a frame: ring, fading trail, hits and bounces, a heatmap in the corner, a line of text.

Arrays and numbers in, drawing in place. Sizes are those for a frame of 720p, and grow and shrink with the shorter
side, down to what can be seen at 240p. All lines have a dark rim, so that they stand out on white lines and on a dark
crowd alike. The ball itself stays bare: the ring is for looking whether it is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.reporting.overlays import Image, heat_over, write
from tracknet.utils.geometry import Size
from tracknet.utils.images import resize_frame

BALL_RGB = (255, 225, 30)
FILLED_RGB = (90, 220, 255)
EVENT_RGB = {"hit": (255, 120, 40), "bounce": (110, 255, 110)}
_RIM_RGB = (12, 12, 12)
_FRAME_RGB = (200, 200, 200)

# OpenCV draws at fractions of a pixel when coordinates are given in 1/16.
_SHIFT = 4
_USUAL_SIDE_PX = 720
# At 720p most balls are 4 to 12 px wide, streaks of fast ones 20.
_RING_UNITS = 11
# How far a peak of the inset is made to reach beyond itself.
_SPREAD_UNITS = 4
# Capitals of 12 px, where 8 px (a word shrunk with a frame of 360p) could not be read.
_LEAST_TEXT = 0.57
# Beyond, OpenCV's fixed-point coordinates run over; no ball is there.
_FARTHEST_PX = 100_000


class TrailPoint(NamedTuple):
    """Where the ball was.

    Attributes:
        x, y: in pixels of the frame; NaN where it was not seen.
        fade: 0 where it is new, 1 where it has faded away.
        filled: the place was put in between others, not seen.
    """

    x: float
    y: float
    fade: float
    filled: bool = False


def draw_trail(frame: Image, points: Sequence[TrailPoint]) -> None:
    """Draws the way of the ball, in place: broken where it was not seen, dotted where it was put in between.

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        points: oldest first, one of every frame.
    """
    unit = _unit(frame)
    pairs = [
        (old, new)
        for old, new in pairwise(points)
        if _is_place(old.x, old.y) and _is_place(new.x, new.y) and new.fade < 1
    ]
    if not pairs:
        return
    ends = np.array([(point.x, point.y) for pair in pairs for point in pair])
    box = _box(frame, ends, margin_px=6 * unit + 2)
    if box is None:
        return
    left, top, right, bottom = box
    part = frame[top:bottom, left:right]
    layer = np.full_like(part, _RIM_RGB)
    alpha = np.zeros(part.shape[:2], np.uint8)
    for rim in (True, False):
        for old, new in pairs:
            strength = 1 - new.fade
            thick = unit * (1 + 3 * strength)
            opacity = 255 * strength * (0.55 if rim else 0.95)
            colour = FILLED_RGB if old.filled or new.filled else BALL_RGB
            width_px = max(1, round(thick + 1.5 * unit)) + 1 if rim else max(1, round(thick))
            begin, end = _fixed(old.x - left, old.y - top), _fixed(new.x - left, new.y - top)
            if old.filled or new.filled:
                radius = round(max(1.0, width_px / 2) * 2**_SHIFT)
                for place in (begin, end):
                    cv2.circle(alpha, place, radius, opacity, cv2.FILLED, cv2.LINE_AA, _SHIFT)
                    if not rim:
                        cv2.circle(layer, place, radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
            else:
                cv2.line(alpha, begin, end, opacity, width_px, cv2.LINE_AA, _SHIFT)
                if not rim:
                    cv2.line(layer, begin, end, colour, width_px, cv2.LINE_AA, _SHIFT)
    newest = points[-1]
    if _is_place(newest.x, newest.y):  # the ring is for looking into
        centre = _fixed(newest.x - left, newest.y - top)
        cv2.circle(alpha, centre, round(_RING_UNITS * unit * 2**_SHIFT), 0, cv2.FILLED, cv2.LINE_8, _SHIFT)
    _blend(part, layer, alpha[..., None].astype(np.float32) / np.float32(255))


def draw_ball(frame: Image, x: float, y: float, *, filled: bool = False) -> None:
    """Draws a ring around the ball, in place; a thin blue one where the place was put in between others.

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        x: in pixels of the frame; NaN draws nothing.
        y: in pixels of the frame; NaN draws nothing.
        filled: whether the ball was not seen there.
    """
    unit = _unit(frame)
    if filled:
        _ring(frame, x, y, radius_px=9 * unit, rgb=FILLED_RGB, width_px=1.2 * unit)
    else:
        _ring(frame, x, y, radius_px=_RING_UNITS * unit, rgb=BALL_RGB, width_px=max(2, 2.4 * unit))


def draw_event(frame: Image, kind: str, x: float, y: float, fade: float) -> None:
    """Draws a hit or bounce where it happened, in place: a ring that widens and fades, and the word beside it.

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        kind: `hit`, `bounce`, or another word, which is shown as it is.
        x: in pixels of the frame; NaN draws nothing.
        y: in pixels of the frame; NaN draws nothing.
        fade: 0 when it happens, 1 when it has faded away.
    """
    if not _is_place(x, y) or fade >= 1:
        return
    unit = _unit(frame)
    rgb = EVENT_RGB.get(kind, BALL_RGB)
    radius = (16 + 22 * fade) * unit
    text = max(0.62 * unit, _LEAST_TEXT)
    thick = max(1, round(1.6 * unit))
    (wide, high), below = cv2.getTextSize(kind, cv2.FONT_HERSHEY_SIMPLEX, text, thick)
    # Above the ring, where the ball's way and the player seldom are; turned inwards at the frame's edges.
    word_x = min(max(x - wide / 2, 2), max(2, frame.shape[1] - wide - 2))
    beyond = radius + 4 * unit + below
    word_y = y - beyond if y - beyond - high > 0 else y + beyond + high
    corners = np.array([(x - radius, y - radius), (x + radius, y + radius), (word_x, word_y - high),
                        (word_x + wide, word_y + below)])  # fmt: skip
    box = _box(frame, corners, margin_px=4 * unit + 2)
    if box is None:
        return
    left, top, right, bottom = box
    part = frame[top:bottom, left:right]
    drawn = part.copy()
    _ring(drawn, x - left, y - top, radius_px=radius, rgb=rgb, width_px=3 * unit, unit=unit)
    place = (round(word_x - left), round(word_y - top))
    # On a dark plate, since a thin coloured letter with a rim is lost on a coloured court.
    beside = max(2, round(3 * unit))
    above_left = (place[0] - beside, place[1] - high - beside)
    below_right = (place[0] + wide + beside, place[1] + below + beside // 2)
    cv2.rectangle(drawn, above_left, below_right, _RIM_RGB, cv2.FILLED)
    cv2.putText(drawn, kind, place, cv2.FONT_HERSHEY_SIMPLEX, text, rgb, thick, cv2.LINE_AA)
    _blend(part, drawn, np.float32(1 - fade**2))


def draw_inset(frame: Image, heatmap: npt.NDArray[np.floating]) -> None:
    """Draws the frame once more, small, dark and under the heatmap's glow, into the upper right corner, in place.

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        heatmap: `[h, w]`, 0..1, of the whole frame; the inset has its shape.
    """
    height, width = frame.shape[:2]
    rows, columns = heatmap.shape
    scale = min(0.28 * width / columns, 0.4 * height / rows)
    small = Size(round(scale * columns), round(scale * rows))
    gap = round(8 * _unit(frame))
    if min(small) < 8:  # a frame of a few pixels has no room
        return
    # Grey and dark, for the glow is the only colour in it.
    ground = cv2.cvtColor(resize_frame(frame, small) // 3, cv2.COLOR_RGB2GRAY)
    glow = _glow(heatmap, spread_cells=_SPREAD_UNITS * _unit(frame) / scale)
    inset = heat_over(np.repeat(ground[..., None], 3, axis=2), glow, strength=1.0)
    right = width - gap
    frame[gap : gap + small.height, right - small.width : right] = inset
    cv2.rectangle(frame, (right - small.width, gap), (right - 1, gap + small.height - 1), _FRAME_RGB, 1)


def draw_text(frame: Image, text: str) -> None:
    """Writes a line into the upper left corner, in place, on a dark box."""
    write(frame, text, scale=1.3 * max(_unit(frame), 0.92))


def _glow(heatmap: npt.NDArray[np.floating], *, spread_cells: float) -> npt.NDArray[np.float32]:
    """A heatmap as it is to be seen: `[h, w]`, 0..1.

    A ball of 4 px is a peak of some 5 cells, which is lost in a picture of 358x201; so all cells are as bright as
    the highest around them. And the root, since a score of 0.2 is worth seeing: it shows as 0.45, while the ground
    (0.015 in real maps) stays at 0.12, dark violet and nearly transparent.
    """
    reach = max(1, math.ceil(spread_cells))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    spread = cv2.dilate(np.clip(heatmap, 0, 1).astype(np.float32), around)
    return np.asarray(np.sqrt(spread), np.float32)


def _unit(frame: Image) -> float:
    # At 240p the ring has a radius of 6 px: less is not seen as a ring.
    return max(0.55, float(min(frame.shape[:2])) / _USUAL_SIDE_PX)


def _is_place(x: float, y: float) -> bool:
    return math.isfinite(x) and math.isfinite(y) and max(abs(x), abs(y)) < _FARTHEST_PX


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(x * 2**_SHIFT), round(y * 2**_SHIFT)


def _ring(
    frame: Image,
    x: float,
    y: float,
    *,
    radius_px: float,
    rgb: tuple[int, int, int],
    width_px: float,
    unit: float | None = None,
) -> None:
    if not _is_place(x, y):
        return
    unit = _unit(frame) if unit is None else unit
    radius, line = round(radius_px * 2**_SHIFT), max(1, round(width_px))
    for ink, thick in ((_RIM_RGB, line + 2 * max(1, round(unit))), (rgb, line)):
        cv2.circle(frame, _fixed(x, y), radius, ink, thick, cv2.LINE_AA, _SHIFT)


def _box(
    frame: Image, points: npt.NDArray[np.floating], margin_px: float
) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom (beyond) of the part of the frame that holds the points; None where none does."""
    height, width = frame.shape[:2]
    left, top = np.floor(np.maximum(points.min(axis=0) - margin_px, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(points.max(axis=0) + margin_px, (width, height))).astype(int)
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def _blend(part: Image, layer: Image, alpha: npt.NDArray[np.float32] | np.float32) -> None:
    """Lays `layer` over `part`, in place, with an opacity of 0..1."""
    mixed = part + (layer.astype(np.float32) - part) * alpha
    part[:] = np.round(mixed).astype(np.uint8)
