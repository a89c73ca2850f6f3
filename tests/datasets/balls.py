"""Pictures of a ball with a known cover over a known background, and a clip of them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from tests.datasets.conftest import table_of
from tracknet.datasets.reader import Frame
from tracknet.datasets.table import FrameTable
from tracknet.utils.geometry import Size

SIZE = Size(160, 96)
WHITE = (250.0, 245.0, 230.0)


def scenery(seed: int = 0, *, size: Size = SIZE) -> Frame:
    """A smooth, dark picture without a ball."""
    noise = np.random.default_rng(seed).uniform(20, 120, (size.height // 8, size.width // 8, 3))
    return np.asarray(cv2.resize(noise, tuple(size), interpolation=cv2.INTER_CUBIC).clip(0, 140), np.uint8)


def cover_of(x: float, y: float, *, sigma_px: float = 1.3, size: Size = SIZE) -> np.ndarray:
    """A ball's cover: 1 in its middle, soft outwards, nothing beyond 3 sigma."""
    ys, xs = np.mgrid[: size.height, : size.width]
    distance = np.hypot(xs - x, ys - y) / sigma_px
    return np.where(distance < 3, np.exp(-0.5 * distance**2), 0.0)


def with_ball(background: Frame, x: float, y: float, colour: tuple[float, float, float] = WHITE) -> Frame:
    """The background with a ball over it."""
    cover = cover_of(x, y)[..., None]
    return np.asarray(np.round(background * (1 - cover) + np.array(colour) * cover), np.uint8)


def seen_at(frame: Frame, background: Frame) -> tuple[float, float]:
    """Where a frame differs from the background: the centroid of the change."""
    change = np.abs(frame.astype(float) - background).max(axis=2)
    change[change < 12] = 0
    ys, xs = np.mgrid[: change.shape[0], : change.shape[1]]
    return float((change * xs).sum() / change.sum()), float((change * ys).sum() / change.sum())


class Clip:
    """A camera that stands still, and a ball at given places or away."""

    def __init__(self, places: list[tuple[float, float] | None], *, seed: int = 0) -> None:
        self.background = scenery(seed)
        self.pictures = [self.background if p is None else with_ball(self.background, *p) for p in places]
        for picture in self.pictures:
            picture.flags.writeable = False
        points = np.array([(np.nan, np.nan) if p is None else p for p in places], np.float64)
        table = table_of(list(range(len(places))), size=SIZE)
        visibility = np.array([0 if p is None else 1 for p in places], np.int8)
        self.table: FrameTable = replace(table, xy_px=points, visibility=visibility)
        self.reads: list[int] = []

    def read(self, row: int) -> Frame:
        self.reads.append(row)
        return self.pictures[row]


def flying(
    count: int, *, start: tuple[float, float] = (30.25, 40.5), by: tuple[float, float] = (4.5, -0.75)
) -> list:
    """Places of a ball at constant speed."""
    return [(start[0] + n * by[0], start[1] + n * by[1]) for n in range(count)]
