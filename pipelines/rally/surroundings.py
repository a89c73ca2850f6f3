"""What stands around a court: stands with their crowd, walls with advertisements, staff and furniture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from pipelines.rally.camera import NET_POST_X_M
from pipelines.rally.canvas import Canvas
from pipelines.rally.figures import Colour, draw_parts, figure_parts, standing
from pipelines.rally.looks import CLOTHES, HAIRS, SKINS, WORDS, GameLook
from pipelines.rally.physics import BALL_RADIUS_M
from pipelines.rally.sprites import Floats, Picture, Window, darken, lay_over

DARK: Colour = (40, 38, 36)
PALE: Colour = (196, 200, 200)


def paint_stands(canvas: Canvas, look: GameLook, rng: np.random.Generator) -> None:
    """Rising rows behind the walls, filled with people: on both sides and at the far end."""
    dark = (int(look.stand[0] * 0.72), int(look.stand[1] * 0.72), int(look.stand[2] * 0.72))
    rows = 16
    far_m = look.wall_y_m + 1.0
    base_m = look.wall_height_m
    canvas.polygon(
        [
            (-60, far_m, base_m - 1),
            (60, far_m, base_m - 1),
            (60, far_m + 30, base_m + 16),
            (-60, far_m + 30, base_m + 16),
        ],
        look.stand,
    )
    seats: list[tuple[float, float, float]] = []
    for row in range(rows, -1, -1):
        y_m, z_m = far_m + 0.85 * row, base_m + 0.3 + 0.48 * row
        canvas.polygon(
            [
                (-60, y_m - 0.4, z_m - 0.25),
                (60, y_m - 0.4, z_m - 0.25),
                (60, y_m - 0.4, z_m),
                (-60, y_m - 0.4, z_m),
            ],
            dark,
        )
        seats += [(x, y_m, z_m) for x in np.arange(-look.wall_x_m - 8, look.wall_x_m + 8, 0.62)]
    near_m = canvas.nearest_y_m
    for side in (-1, 1):
        foot_m = side * (look.wall_x_m + 0.6)
        canvas.polygon(
            [
                (foot_m, near_m, 0.9),
                (foot_m, far_m, 0.9),
                (foot_m + side * 18, far_m, 10.5),
                (foot_m + side * 18, near_m, 10.5),
            ],
            look.stand,
        )
        for row in range(rows, -1, -1):
            x_m, z_m = foot_m + side * (0.4 + 0.85 * row), 1.05 + 0.46 * row
            canvas.polygon(
                [
                    (x_m - side * 0.4, near_m, z_m - 0.25),
                    (x_m - side * 0.4, far_m, z_m - 0.25),
                    (x_m - side * 0.4, far_m, z_m),
                    (x_m - side * 0.4, near_m, z_m),
                ],
                dark,
            )
            seats += [(x_m, y, z_m) for y in np.arange(far_m, near_m, -0.62)]
    _crowd(canvas, look, rng, np.array(seats))


def _crowd(canvas: Canvas, look: GameLook, rng: np.random.Generator, seats_m: Floats) -> None:
    """A head and a body on most seats, in the order given."""
    seats_m = seats_m[rng.random(len(seats_m)) < look.crowd_density]
    seats_m = seats_m + rng.normal(0, 0.08, seats_m.shape)
    places, depth_m = canvas.camera.project(seats_m)
    px_per_m = canvas.camera.focal_px / depth_m
    seen = (places[:, 0] > -40) & (places[:, 0] < canvas.size[0] + 40) & (places[:, 1] > -60)
    seen &= places[:, 1] < canvas.size[1] + 60
    for place, scale in zip(places[seen], px_per_m[seen], strict=True):
        gain = look.crowd_gain * rng.uniform(0.75, 1.1)
        picks = rng.integers([len(CLOTHES), len(SKINS), len(HAIRS)])
        # Crowds dress in greys more than players do.
        pale, grey = rng.uniform(0.25, 1.0), rng.choice([50, 110, 225])
        shirt = tuple((v * pale + grey * (1 - pale)) * gain for v in CLOTHES[picks[0]])
        skin = tuple(v * gain for v in SKINS[picks[1]])
        hair = tuple(v * gain for v in HAIRS[picks[2]])
        fixed = (place * 16).astype(int)
        x, y, unit = int(fixed[0]), int(fixed[1]), float(scale) * 16
        centre = (x // 16, int(y - 0.36 * unit) // 16)
        axes = (max(1, int(0.21 * scale)), max(1, int(0.32 * scale)))
        cv2.ellipse(canvas.picture, centre, axes, 0, 0, 360, shirt, -1, cv2.LINE_AA)
        cv2.circle(canvas.picture, (x, int(y - 0.88 * unit)), int(0.135 * unit), hair, -1, cv2.LINE_AA, 4)
        cv2.circle(canvas.picture, (x, int(y - 0.83 * unit)), int(0.11 * unit), skin, -1, cv2.LINE_AA, 4)


def paint_walls(canvas: Canvas, look: GameLook, rng: np.random.Generator) -> None:
    """The far wall and both side walls, with advertisements."""
    x_m, y_m, near_m = look.wall_x_m, look.wall_y_m, canvas.nearest_y_m
    high_m, low_m = look.wall_height_m, 1.05
    wide_m = 2 * x_m + 2.4
    far = _advertising(look, rng, wide_m, high_m, spacing_m=rng.uniform(0.7, 3.0))
    edge_m = wide_m / 2
    canvas.paste_strip(
        far, [(-edge_m, y_m, high_m), (edge_m, y_m, high_m), (edge_m, y_m, 0), (-edge_m, y_m, 0)]
    )
    long_m = y_m - near_m
    for side in (-1, 1):
        strip = _advertising(look, rng, long_m, low_m, spacing_m=rng.uniform(0.5, 2.5))
        first, last = (near_m, y_m) if side < 0 else (y_m, near_m)
        wall_m = side * x_m
        canvas.paste_strip(
            strip, [(wall_m, first, low_m), (wall_m, last, low_m), (wall_m, last, 0), (wall_m, first, 0)]
        )
        cap = tuple(min(255, int(v * 1.5 + 25)) for v in look.wall)
        canvas.polygon(
            [
                (wall_m, near_m, low_m),
                (wall_m, y_m, low_m),
                (wall_m + side * 0.25, y_m, low_m),
                (wall_m + side * 0.25, near_m, low_m),
            ],
            (cap[0], cap[1], cap[2]),
        )


def _advertising(
    look: GameLook, rng: np.random.Generator, wide_m: float, high_m: float, spacing_m: float
) -> Picture:
    """A strip of wall, 48 pixels a metre, with words on it."""
    per_m = 48
    strip: Picture = np.empty((int(high_m * per_m), int(wide_m * per_m), 3), np.uint8)
    strip[:] = look.wall
    strip[: max(2, per_m // 14)] = np.clip(np.array(look.wall) * 1.6 + 20, 0, 255).astype(np.uint8)
    strip[-per_m // 8 :] = (np.array(look.wall) * 0.6).astype(np.uint8)
    left_m = float(rng.uniform(0.2, 1.5))
    while left_m < wide_m - 2:
        word = WORDS[int(rng.integers(len(WORDS)))]
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
        size = min(high_m, 1.5) * per_m / 22 * float(rng.uniform(0.4, 0.62))
        (text_width, text_height), _ = cv2.getTextSize(word, font, size, 3)
        x, y = int(left_m * per_m), int(strip.shape[0] * 0.52 + text_height / 2)
        if rng.random() < 0.25:
            box = tuple(int(v) for v in rng.integers(20, 200, 3))
            cv2.rectangle(strip, (x - 12, y - text_height - 10), (x + text_width + 12, y + 12), box, -1)
        cv2.putText(strip, word, (x, y), font, size, (222, 222, 222), max(2, int(size * 2.6)), cv2.LINE_AA)
        left_m += text_width / per_m + spacing_m
    return strip


def paint_staff(canvas: Canvas, look: GameLook, rng: np.random.Generator) -> None:
    """Line judges and ball kids, the umpire's chair, benches, spare balls; the farthest first."""
    chair_x = float(rng.choice([-1, 1])) * (NET_POST_X_M + 0.9)
    bench_x = chair_x + float(np.sign(chair_x)) * 0.5
    people = [(x, look.wall_y_m - 0.7, False) for x in rng.uniform(-8, 8, int(rng.integers(2, 6)))]
    people += [(-chair_x, 0.4, True), (chair_x * 1.02, -1.4, True)]
    people += [(side * (look.wall_x_m - 0.6), float(rng.uniform(-9, 10)), False) for side in (-1, 1)]
    things: list[tuple[float, Callable[[], None]]] = [
        (0.0, partial(_chair, canvas, look, chair_x)),
        *((y_m, partial(_bench, canvas, look, bench_x, y_m)) for y_m in (2.8, -3.4)),
        *((y_m, partial(_person, canvas, look, (x_m, y_m, 0.0), crouches)) for x_m, y_m, crouches in people),
    ]
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    for _ in range(look.spare_balls):
        x_m = float(rng.uniform(-1, 1) * (look.wall_x_m - 0.5))
        _spare_ball(canvas, look, (x_m, look.wall_y_m - float(rng.uniform(0.2, 0.9)), 2 * BALL_RADIUS_M))


