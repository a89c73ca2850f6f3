"""The ground of a venue: court, surround, their texture and wear, lines, the shadow of a roof."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.rally.camera import HALF_DOUBLES_M, HALF_LENGTH_M, HALF_SINGLES_M, SERVICE_LINE_M
from pipelines.rally.canvas import Canvas
from pipelines.rally.looks import GameLook
from pipelines.rally.sprites import Coverage

LINE_M, BASELINE_M = 0.055, 0.10


def _clouds(rng: np.random.Generator, size: tuple[int, int], cells: int, amount: float) -> Coverage:
    """Smooth noise around 1, [height, width]; rows are finer than columns, as ground seen at a slant is."""
    coarse = rng.normal(0.0, amount, (cells * 2, cells)).astype(np.float32)
    return np.asarray(1 + cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def paint_ground(canvas: Canvas, look: GameLook, rng: np.random.Generator) -> None:
    """Court and surround with their texture."""
    near_m, far_m = canvas.nearest_y_m, look.wall_y_m
    canvas.ground(-60, near_m, 60, far_m, look.surround)
    canvas.ground(-HALF_DOUBLES_M, -HALF_LENGTH_M, HALF_DOUBLES_M, HALF_LENGTH_M, look.court)
    if look.kind == "grass":
        bands = np.arange(near_m, far_m, 2.4)
        for band_m in bands[::2]:
            light = tuple(int(v * 1.07) for v in look.surround)
            canvas.ground(-30, band_m, 30, band_m + 2.4, (light[0], light[1], light[2]))
    texture = _clouds(rng, canvas.size, 5, 0.025) * _clouds(rng, canvas.size, 28, 0.014)
    if look.kind in ("grass", "clay"):
        texture *= _wear(canvas, look, rng)
    grain = 0.035 if look.kind in ("grass", "clay") else 0.018
    fine = rng.normal(1.0, grain, (canvas.size[1] // 2, canvas.size[0] // 2)).astype(np.float32)
    texture *= cv2.resize(fine, canvas.size, interpolation=cv2.INTER_LINEAR)
    canvas.picture = np.clip(canvas.picture * texture[..., None], 0, 255).astype(np.uint8)


def _wear(canvas: Canvas, look: GameLook, rng: np.random.Generator) -> Coverage:
    """Where players run, grass turns pale and clay dark and streaky: a factor per canvas pixel."""
    wear: Coverage = np.zeros((canvas.size[1], canvas.size[0]), np.float32)
    spots = [
        (rng.normal(0, 1.8), s * (HALF_LENGTH_M + rng.normal(0.5, 0.7))) for s in (-1, 1) for _ in range(160)
    ]
    for x_m, y_m in spots:
        half_m, turn = rng.uniform(0.15, 0.7), rng.uniform(-0.5, 0.5)
        ends = canvas.fixed([(x_m - half_m, y_m - turn, 0), (x_m + half_m, y_m + turn, 0)])
        thickness = int(rng.integers(2, 9))
        cv2.line(
            wear, ends[0].tolist(), ends[1].tolist(), (float(rng.uniform(0.3, 1)),), thickness, cv2.LINE_AA, 4
        )
    sign = 0.14 if look.kind == "grass" else -0.12
    return np.asarray(1 + sign * cv2.GaussianBlur(wear, (0, 0), 3.0), np.float32)


def paint_lines(canvas: Canvas) -> None:
    """All lines of a doubles court; outer lines belong to the court they bound."""
    white = (236, 238, 238)
    for x_m in (-HALF_DOUBLES_M, -HALF_SINGLES_M, HALF_SINGLES_M, HALF_DOUBLES_M):
        inner = x_m - np.copysign(LINE_M, x_m)
        canvas.ground(min(x_m, inner), -HALF_LENGTH_M, max(x_m, inner), HALF_LENGTH_M, white)
    for side in (-1, 1):
        base_m = side * (HALF_LENGTH_M - BASELINE_M)
        low, high = sorted((base_m, side * HALF_LENGTH_M))
        canvas.ground(-HALF_DOUBLES_M, low, HALF_DOUBLES_M, high, white)
        low, high = sorted((side * HALF_LENGTH_M, side * (HALF_LENGTH_M - 0.25)))
        canvas.ground(-LINE_M / 2, low, LINE_M / 2, high, white)
        service_m = side * SERVICE_LINE_M
        canvas.ground(-HALF_SINGLES_M, service_m - LINE_M / 2, HALF_SINGLES_M, service_m + LINE_M / 2, white)
    canvas.ground(-LINE_M / 2, -SERVICE_LINE_M, LINE_M / 2, SERVICE_LINE_M, white)


def paint_stand_shadow(canvas: Canvas, look: GameLook, rng: np.random.Generator) -> None:
    """The shadow of a stand's roof over one side of the court."""
    side = float(np.sign(look.shadow_m[0]) or 1.0)
    edge_m, slant_m = float(rng.uniform(1.0, 7.0)), float(rng.uniform(-2.0, 2.0))
    near_m, far_m = canvas.nearest_y_m, look.wall_y_m
    points = [
        (-side * (edge_m + slant_m), near_m, 0.0),
        (-side * (edge_m - slant_m), far_m, 0.0),
        (-side * 40, far_m, 0.0),
        (-side * 40, near_m, 0.0),
    ]
    mask = cv2.GaussianBlur(canvas.mask(points), (0, 0), 2.5).astype(np.float32) / 255
    canvas.picture = (canvas.picture * (1 - 0.38 * mask[..., None])).astype(np.uint8)
