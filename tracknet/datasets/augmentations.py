"""One geometric and one colour transform for all frames of a window, and for its points.

Every window draws its own. With `data.augment.per=run` the windows of one piece of the shuffle share one, so that a
frame is warped once and kept, not once for each of the T windows that it is in: a warp takes half as long as a decode.
Those of a batch are then of different pieces, and each epoch cuts and draws anew.

What it costs in the workers (OpenCV 5.0, 512x288, microseconds of one core for a frame, least of many): 37 to four
channels, 335 for linear samples, 13 back to three, 43 for the colours; a decode takes 880. For less than 30 % of a
window's time at T = 3 there would be 180 in all, and with nearest-neighbour samples, 136, it would still be 229. Tried,
and no faster: maps shared by a window's frames (`remap`, 340 to 545), strips that stay in the core's cache, frames kept
as four channels, approximate modes. Up to four channels cost nearly what one costs, beyond them it is ten times as
much, and nine fill three warps of four either way. What helps is fewer warps, or the model's device
(`late_transforms`): a window that is shifted by whole pixels costs 100 with its colours, and with `warp_prob=0.2` a
frame costs 150, and more balls are found than with 1.0.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.utils.geometry import FloatArray, Size, similarity
from tracknet.utils.settings import AugmentConfig

Frame = npt.NDArray[np.uint8]
# ImageNet's mean, as RGB: what a normalised picture knows as nothing. Mirrored borders would show a second,
# unlabelled ball.
NOTHING_RGB = (124, 116, 104)
SAME_COLOUR: FloatArray = np.eye(3, 4)
_LUMA_RGB = np.array([0.299, 0.587, 0.114])
# NTSC's luma and chroma axes.
_RGB_TO_YIQ = np.array([_LUMA_RGB, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_YIQ_TO_RGB = np.linalg.inv(_RGB_TO_YIQ)
# A turn in the plane of I and Q keeps Y, the luma: RGB to RGB it is the first of these, the second times the angle's
# cosine, and the third times its sine. (Drawn as products of small matrices, a transform cost a third of a decode.)
_TURN_KEEPS, _TURN_COS, _TURN_SIN = (
    _YIQ_TO_RGB @ np.array(part, np.float64) @ _RGB_TO_YIQ
    for part in (
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
    )
)


class WholeMove(NamedTuple):
    """A move that no pixel has to be resampled for: the mirror first, then whole pixels to the right and down."""

    flip: bool
    right_px: int
    down_px: int


STAYS = WholeMove(False, 0, 0)


@dataclass(frozen=True)
class Augmentation:
    """A drawn transform.

    Attributes:
        matrix: `[3, 3]`, old input pixels to new input pixels.
        colour: `[3, 4]` linear map of (R, G, B, 1), 0..255; `None` for no change.
        whole: all that the matrix does, where it needs no resampling; `None` where it does.
        late: pixels are transformed on the model's device (`late_transforms`), and left here as they are.
    """

    matrix: FloatArray
    colour: FloatArray | None
    whole: WholeMove | None
    late: bool = False

    def apply(self, frame: Frame, out: Frame | None = None) -> Frame:
        """The transformed picture, uint8 `[H, W, 3]`; written into `out` where that is given."""
        if out is None:
            out = np.empty_like(frame)
        if self.late:
            out[:] = frame
            return out
        # What is changed again is in the core's cache, which `out` is not: 24 us less than colours in place.
        moved = out if self.colour is None else _scratch(*frame.shape[:2]).moved
        if self.whole is None:
            self._warp(frame, moved)
        elif self.whole == STAYS:
            moved = frame
        else:
            _move(frame, self.whole, moved)
        if self.colour is not None:
            # In float32 this takes a third of float64's time, for the same pixels.
            cv2.transform(moved, self.colour.astype(np.float32), dst=out)
        elif moved is frame:
            out[:] = frame
        return out

    def _warp(self, frame: Frame, out: Frame) -> None:
        height, width = frame.shape[:2]
        # OpenCV samples four interleaved channels 1.6 times as fast as three, both conversions included.
        padded, warped, _ = _scratch(height, width)
        cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA, dst=padded)
        cv2.warpAffine(
            padded,
            self.matrix[:2],
            (width, height),
            dst=warped,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(*NOTHING_RGB, 0),
        )
        cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB, dst=out)


def _move(frame: Frame, move: WholeMove, out: Frame) -> None:
    """What the warp would make. (Colours on the way, part of a picture into part of one, take five times as long.)"""
    height, width = frame.shape[:2]
    flip, x, y = move
    left, top, right, bottom = max(x, 0), max(y, 0), width + min(x, 0), height + min(y, 0)
    if left >= right or top >= bottom:
        out[:] = NOTHING_RGB
        return
    first = width - right + x if flip else left - x
    seen = frame[top - y : bottom - y, first : first + right - left]
    if flip:
        seen = np.asarray(cv2.flip(seen, 1), np.uint8)
    border = (top, height - bottom, left, width - right)
    cv2.copyMakeBorder(seen, *border, cv2.BORDER_CONSTANT, dst=out, value=NOTHING_RGB)


class _Scratch(NamedTuple):
    """Pictures on the way to the result.

    Attributes:
        padded: RGBA, the frame.
        warped: RGBA.
        moved: RGB.
    """

    padded: Frame
    warped: Frame
    moved: Frame


_of_thread = threading.local()


def _scratch(height: int, width: int) -> _Scratch:
    """This thread's own, used again and again: they stay in the cache of its core, and memory asked for anew could be
    page faults, which cost as much as half the warp.
    """
    kept: _Scratch | None = getattr(_of_thread, "scratch", None)
    if kept is None or kept.moved.shape[:2] != (height, width):
        kept = _Scratch(*(np.empty((height, width, channels), np.uint8) for channels in (4, 4, 3)))
        _of_thread.scratch = kept
    return kept


IDENTITY = Augmentation(matrix=np.eye(3), colour=None, whole=STAYS)


def draw_augmentation(config: AugmentConfig, size: Size, rng: np.random.Generator) -> Augmentation:
    """Draws a transform; always takes the same number of values from `rng`.

    Args:
        config: the ranges.
        size: of the pictures, input pixels.
        rng: the window's own randomness.
    """
    # Python's own numbers: arithmetic on NumPy's takes ten times as long.
    draws: list[float] = rng.random(10).tolist()
    flip_draw, any_draw, scale, turn, shift_x, shift_y, bright, contrast, saturation, hue = draws
    flip = flip_draw < config.flip_prob
    if not any_draw < config.prob:
        return Augmentation(similarity(size, flip=flip), None, WholeMove(flip, 0, 0))

    def around_zero(draw: float, reach: float) -> float:
        return (2.0 * draw - 1.0) * reach

    whole = None
    shift_px = (
        around_zero(shift_x, config.shift) * size.width,
        around_zero(shift_y, config.shift) * size.height,
    )
    # One draw decides both, so that the others are what they would be with any probability.
    moves = config.scale > 0 or config.rotate_deg > 0 or config.shift > 0
    if moves and any_draw < config.prob * config.warp_prob:
        factor = math.exp(around_zero(scale, math.log1p(config.scale)))
        turn_deg = around_zero(turn, config.rotate_deg)
        matrix = similarity(size, scale=factor, rotation_deg=turn_deg, shift_px=shift_px, flip=flip)
    else:
        whole = WholeMove(flip, round(shift_px[0]), round(shift_px[1]))
        matrix = similarity(size, shift_px=(whole.right_px, whole.down_px), flip=flip)
    colour = _colour_matrix(
        brightness=around_zero(bright, config.brightness),
        contrast=1.0 + around_zero(contrast, config.contrast),
        saturation=1.0 + around_zero(saturation, config.saturation),
        hue_deg=around_zero(hue, config.hue_deg),
    )
    changes_colour = max(config.brightness, config.contrast, config.saturation, config.hue_deg) > 0
    return Augmentation(matrix, colour if changes_colour else None, whole)


def _colour_matrix(*, brightness: float, contrast: float, saturation: float, hue_deg: float) -> FloatArray:
    """Hue and saturation about the luma, contrast about mid-grey, brightness as a share of full scale."""
    turn_rad = math.radians(hue_deg)
    turn = _TURN_KEEPS + math.cos(turn_rad) * _TURN_COS + math.sin(turn_rad) * _TURN_SIN
    matrix = np.empty((3, 4))
    matrix[:, :3] = contrast * saturation * turn + contrast * (1.0 - saturation) * _LUMA_RGB
    matrix[:, 3] = 127.5 * (1.0 - contrast) + 255.0 * brightness
    return matrix
