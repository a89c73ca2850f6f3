"""Small pictures with coverage, and how they are laid over a window of the frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]
Coverage = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """A rectangle of the frame: first column and row, width and height."""

    left: int
    top: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def moved(self, right: int, down: int) -> Window:
        """The rectangle, elsewhere."""
        return Window(self.left + int(right), self.top + int(down), self.width, self.height)

    def meets(self, left: int, top: int, width: int, height: int) -> bool:
        """Whether another rectangle shares a pixel with this one."""
        across = left < self.left + self.width and left + width > self.left
        return across and top < self.top + self.height and top + height > self.top


@dataclass(frozen=True)
class Sprite:
    """Premultiplied colour [h, w, 3] and coverage [h, w] in 0..1, float32, placed at a frame pixel."""

    origin_px: tuple[int, int]
    colour: NDArray[np.float32]
    alpha: NDArray[np.float32]


def disc_sprite(path_px: Floats, radius_px: float, soft_px: float, flatten: float = 1.0) -> Sprite:
    """Mean coverage of a disc with soft edges over the positions [N, 2] of its centre; colour left black.

    `flatten` squeezes it vertically: a round spot on the ground seen at a slant.
    """
    edge_px = 0.5 + soft_px
    reach = radius_px + edge_px + 1
    left, top = (math.floor(v - reach) for v in path_px.min(axis=0))
    right, bottom = (math.ceil(v + reach) + 1 for v in path_px.max(axis=0))
    x = np.arange(left, right)[None, None, :] - path_px[:, 0, None, None]
    y = (np.arange(top, bottom)[None, :, None] - path_px[:, 1, None, None]) / flatten
    inside = np.clip((radius_px + edge_px - np.sqrt(x**2 + y**2)) / (2 * edge_px), 0, 1)
    alpha = (inside * inside * (3 - 2 * inside)).mean(axis=0).astype(np.float32)
    return Sprite((left, top), np.zeros((*alpha.shape, 3), np.float32), alpha)


def _overlap(sprite: Sprite, window: Window) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Row and column slices of the window and of the sprite where they meet."""
    left, top = sprite.origin_px[0] - window.left, sprite.origin_px[1] - window.top
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + sprite.alpha.shape[1], window.width), min(top + sprite.alpha.shape[0], window.height)
    if x0 >= x1 or y0 >= y1:
        return None
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def lay_over(picture: Picture, sprite: Sprite, window: Window) -> None:
    """Composite a premultiplied sprite onto the window's picture."""
    meet = _overlap(sprite, window)
    if meet is not None:
        target = picture[meet[0]]
        mixed = target * (1 - sprite.alpha[meet[1]][..., None]) + sprite.colour[meet[1]]
        target[:] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def darken(picture: Picture, sprite: Sprite, window: Window, strength: float) -> None:
    """Darken the window's picture where the sprite covers it."""
    meet = _overlap(sprite, window)
    if meet is not None:
        target = picture[meet[0]]
        target[:] = (target * (1 - strength * sprite.alpha[meet[1]][..., None]) + 0.5).astype(np.uint8)


def meeting(cover: Sprite, ball: Sprite) -> Coverage:
    """Coverage by `cover` on the ball's own pixels."""
    found = np.zeros_like(ball.alpha)
    meet = _overlap(cover, Window(*ball.origin_px, ball.alpha.shape[1], ball.alpha.shape[0]))
    if meet is not None:
        found[meet[0]] = cover.alpha[meet[1]]
    return found
