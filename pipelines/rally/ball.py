"""The ball of one frame: a disc drawn along its path through the exposure, and its shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.rally.camera import REFERENCE_HEIGHT_PX
from pipelines.rally.looks import GameLook
from pipelines.rally.physics import BALL_RADIUS_M, Rally
from pipelines.rally.sprites import Floats, Sprite, disc_sprite

# Of the disc without blur, in a picture 720 pixels high.
DIAMETERS_PX = (2.0, 12.0)
BLUR_STEP_PX, MOST_BLUR_SAMPLES = 0.5, 200


@dataclass(frozen=True)
class DrawnBall:
    """The ball as it would look with nothing before it.

    `xy_px` is its centre at mid-exposure, to a hundredth; `diameter_px` the disc's; `y_m` where it is
    along the court.
    """

    xy_px: tuple[float, float]
    diameter_px: float
    y_m: float
    sprite: Sprite


def draw_ball(
    rally: Rally, look: GameLook, time_s: float, shift_px: Floats, height_px: int
) -> DrawnBall | None:
    """The ball with the exposure centred at `time_s`; None where there is none.

    `shift_px` [2] is the camera's motion, `height_px` the frame's height.
    """
    ball_m = rally.ball_at(time_s)
    if ball_m is None:
        return None
    centre_px, depth_m = look.camera.project(ball_m[None])
    smallest_px, largest_px = (diameter * height_px / REFERENCE_HEIGHT_PX / 2 for diameter in DIAMETERS_PX)
    radius_px = float(np.clip(_radius_px(look, float(depth_m[0])), smallest_px, largest_px))
    path_px = _path_px(rally, look, time_s, ball_m) + shift_px
    x_px, y_px = (round(float(v), 2) for v in centre_px[0] + shift_px)
    disc = disc_sprite(path_px, radius_px, look.blur_px)
    # Light falls from above: the upper half is a little brighter.
    rows = np.arange(disc.alpha.shape[0]) + disc.origin_px[1] - y_px
    light = 1 - 0.06 * np.clip(rows / max(radius_px, 1.0), -1, 1)
    colour = disc.alpha[..., None] * (np.array(look.ball) * light[:, None])[:, None, :]
    sprite = Sprite(disc.origin_px, colour.astype(np.float32), disc.alpha)
    return DrawnBall((x_px, y_px), 2 * radius_px, float(ball_m[1]), sprite)


def _path_px(rally: Rally, look: GameLook, time_s: float, ball_m: Floats) -> Floats:
    """Picture positions [N, 2] over the exposure, about half a pixel apart, symmetric in time.

    Where the ball comes or goes within the exposure, it counts as standing still.
    """
    half_s = look.exposure_s / 2

    def positions_px(count: int) -> Floats:
        found = [rally.ball_at(float(t)) for t in np.linspace(time_s - half_s, time_s + half_s, count)]
        return look.camera.project(np.stack([ball_m if p is None else p for p in found]))[0]

    rough_px = positions_px(3)
    length_px = float(np.hypot(*np.diff(rough_px, axis=0).T).sum())
    return positions_px(min(int(length_px / BLUR_STEP_PX) + 3, MOST_BLUR_SAMPLES))


def draw_ball_shadow(
    rally: Rally, look: GameLook, time_s: float, shift_px: Floats
) -> tuple[Sprite, float] | None:
    """The spot that the ball's shadow covers on the ground, and how much it darkens; None without a ball."""
    ball_m = rally.ball_at(time_s)
    if ball_m is None:
        return None
    x_m, y_m, z_m = (float(v) for v in ball_m)
    spot_m = np.array([[x_m + z_m * look.shadow_m[0], y_m + z_m * look.shadow_m[1], 0.0]])
    place_px, depth_m = look.camera.project(spot_m)
    # From higher up the penumbra spreads and pales.
    spread = 1.0 + 0.35 * z_m
    radius_px = _radius_px(look, float(depth_m[0])) * spread
    spot = disc_sprite(place_px + shift_px, radius_px, soft_px=0.5, flatten=0.45)
    return spot, look.shadow_strength / spread**1.5


def _radius_px(look: GameLook, depth_m: float) -> float:
    """How large lens, sharpening and compression make the ball appear."""
    return look.camera.focal_px / depth_m * BALL_RADIUS_M * look.ball_magnification
