"""The broadcaster's graphics, fixed to the frame: the score with the server's dot, and a channel's logo."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.rally.camera import REFERENCE_HEIGHT_PX
from pipelines.rally.looks import WORDS, GameLook
from pipelines.rally.sprites import Coverage, Picture, Sprite

LOGO_OPACITY, SCORE_OPACITY = 0.45, 0.95


def broadcast_graphics(
    look: GameLook, width_px: int, height_px: int, rng: np.random.Generator
) -> tuple[Sprite, ...]:
    """What the game's channel shows: nothing, a score in a lower or upper corner, or score and logo."""
    scale = height_px / REFERENCE_HEIGHT_PX
    if look.scoreboard == 0:
        return ()
    row_px = round(34 if look.scoreboard == 2 else height_px / scale - 120)
    score = _score(scale, (round(60 * scale), round(row_px * scale)), rng)
    return (score, _logo(scale, width_px)) if look.scoreboard == 3 else (score,)


def _score(scale: float, origin_px: tuple[int, int], rng: np.random.Generator) -> Sprite:
    """Two rows: name, dot of the server, games, points. The dot is as yellow as the ball."""
    wide, row = round(250 * scale), max(6, round(30 * scale))
    picture: Picture = np.empty((2 * row, wide, 3), np.uint8)
    picture[:] = rng.integers(15, 110, 3)
    picture[:, round(wide * 0.86) :] = (30, 25, 25)
    names = rng.choice(WORDS, 2, replace=False)
    server = int(rng.integers(2))
    for line, name in enumerate(names):
        base = line * row + round(row * 0.7)
        points = str(rng.choice(["0", "15", "30", "40"]))
        for text, x in ((str(name).title(), 0.06), (str(rng.integers(7)), 0.76), (points, 0.87)):
            place = (round(wide * x), base)
            cv2.putText(
                picture, text, place, cv2.FONT_HERSHEY_DUPLEX, 0.62 * scale, (240, 240, 240), 1, cv2.LINE_AA
            )
        if line == server:
            centre, radius = (round(wide * 0.70), base - round(row * 0.2)), max(1, round(3.5 * scale))
            cv2.circle(picture, centre, radius, (60, 230, 220), -1, cv2.LINE_AA)
    alpha: Coverage = np.full((2 * row, wide), SCORE_OPACITY, np.float32)
    return Sprite(origin_px, picture * alpha[..., None], alpha)


def _logo(scale: float, width_px: int) -> Sprite:
    """A word in translucent white."""
    wide, high = round(160 * scale), round(48 * scale)
    letters: Picture = np.zeros((high, wide), np.uint8)
    thickness = max(1, round(3 * scale))
    place = (round(6 * scale), round(38 * scale))
    cv2.putText(
        letters, "RALLY", place, cv2.FONT_HERSHEY_TRIPLEX, 1.2 * scale, (255,), thickness, cv2.LINE_AA
    )
    alpha = (letters.astype(np.float32) / 255 * LOGO_OPACITY).astype(np.float32)
    white: Coverage = np.repeat(alpha[..., None] * np.float32(240), 3, axis=2)
    return Sprite((width_px - wide - round(20 * scale), round(34 * scale)), white, alpha)
