"""A pinhole camera behind and above one baseline, and the court it looks at.

World axes, in metres: `x` across the court (right in the picture), `y` along it (away from the
camera; the net stands at y = 0), `z` up. Picture axes, in pixels: `x` right, `y` down, pixel centres
at integer coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HALF_LENGTH_M = 23.77 / 2
HALF_DOUBLES_M = 10.97 / 2
HALF_SINGLES_M = 8.23 / 2
SERVICE_LINE_M = 6.40
NET_POST_X_M = HALF_DOUBLES_M + 0.914
NET_CENTRE_M = 0.914
NET_POST_M = 1.07
REFERENCE_HEIGHT_PX = 720


def net_height_m(x_m: float) -> float:
    """Height of the net's upper edge, which sags from the posts to the strap in the middle."""
    return NET_CENTRE_M + (NET_POST_M - NET_CENTRE_M) * min(abs(x_m) / NET_POST_X_M, 1.0)


@dataclass(frozen=True)
class Camera:
    """Pinhole camera; `pitch_rad` is downwards, `yaw_rad` to the right."""

    position_m: tuple[float, float, float]
    yaw_rad: float
    pitch_rad: float
    focal_px: float
    principal_px: tuple[float, float]

    def axes(self) -> Floats:
        """Rows: the camera's right, down and forward directions in the world, [3, 3]."""
        sin_y, cos_y = math.sin(self.yaw_rad), math.cos(self.yaw_rad)
        sin_p, cos_p = math.sin(self.pitch_rad), math.cos(self.pitch_rad)
        forward = np.array([sin_y * cos_p, cos_y * cos_p, -sin_p])
        right = np.array([cos_y, -sin_y, 0.0])
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points_m: Floats) -> tuple[Floats, Floats]:
        """Picture positions [N, 2] in pixels and depths [N] in metres of world points [N, 3]."""
        seen = (np.asarray(points_m, dtype=np.float64) - np.array(self.position_m)) @ self.axes().T
        depth_m = np.maximum(seen[:, 2], 0.05)
        return seen[:, :2] / depth_m[:, None] * self.focal_px + np.array(self.principal_px), depth_m

    def ground_y_m(self, row_px: float) -> float:
        """World y of the ground seen in the middle of a picture row (rows below the horizon only)."""
        down_rad = self.pitch_rad + math.atan((row_px - self.principal_px[1]) / self.focal_px)
        return self.position_m[1] + self.position_m[2] / math.tan(max(down_rad, 1e-3))

    def enlarged(self, factor: float, origin_px: tuple[float, float]) -> Camera:
        """The same view on a canvas `factor` times finer whose first pixel is the frame's `origin_px`."""
        x_px, y_px = self.principal_px
        principal = ((x_px - origin_px[0] + 0.5) * factor - 0.5, (y_px - origin_px[1] + 0.5) * factor - 0.5)
        return replace(self, focal_px=self.focal_px * factor, principal_px=principal)


def broadcast_camera(rng: np.random.Generator, width_px: int, height_px: int) -> Camera:
    """A camera that frames the court as broadcasts do.

    Chosen are its distance behind the near baseline and where the two baselines lie in the picture;
    focal length and tilt follow. Draws whose near baseline is too narrow or too wide are drawn again.
    """
    centre_y_px = (height_px - 1) / 2
    while True:
        back_m, height_m = rng.uniform(17.0, 30.0), rng.uniform(7.5, 14.0)
        near_row, far_row = rng.uniform(0.73, 0.80) * height_px, rng.uniform(0.18, 0.25) * height_px
        near_rad, far_rad = math.atan(height_m / back_m), math.atan(height_m / (back_m + 2 * HALF_LENGTH_M))
        pitch_rad, focal_px = (near_rad + far_rad) / 2, float(height_px)
        for _ in range(30):
            focal_px = (near_row - far_row) / (math.tan(near_rad - pitch_rad) - math.tan(far_rad - pitch_rad))
            pitch_rad = near_rad - math.atan((near_row - centre_y_px) / focal_px)
        x_m = float(rng.uniform(-0.8, 0.8))
        position_m = (x_m, -HALF_LENGTH_M - back_m, height_m)
        yaw_rad = -math.atan(x_m / (back_m + HALF_LENGTH_M)) + rng.uniform(-0.006, 0.006)
        camera = Camera(position_m, float(yaw_rad), pitch_rad, focal_px, ((width_px - 1) / 2, centre_y_px))
        corners = np.array([[s * HALF_DOUBLES_M, -HALF_LENGTH_M, 0.0] for s in (-1.0, 1.0)])
        near_px = camera.project(corners)[0]
        # The width limit is in heights, so that pictures of any shape are framed alike.
        if 1.02 * height_px < near_px[1, 0] - near_px[0, 0] < 1.30 * height_px:
            return camera
