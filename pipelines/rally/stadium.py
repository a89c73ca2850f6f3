"""The parts of a picture that stand still: ground, lines, walls, stands, crowd, staff, net, score board.

Everything is painted once per game and process on a canvas `FINENESS` times finer than the frame and
shrunk. The canvas is `pad_px` larger than the frame on every side, so that the camera may pan over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.rally.camera import NET_POST_X_M, net_height_m
from pipelines.rally.canvas import Canvas
from pipelines.rally.graphics import broadcast_graphics
from pipelines.rally.ground import paint_ground, paint_lines, paint_stand_shadow
from pipelines.rally.looks import GameLook
from pipelines.rally.sprites import Coverage, Picture, Sprite
from pipelines.rally.surroundings import paint_staff, paint_stands, paint_walls


@dataclass(frozen=True)
class Stadium:
    """`background` [H + 2 pad, W + 2 pad, 3]; `net` its coverage by the net, for what lies beyond it.

    `graphics` are the broadcaster's, fixed to the frame.
    """

    background: Picture
    net: Coverage
    graphics: tuple[Sprite, ...]
    pad_px: int


def build_stadium(look: GameLook, width_px: int, height_px: int, rng: np.random.Generator) -> Stadium:
    """Paint the venue of `look`; `rng` (the game's) decides texture, crowd and advertisements."""
    pad_px = int(np.ceil(2.2 * look.pan_px + 4 * look.shake_px)) + 2 if look.pan_px else 0
    canvas = Canvas(look.camera, width_px, height_px, pad_px)
    canvas.picture[:] = look.stand
    paint_ground(canvas, look, rng)
    paint_lines(canvas)
    paint_stands(canvas, look, rng)
    paint_walls(canvas, look, rng)
    if look.stand_shadow:
        paint_stand_shadow(canvas, look, rng)
    paint_staff(canvas, look, rng)
    net_picture, net_alpha = _net(canvas, look)
    picture = canvas.picture.astype(np.float32)
    picture += (net_picture - picture) * net_alpha[..., None]
    picture *= _vignette(canvas.size)[..., None]
    frame_size = (width_px + 2 * pad_px, height_px + 2 * pad_px)
    small = cv2.resize(picture, frame_size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), look.blur_px)
    net = cv2.resize(net_alpha, frame_size, interpolation=cv2.INTER_AREA)
    graphics = broadcast_graphics(look, width_px, height_px, rng)
    return Stadium(np.clip(small + 0.5, 0, 255).astype(np.uint8), net.astype(np.float32), graphics, pad_px)


def _net(canvas: Canvas, look: GameLook) -> tuple[Coverage, Coverage]:
    """Colour [.., 3] and coverage of the net on the fine canvas."""
    colour: Coverage = np.zeros((canvas.size[1], canvas.size[0], 3), np.float32)
    colour[:] = 22.0
    alpha: Coverage = np.zeros((canvas.size[1], canvas.size[0]), np.float32)
    xs = np.linspace(-NET_POST_X_M, NET_POST_X_M, 25)
    top = [(float(x), 0.0, net_height_m(float(x))) for x in xs]
    outline = canvas.fixed([*top, (NET_POST_X_M, 0.0, 0.0), (-NET_POST_X_M, 0.0, 0.0)])
    cv2.fillPoly(alpha, [outline], (0.46,), cv2.LINE_AA, 4)
    px_per_m = float(canvas.camera.focal_px / canvas.camera.project(np.zeros((1, 3)))[1][0])
    # Meshes are finer than a pixel; every fourth one still gives the net its grain.
    for x_m in np.arange(-NET_POST_X_M, NET_POST_X_M, 0.18):
        ends = canvas.fixed([(x_m, 0.0, 0.0), (x_m, 0.0, net_height_m(x_m))])
        cv2.line(alpha, ends[0].tolist(), ends[1].tolist(), (0.6,), 1, cv2.LINE_AA, 4)
    tape = canvas.fixed(top + [(x, y, z - 0.07) for x, y, z in reversed(top)])
    strap = canvas.fixed([(-0.03, 0, 0), (0.03, 0, 0), (0.03, 0, 0.9), (-0.03, 0, 0.9)])
    for shape in (tape, strap):
        cv2.fillPoly(colour, [shape], (232.0, 234.0, 234.0), cv2.LINE_AA, 4)
        cv2.fillPoly(alpha, [shape], (0.97,), cv2.LINE_AA, 4)
    for side in (-1, 1):
        ends = canvas.fixed([(side * NET_POST_X_M, 0, 0), (side * NET_POST_X_M, 0, 1.12)])
        thick = max(2, round(0.09 * px_per_m))
        cv2.line(colour, ends[0].tolist(), ends[1].tolist(), (30.0, 34.0, 30.0), thick, cv2.LINE_AA, 4)
        cv2.line(alpha, ends[0].tolist(), ends[1].tolist(), (1.0,), thick, cv2.LINE_AA, 4)
    return colour, alpha


def _vignette(size: tuple[int, int]) -> Coverage:
    """Darkening towards the corners, as lenses do."""
    x = np.linspace(-1, 1, size[0], dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, size[1], dtype=np.float32)[:, None]
    return np.asarray(1.03 - 0.07 * (x**2 + y**2), np.float32)
