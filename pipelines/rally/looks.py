"""What one game looks like: venue, light, colours, camera and recording, drawn from the game's own seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipelines.rally.camera import REFERENCE_HEIGHT_PX, Camera, broadcast_camera
from pipelines.rally.figures import Colour, Outfit
from pipelines.rally.physics import FRAMES_PER_S
from pipelines.rally.sprites import Floats

# (court, surround, wall) in blue, green, red, and the kind of ground.
VENUES: tuple[tuple[str, Colour, Colour, Colour], ...] = (
    ("hard", (160, 92, 52), (98, 134, 92), (96, 56, 22)),
    ("clay", (72, 112, 186), (66, 104, 172), (62, 78, 34)),
    ("grass", (70, 142, 108), (62, 126, 92), (58, 72, 30)),
    ("indoor", (132, 62, 44), (60, 44, 120), (44, 34, 30)),
    ("hard", (118, 132, 62), (152, 96, 58), (110, 70, 34)),
    ("hard", (146, 84, 110), (96, 124, 78), (78, 60, 30)),
    ("indoor", (150, 104, 40), (104, 62, 34), (70, 42, 22)),
)
SKINS: tuple[Colour, ...] = ((150, 180, 225), (120, 155, 205), (80, 115, 165), (50, 75, 115))
HAIRS: tuple[Colour, ...] = ((25, 30, 40), (35, 55, 85), (60, 110, 160), (20, 20, 20))
CLOTHES: tuple[Colour, ...] = (
    (235, 235, 235),
    (225, 225, 230),
    (40, 35, 35),
    (120, 50, 30),
    (50, 40, 190),
    (190, 140, 40),
    (60, 150, 60),
    (90, 60, 150),
    (50, 170, 230),
    (170, 170, 60),
)
WORDS = (
    "ALPINA",
    "NORDAIR",
    "kiva",
    "SOLANO",
    "TEMPO",
    "Vertex Bank",
    "ORBIS",
    "lumen",
    "HELIO",
    "Marlow",
    "QUARTZ",
    "Fjord",
    "AVENTA",
    "BRIO",
    "polaris",
    "CASTELL",
)


@dataclass(frozen=True)
class GameLook:
    """All that the clips of a game share. Colours are blue, green, red; lengths in metres or frame pixels."""

    kind: str
    court: Colour
    surround: Colour
    wall: Colour
    stand: Colour
    crowd_gain: float
    crowd_density: float
    ball: Colour
    ball_magnification: float
    shadow_m: tuple[float, float]
    shadow_strength: float
    stand_shadow: bool
    outfits: tuple[Outfit, Outfit]
    staff: Outfit
    camera: Camera
    wall_x_m: float
    wall_y_m: float
    wall_height_m: float
    exposure_s: float
    blur_px: float
    noise_levels: float
    jpeg_quality: int
    pan_px: float
    shake_px: float
    scoreboard: int
    spare_balls: int


def game_look(seed: int, game: int, width_px: int, height_px: int) -> GameLook:
    """The look of one game; within a run of games as long as `VENUES` every venue occurs once."""
    turn, place = divmod(game - 1, len(VENUES))
    order = np.random.default_rng(np.random.SeedSequence([seed, 2**31 + turn])).permutation(len(VENUES))
    kind, court, surround, wall = VENUES[int(order[place])]
    rng = np.random.default_rng(np.random.SeedSequence([seed, game]))
    sunny = kind != "indoor" and rng.random() < 0.6
    gain = float(rng.uniform(0.9, 1.12))
    skins, hairs = rng.integers(len(SKINS), size=2), rng.integers(len(HAIRS), size=2)
    shirts = rng.permutation(len(CLOTHES))[:4]
    if kind == "grass":
        shirts = np.array([0, 1, 0, 1])
    outfits = [
        Outfit(
            CLOTHES[shirts[2 * i]],
            CLOTHES[shirts[2 * i + int(rng.random() < 0.7)]],
            SKINS[skins[i]],
            HAIRS[hairs[i]],
            CLOTHES[int(rng.integers(6))],
            racket=CLOTHES[int(rng.integers(2, 6))],
        )
        for i in range(2)
    ]
    staff_shirt = CLOTHES[int(rng.integers(2, len(CLOTHES)))]
    scale = height_px / REFERENCE_HEIGHT_PX
    shaky = rng.random() < 0.45
    return GameLook(
        kind=kind,
        court=_vary(rng, court, gain),
        surround=_vary(rng, surround, gain),
        wall=_vary(rng, wall, 1.0),
        stand=_vary(rng, (70, 66, 64) if kind != "indoor" else (38, 34, 34), gain),
        crowd_gain=float(rng.uniform(0.35, 0.6)) if kind == "indoor" else float(rng.uniform(0.7, 1.0)),
        crowd_density=float(rng.uniform(0.55, 0.95)),
        ball=_ball_colour(rng),
        ball_magnification=float(rng.uniform(1.15, 1.8)),
        shadow_m=(float(rng.uniform(-0.9, 0.9)), float(rng.uniform(-0.3, 0.5))) if sunny else (0.06, 0.04),
        shadow_strength=float(rng.uniform(0.35, 0.5)) if sunny else float(rng.uniform(0.15, 0.28)),
        stand_shadow=bool(sunny and rng.random() < 0.5),
        outfits=(outfits[0], outfits[1]),
        staff=Outfit(staff_shirt, CLOTHES[int(rng.integers(2, 5))], SKINS[1], HAIRS[0], (60, 60, 60)),
        camera=broadcast_camera(rng, width_px, height_px),
        wall_x_m=float(rng.uniform(9.8, 12.5)),
        wall_y_m=float(rng.uniform(17.6, 20.0)),
        wall_height_m=float(rng.uniform(2.2, 3.4)),
        exposure_s=1 / float(rng.uniform(50, 150)),
        blur_px=float(rng.uniform(0.45, 0.8)) * scale,
        noise_levels=float(rng.uniform(0.9, 2.2)),
        jpeg_quality=int(rng.integers(85, 93)),
        pan_px=float(rng.uniform(3, 12)) * scale if shaky else 0.0,
        shake_px=float(rng.uniform(0.2, 0.6)) * scale if shaky else 0.0,
        scoreboard=int(rng.integers(0, 4)),
        spare_balls=int(rng.integers(0, 3)),
    )


def camera_motion(look: GameLook, rng: np.random.Generator, frames: int) -> Floats:
    """How far the picture is shifted in every frame, [frames, 2] pixels: slow panning and shaking."""
    if not look.pan_px:
        return np.zeros((frames, 2))
    time_s = np.arange(frames)[:, None] / FRAMES_PER_S
    rates, phases = rng.uniform(0.6, 2.0, (2, 2)), rng.uniform(0, 2 * math.pi, (2, 2))
    slow = np.sin(time_s * rates[0] + phases[0]) + 0.4 * np.sin(time_s * 2 * rates[1] + phases[1])
    shake = rng.standard_normal((frames, 2)).clip(-3, 3) * look.shake_px
    return np.asarray(slow * np.array([1.0, 0.35]) * look.pan_px + shake)


def _ball_colour(rng: np.random.Generator) -> Colour:
    """Optical yellow, which most cameras wash out more or less towards white."""
    washed = float(rng.uniform(0.0, 0.55))
    values = np.array([90, 238, 220]) * (1 - washed) + np.array([228, 246, 240]) * washed
    return int(values[0]), int(values[1]), int(values[2])


def _vary(rng: np.random.Generator, colour: Colour, gain: float) -> Colour:
    """The colour, a little lighter or darker, a little off in hue."""
    values = np.clip(np.array(colour) * gain * rng.uniform(0.93, 1.07) + rng.uniform(-8, 8, 3), 8, 250)
    return int(values[0]), int(values[1]), int(values[2])
