"""A ball lifted off its picture, by what a picture without it shows in its place.

A ball of 2 to 6 px is mostly mixed pixels: cut out with a soft mask it carries a ring of its old background along,
which a network sees sooner than the ball. So it is taken for one colour F with a cover `a`, mixed with the background
B that a frame of the same clip shows where the ball is elsewhere: `I = a F + (1 - a) B` is solved for `a` in every
pixel (least squares over the channels), and put down as `a F + (1 - a) T` on any other background T. Moves are by
whole pixels and mirrorings alone: nothing is resampled, and a label stays as exact as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.datasets.line_blur import line_kernel

Frame = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Corner = tuple[int, int]

# Grey levels of 255. The noise of a broadcast's own compression is about 5; a ball below 24 is hard to see for anyone.
_LEAST_CONTRAST = 24.0
_NOISE = 10.0
# Of a ball's contrast: its faint edge is above this.
_EDGE = 0.2
# Nine tenths of the rim around a ball must be alike in both pictures, or something else has moved there.
_RIM_PX = 2
_RIM_LEVELS = 20.0
_CROSS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Sprite:
    """A ball without its background.

    Attributes:
        cover: float32 `[h, w]`, 0..1.
        colour: float32 `[3]`, RGB, 0..255.
        label: (x, y) of its label from the sprite's first pixel, input pixels.
        corner: (column, row) of its first pixel on the picture.
        brighter: it was brighter than what was behind it.
    """

    cover: Floats
    colour: Floats
    label: tuple[float, float]
    corner: Corner
    brighter: bool

    @property
    def place(self) -> tuple[float, float]:
        """Where the label is, input pixels."""
        return self.corner[0] + self.label[0], self.corner[1] + self.label[1]

    def mirrored(self, *, x: bool, y: bool) -> Sprite:
        """Its mirror image about the first column, the first row, or both: its place is `-x`, `-y` then."""
        (column, row), (height, width) = self.corner, self.cover.shape
        cover, label, corner = self.cover, self.label, self.corner
        if x:
            cover, label, corner = (
                cover[:, ::-1],
                (width - 1 - label[0], label[1]),
                (1 - width - column, corner[1]),
            )
        if y:
            cover, label, corner = (
                cover[::-1],
                (label[0], height - 1 - label[1]),
                (corner[0], 1 - height - row),
            )
        return replace(self, cover=np.ascontiguousarray(cover), label=label, corner=corner)

    def moved(self, dx: int, dy: int) -> Sprite:
        """The same elsewhere."""
        return replace(self, corner=(self.corner[0] + dx, self.corner[1] + dy))

    def streaked(self, dx: float, dy: float, *, trailing: bool) -> Sprite:
        """As a longer exposure shows it, while it moved by (dx, dy) pixels; see `line_kernel`."""
        kernel = line_kernel(dx, dy, trailing=trailing)
        reach = len(kernel) // 2
        wide = cv2.copyMakeBorder(self.cover, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
        return replace(
            self,
            cover=np.asarray(cv2.filter2D(wide, -1, kernel, borderType=cv2.BORDER_CONSTANT), np.float32),
            label=(self.label[0] + reach, self.label[1] + reach),
            corner=(self.corner[0] - reach, self.corner[1] - reach),
        )

    def shows_on(self, frame: Frame) -> bool:
        """Whether it would stand out from a picture in its place, as much as a ball must to be lifted.

        And to the same side: the grey of a white ball that a dark background shines through is no dark ball.
        """
        here, own = overlap(frame, self.cover.shape, self.corner)
        change = self.cover[own][..., None] * (self.colour - frame[here].astype(np.float32))
        same_side = (change.mean(axis=2) > 0) == self.brighter
        return bool((same_side & (np.abs(change).max(axis=2) >= _LEAST_CONTRAST)).any())

    def put_down(self, frame: Frame) -> None:
        """Paints it over a picture, in its place; what lies beyond the picture is left out."""
        here, own = overlap(frame, self.cover.shape, self.corner)
        blend(frame, here, self.colour, self.cover[own])


def lift(
    frame: Frame, background: Frame, point: tuple[float, float], *, reach: int, ball_px: float
) -> Sprite | None:
    """The ball at a point of a frame.

    Args:
        frame: uint8 RGB `[H, W, 3]`.
        background: of the same size, from the same camera, without a ball there.
        point: the label, input pixels.
        reach: how many pixels around the label to look; a ball that is cut off there is none.
        ball_px: diameter of a usual ball, input pixels: as far from its label a ball's brightest spot may be.

    Returns:
        The ball; `None` where there is no spot that stands out, or more than a ball has changed.
    """
    side = 2 * reach + 1
    patch, _ = overlap(frame, (side, side), (round(point[0]) - reach, round(point[1]) - reach))
    y0, x0 = patch[0].start, patch[1].start
    seen, behind = frame[patch].astype(np.float32), background[patch].astype(np.float32)
    change = seen - behind
    levels = np.abs(change).max(axis=2)
    rim = np.ones(levels.shape, bool)
    rim[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX] = False
    if float(np.quantile(levels[rim], 0.9)) > _RIM_LEVELS:
        return None
    label = (point[0] - x0, point[1] - y0)
    ys, xs = np.mgrid[: levels.shape[0], : levels.shape[1]]
    near = np.hypot(xs - label[0], ys - label[1]) <= max(1.5, ball_px / 2)
    brightest = int(np.where(near, levels, -1.0).argmax())
    contrast = float(levels.flat[brightest])
    if contrast < _LEAST_CONTRAST:
        return None
    spot = _connected(levels > max(_NOISE, _EDGE * contrast), brightest)
    if spot[0].any() or spot[-1].any() or spot[:, 0].any() or spot[:, -1].any():
        return None
    core = spot & (levels >= 0.8 * contrast)
    colour = seen[core].mean(axis=0)
    across = colour - behind
    mixed = (change * across).sum(axis=2) / np.maximum((across * across).sum(axis=2), _LEAST_CONTRAST**2)
    cover = np.where(cv2.dilate(spot.astype(np.uint8), _CROSS) > 0, np.clip(mixed, 0.0, 1.0), 0.0)
    return Sprite(
        cover.astype(np.float32), colour.astype(np.float32), label, (x0, y0), bool(across[core].mean() > 0)
    )


def erase(frame: Frame, background: Frame, ball: Sprite) -> None:
    """Shows the background where a ball was lifted, in place, with a soft edge."""
    here, own = overlap(frame, ball.cover.shape, ball.corner)
    around = cv2.dilate((ball.cover > 0).astype(np.float32), _CROSS, iterations=2)
    soft = np.asarray(cv2.blur(around, (3, 3)), np.float32)
    blend(frame, here, background[here].astype(np.float32), soft[own])


def blend(frame: Frame, here: tuple[slice, slice], over: Floats, cover: Floats) -> None:
    """Mixes `cover` `[h, w]` of `over`, `[h, w, 3]` or one colour, into a part of a picture, in place."""
    under = frame[here].astype(np.float32)
    frame[here] = np.round(under + cover[..., None] * (over - under)).astype(np.uint8)


def _connected(mask: npt.NDArray[np.bool_], cell: int) -> npt.NDArray[np.bool_]:
    """What hangs together with a cell of a mask, by sides or corners."""
    _, parts = cv2.connectedComponents(mask.astype(np.uint8))
    return np.asarray((parts == parts.flat[cell]) & mask)


def overlap(
    frame: Frame, shape: tuple[int, ...], corner: Corner
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The part of a picture that a patch, its first pixel at a corner, covers; and the part of the patch that does."""
    (column, row), (height, width) = corner, shape
    left, top = max(0, column), max(0, row)
    right, bottom = min(frame.shape[1], column + width), min(frame.shape[0], row + height)
    right, bottom = max(left, right), max(top, bottom)
    return (
        (slice(top, bottom), slice(left, right)),
        (slice(top - row, bottom - row), slice(left - column, right - column)),
    )