def _chair(canvas: Canvas, look: GameLook, x_m: float) -> None:
    """The umpire on the high chair."""
    for leg_m in (x_m - 0.4, x_m + 0.4):
        canvas.box((leg_m - 0.05, leg_m + 0.05), (-0.05, 0.05), (0.0, 1.9), DARK, DARK)
    canvas.box((x_m - 0.45, x_m + 0.45), (-0.3, 0.4), (0.9, 1.35), look.wall, PALE)
    _person(canvas, look, (x_m, -0.1, 1.3), crouches=True)


def _bench(canvas: Canvas, look: GameLook, x_m: float, y_m: float) -> None:
    """A player's bench with a bag on it."""
    canvas.box((x_m - 0.8, x_m + 0.8), (y_m, y_m + 0.5), (0.0, 0.42), look.wall, PALE)
    canvas.box(
        (x_m - 0.2, x_m + 0.25), (y_m + 0.1, y_m + 0.4), (0.42, 0.7), look.staff.shirt, look.staff.shorts
    )


def _spare_ball(canvas: Canvas, look: GameLook, place_m: tuple[float, float, float]) -> None:
    """A ball that lies still and is not in play."""
    place, depth_m = canvas.camera.project(np.array([place_m]))
    radius_px = BALL_RADIUS_M * look.ball_magnification * canvas.camera.focal_px / float(depth_m[0])
    x, y = (round(float(v) * 16) for v in place[0])
    cv2.circle(canvas.picture, (x, y), round(radius_px * 16), look.ball, -1, cv2.LINE_AA, 4)


def _person(canvas: Canvas, look: GameLook, place_m: tuple[float, float, float], crouches: bool) -> None:
    """One of the staff, turned to the court, and the shadow on the ground."""
    facing = 1 if place_m[1] > 5 else -1
    parts = figure_parts(standing(np.array(place_m), facing, crouches), look.staff)
    shadow, body = draw_parts(parts, canvas.camera, look.shadow_m), draw_parts(parts, canvas.camera)
    whole = Window(0, 0, *canvas.size)
    if shadow is not None:
        darken(canvas.picture, shadow, whole, look.shadow_strength)
    if body is not None:
        lay_over(canvas.picture, body, whole)
