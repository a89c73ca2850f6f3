"""A piece of the picture from elsewhere, in front of the ball: it stands still while the ball goes behind it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.datasets.sprites import Floats, Frame, blend, overlap
from tracknet.utils.geometry import FloatArray

_TRIES = 8
# Of windows with a ball: their occluder stands anywhere, so that none says that a ball is near.
_ELSEWHERE = 0.3
# Places of a ball's way during an exposure that are asked whether they are covered: across its disc, and along.
_ACROSS, _ALONG = 5, 5


@dataclass(frozen=True)
class Occluder:
    """What is put where.

    Attributes:
        cover: float32 `[h, w]`, 0..1, soft at its rim.
        source: (column, row) of the first pixel that is copied.
        corner: (column, row) of the first pixel that is covered; may lie beyond the picture.
    """

    cover: Floats
    source: tuple[int, int]
    corner: tuple[int, int]

    def put_down(self, frame: Frame) -> None:
        """Paints it over a picture, in place."""
        (column, row), (height, width) = self.source, self.cover.shape
        texture = frame[row : row + height, column : column + width].astype(np.float32)
        here, own = overlap(frame, self.cover.shape, self.corner)
        blend(frame, here, texture[own], self.cover[own])

    def hides(self, point: FloatArray, motion: FloatArray, radius_px: float) -> float:
        """How much of a ball it covers, 0..1, wherever that was between two frames.

        Args:
            point: `[2]`, its label, input pixels.
            motion: `[2]`, by how much it moves to the next frame: a streak reaches half of it both ways at most.
            radius_px: of the ball.
        """
        across = np.linspace(-1.0, 1.0, _ACROSS)
        dx, dy = (grid.ravel() for grid in np.meshgrid(across, across))
        disc = np.stack([dx, dy], axis=1)[np.hypot(dx, dy) <= 1.0] * radius_px
        along = np.linspace(-0.5, 0.5, _ALONG)[:, None] * motion
        at = (point + disc[:, None] + along[None]).reshape(-1, 2) - self.corner
        columns, rows = np.rint(at).astype(int).T
        inside = (columns >= 0) & (rows >= 0) & (columns < self.cover.shape[1]) & (rows < self.cover.shape[0])
        return float(
            np.where(inside, self.cover[np.where(inside, rows, 0), np.where(inside, columns, 0)], 0).mean()
        )


def draw_occluder(
    draws: FloatArray, points: FloatArray, shape: tuple[int, ...], *, ball_px: float, most_balls: float
) -> Occluder | None:
    """An occluder near one of a window's balls, or anywhere: always so without a ball.

    Args:
        draws: 8 + 2 * 8 values in 0..1.
        points: `[T, 2]`, the balls of all frames, input pixels; NaN where there is none.
        shape: `(H, W, 3)` of the frames.
        ball_px: diameter of a usual ball, input pixels.
        most_balls: largest width and height, in balls.

    Returns:
        `None` where no place without a ball is found to copy from.
    """
    balls = points[~np.isnan(points[:, 0])]
    sides = np.maximum(3, np.rint(ball_px * (1.0 + draws[:2] * (most_balls - 1.0)))).astype(int)
    width, height = int(min(sides[0], shape[1] // 2)), int(min(sides[1], shape[0] // 2))
    if not len(balls) or draws[6] < _ELSEWHERE:
        centre = draws[3:5] * (shape[1] - 1, shape[0] - 1)
    else:
        centre = balls[int(draws[2] * len(balls))] + (draws[3:5] - 0.5) * (width, height)
    corner = (round(float(centre[0]) - (width - 1) / 2), round(float(centre[1]) - (height - 1) / 2))
    for x, y in draws[8 : 8 + 2 * _TRIES].reshape(-1, 2):
        column, row = int(x * (shape[1] - width + 1)), int(y * (shape[0] - height + 1))
        inside = (balls >= (column - ball_px, row - ball_px)) & (
            balls <= (column + width + ball_px, row + height + ball_px)
        )
        if not inside.all(axis=1).any():
            return Occluder(_shape(width, height, ellipse=bool(draws[5] < 0.5)), (column, row), corner)
    return None


def _shape(width: int, height: int, *, ellipse: bool) -> Floats:
    """A filled rectangle or ellipse whose rim fades over two pixels: float32 `[height, width]`."""
    ys, xs = np.mgrid[:height, :width]
    across, down = np.abs(xs - (width - 1) / 2) / (width / 2), np.abs(ys - (height - 1) / 2) / (height / 2)
    # Distance from the rim in pixels, inwards.
    depth: npt.NDArray[np.float64] = (
        (1.0 - np.hypot(across, down)) * min(width, height) / 2
        if ellipse
        else np.minimum((1.0 - across) * width / 2, (1.0 - down) * height / 2)
    )
    return np.asarray(
        cv2.blur(np.clip(depth, 0.0, 1.0).astype(np.float32), (3, 3), borderType=cv2.BORDER_CONSTANT)
    )
