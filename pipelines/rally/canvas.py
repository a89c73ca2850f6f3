"""A canvas finer than the frame, painted in world coordinates: for all that stands still."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.rally.camera import HALF_LENGTH_M, Camera
from pipelines.rally.figures import Colour
from pipelines.rally.sprites import Picture

FINENESS = 2
# Least and greatest coordinate in metres.
Range = tuple[float, float]


class Canvas:
    """The fine canvas with world coordinates."""

    def __init__(self, camera: Camera, width_px: int, height_px: int, pad_px: int) -> None:
        self.camera = camera.enlarged(FINENESS, (-pad_px, -pad_px))
        self.size = ((width_px + 2 * pad_px) * FINENESS, (height_px + 2 * pad_px) * FINENESS)
        self.picture: Picture = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        self.nearest_y_m = self.camera.ground_y_m(self.size[1]) - 0.5

    def fixed(self, points_m: Iterable[tuple[float, float, float]]) -> NDArray[np.int32]:
        """Canvas positions [N, 2] in sixteenths of a pixel."""
        points = np.array(list(points_m), dtype=np.float64)
        # Nothing in front of the picture's lower edge is seen; behind the camera it would not project.
        points[:, 1] = np.maximum(points[:, 1], min(self.nearest_y_m, -HALF_LENGTH_M))
        return np.round(np.clip(self.camera.project(points)[0], -20000, 20000) * 16).astype(np.int32)

    def polygon(self, points_m: Iterable[tuple[float, float, float]], colour: Colour) -> None:
        """A convex polygon."""
        cv2.fillConvexPoly(self.picture, self.fixed(points_m), colour, cv2.LINE_AA, 4)

    def ground(self, x0_m: float, y0_m: float, x1_m: float, y1_m: float, colour: Colour) -> None:
        """A rectangle on the ground."""
        self.polygon([(x0_m, y0_m, 0), (x1_m, y0_m, 0), (x1_m, y1_m, 0), (x0_m, y1_m, 0)], colour)

    def box(self, x_m: Range, y_m: Range, z_m: Range, front: Colour, top: Colour) -> None:
        """The two faces of a box that a camera in front of and above it sees."""
        (x0, x1), (y0, y1), (z0, z1) = x_m, y_m, z_m
        self.polygon([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], top)
        self.polygon([(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)], front)

    def mask(self, points_m: Iterable[tuple[float, float, float]]) -> Picture:
        """255 inside a polygon, at the canvas' size."""
        mask: Picture = np.zeros((self.size[1], self.size[0]), np.uint8)
        cv2.fillConvexPoly(mask, self.fixed(points_m), (255,), cv2.LINE_AA, 4)
        return mask

    def paste_strip(self, strip: Picture, corners_m: list[tuple[float, float, float]]) -> None:
        """A textured quadrilateral; corners: upper left, upper right, lower right, lower left of `strip`."""
        height, width = strip.shape[:2]
        source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        target = (self.fixed(corners_m) / 16).astype(np.float32)
        warped = cv2.warpPerspective(
            strip, cv2.getPerspectiveTransform(source, target), self.size, flags=cv2.INTER_AREA
        )
        mask = self.mask(corners_m)
        cv2.copyTo(warped, mask, self.picture)
