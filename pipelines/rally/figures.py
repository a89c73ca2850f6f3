"""People drawn from capsules: what a figure wears and does, its parts in the world, its picture.

The same figures serve as players, ball kids, line judges and the umpire.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipelines.rally.camera import Camera
from pipelines.rally.sprites import Floats, Picture, Sprite, Window

Colour = tuple[int, int, int]

SUPERSAMPLING = 3
THIGH_M = SHIN_M = 0.46
UPPER_ARM_M = FOREARM_M = 0.31
RACKET_M = 0.52
STRING_COLOUR: Colour = (190, 190, 190)


@dataclass(frozen=True)
class Outfit:
    """Colours (blue, green, red) of a figure."""

    shirt: Colour
    shorts: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    socks: Colour = (235, 235, 235)
    racket: Colour = (40, 40, 40)


@dataclass(frozen=True)
class Part:
    """A capsule through `points_m` [N, 3] of the given radii (both ends, metres); `filled` for a polygon."""

    points_m: Floats
    radius_m: float
    end_radius_m: float
    colour: Colour
    filled: bool = False


@dataclass(frozen=True)
class Pose:
    """What a figure does: where it stands, how fast and in which stride it runs, where its racket points.

    Vectors are local: right, forward, up, seen from the figure that looks towards the net.
    """

    place_m: Floats
    side: int
    velocity_local_mps: Floats
    stride_rad: float
    racket_local_m: Floats | None
    free_hand_local_m: Floats
    crouch_m: float = 0.0


def _joint(
    start: Floats, end: Floats, first_m: float, second_m: float, towards: Floats
) -> tuple[Floats, Floats]:
    """Elbow or knee between `start` and `end` (pulled into reach), bent towards a direction; both points."""
    way = end - start
    length = float(np.linalg.norm(way)) + 1e-9
    reach = min(length, (first_m + second_m) * 0.995)
    along = way / length
    end = start + along * reach
    share = (first_m**2 - second_m**2 + reach**2) / (2 * reach)
    bend = towards - along * float(towards @ along)
    bend = bend / (float(np.linalg.norm(bend)) + 1e-9)
    return start + along * share + bend * math.sqrt(max(first_m**2 - share**2, 0.0)), end


def figure_parts(pose: Pose, outfit: Outfit) -> list[Part]:
    """A person as parts in the world, those farther from the camera first."""
    speed_mps = float(np.linalg.norm(pose.velocity_local_mps))
    run = min(speed_mps / 3.0, 1.0)
    heading = pose.velocity_local_mps / (speed_mps + 1e-6)
    hips = _local(0.0, 0.0, 0.88 - 0.05 * (1 - run) - pose.crouch_m)
    chest = hips + _local(0.0, 0.10, 0.52) + heading * 0.12 * run
    legs = _legs(hips, heading, run, pose.stride_rad, outfit)
    trunk = _trunk(hips, chest, pose.side, outfit)
    arms, racket = _arms(chest, pose, outfit)
    near = pose.side < 0
    parts = racket + arms + legs + trunk if near else legs + trunk + arms + racket
    to_world = _local(-pose.side, -pose.side, 1.0)
    return [replace(part, points_m=pose.place_m + part.points_m * to_world) for part in parts]


def _local(right_m: float, forward_m: float, up_m: float) -> Floats:
    """A point or direction as the figure sees it, that looks towards the net."""
    return np.array([right_m, forward_m, up_m])


def _capsule(start: Floats, end: Floats, radius_m: float, end_radius_m: float, colour: Colour) -> Part:
    return Part(np.stack([start, end]), radius_m, end_radius_m, colour)


def _legs(hips: Floats, heading: Floats, run: float, stride_rad: float, outfit: Outfit) -> list[Part]:
    """Both legs; `run` is 0 standing with feet apart .. 1 in full stride along `heading`."""
    legs: list[Part] = []
    for side in (-1.0, 1.0):
        phase = stride_rad + (math.pi if side > 0 else 0.0)
        foot = _local(side * (0.29 - 0.15 * run), -0.05, 0.08) + heading * 0.42 * run * math.sin(phase)
        foot[2] += 0.28 * run * max(0.0, math.cos(phase))
        hip = hips + _local(side * 0.10, 0.0, 0.0)
        knee, ankle = _joint(hip, foot, THIGH_M, SHIN_M, _local(side * 0.25, 1.0, 0.2))
        heel, toe = ankle + _local(0, -0.05, -0.04), ankle + _local(0.02 * side, 0.16, -0.05)
        legs += [
            _capsule(knee, ankle, 0.062, 0.045, outfit.skin),
            _capsule(hip, knee, 0.085, 0.062, outfit.skin),
            _capsule(knee * 0.3 + ankle * 0.7, ankle, 0.05, 0.045, outfit.socks),
            _capsule(heel, toe, 0.05, 0.045, outfit.shoes),
            _capsule(hip, hip * 0.35 + knee * 0.65, 0.115, 0.105, outfit.shorts),
        ]
    return legs


def _trunk(hips: Floats, chest: Floats, side: int, outfit: Outfit) -> list[Part]:
    """Seat, shirt, neck and head; far players (`side` 1) show their faces, near players their hair."""
    shirt = [hips + _local(-0.12, 0, 0.06), hips + _local(0.12, 0, 0.06)]
    shirt += [chest + _local(0.19, 0, -0.03), chest + _local(-0.19, 0, -0.03)]
    head = chest + _local(0.0, 0.05, 0.24)
    hair = head + (_local(0.0, -0.045, 0.045) if side < 0 else _local(0.0, -0.02, 0.075))
    return [
        _capsule(hips + _local(-0.08, 0, 0), hips + _local(0.08, 0, 0), 0.11, 0.11, outfit.shorts),
        Part(np.stack(shirt), 0.06, 0.06, outfit.shirt, filled=True),
        _capsule(chest + _local(0, 0.02, 0.05), head, 0.055, 0.06, outfit.skin),
        _capsule(head, head + _local(0, 0, 0.03), 0.105, 0.10, outfit.skin),
        _capsule(hair, hair + _local(0, 0, 0.01), 0.10, 0.095, outfit.hair),
    ]


def _arms(chest: Floats, pose: Pose, outfit: Outfit) -> tuple[list[Part], list[Part]]:
    """Both arms, and the racket in the right hand of those who hold one."""
    left, right = chest + _local(-0.19, 0, -0.03), chest + _local(0.19, 0, -0.03)
    arms, _ = _arm(left, pose.free_hand_local_m, -0.6, outfit)
    if pose.racket_local_m is None:
        hanging, _ = _arm(right, right + _local(0.15, 0.1, -0.5), 0.6, outfit)
        return arms + hanging, []
    # The hand stays between the chest and the racket's head, a racket's length from it.
    way = pose.racket_local_m - (right + _local(0.0, 0.1, -0.2))
    grip = pose.racket_local_m - way / (float(np.linalg.norm(way)) + 1e-9) * RACKET_M
    holding, hand = _arm(right, grip, 0.6, outfit)
    return arms + holding, _racket(hand, pose.racket_local_m, outfit)


def _arm(shoulder: Floats, hand: Floats, outwards: float, outfit: Outfit) -> tuple[list[Part], Floats]:
    """One arm, and where its hand is in the end."""
    elbow, hand = _joint(shoulder, hand, UPPER_ARM_M, FOREARM_M, _local(outwards, -0.3, -1.0))
    parts = [
        _capsule(elbow, hand, 0.042, 0.036, outfit.skin),
        _capsule(shoulder, elbow, 0.055, 0.045, outfit.skin),
        _capsule(shoulder, shoulder * 0.45 + elbow * 0.55, 0.072, 0.068, outfit.shirt),
    ]
    return parts, hand


def _racket(hand: Floats, head: Floats, outfit: Outfit) -> list[Part]:
    """A string, the handle and the hoop, which stands upright across the swing."""
    along = head - hand
    along = along / (float(np.linalg.norm(along)) + 1e-9)
    across = np.cross(along, _local(0.0, 1.0, 0.15))
    across = across / (float(np.linalg.norm(across)) + 1e-9)
    turns = np.linspace(0, 2 * math.pi, 13)
    hoop = [head + along * 0.17 * math.cos(turn) + across * 0.13 * math.sin(turn) for turn in turns]
    return [
        _capsule(head - along * 0.15, head + along * 0.15, 0.008, 0.008, STRING_COLOUR),
        _capsule(hand, head - along * 0.17, 0.018, 0.014, outfit.racket),
        Part(np.stack(hoop), 0.014, 0.014, outfit.racket),
    ]


def standing(place_m: Floats, side: int, crouch: bool) -> Pose:
    """A person who waits: a ball kid, a line judge."""
    crouch_m = 0.4 if crouch else 0.0
    return Pose(place_m, side, np.zeros(3), 0.0, None, np.array([-0.22, 0.12, 0.85 - crouch_m]), crouch_m)


def draw_parts(
    parts: Sequence[Part],
    camera: Camera,
    shadow_m: tuple[float, float] | None = None,
    within: Window | None = None,
) -> Sprite | None:
    """Paint parts as a sprite; with `shadow_m`, their shadow on the ground instead.

    `shadow_m` is how far, in world x and y, light carries the shadow of a point per metre of its height.
    None where nothing would be seen in the window `within`.
    """
    points = [part.points_m for part in parts]
    if shadow_m is not None:
        slant = np.array([[1, 0, 0], [0, 1, 0], [shadow_m[0], shadow_m[1], 0.0]])
        points = [p @ slant for p in points]
    flat, depth_m = camera.project(np.concatenate(points))
    px_per_m = camera.focal_px / depth_m
    margin = 0.2 * float(px_per_m.max()) + 2
    left, top = (math.floor(v - margin) for v in flat.min(axis=0))
    right, bottom = (math.ceil(v + margin) for v in flat.max(axis=0))
    width, height = right - left, bottom - top
    if within is not None and not within.meets(left, top, width, height):
        return None
    canvas = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING, 4), np.uint8)
    fine = (flat - np.array([left, top]) + 0.5) * SUPERSAMPLING - 0.5
    start = 0
    for part in parts:
        stop = start + len(part.points_m)
        scale = float(px_per_m[start]) * SUPERSAMPLING
        _paint(canvas, fine[start:stop], part, scale, lit=shadow_m is None)
        start = stop
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    return Sprite((left, top), np.ascontiguousarray(small[..., :3]), (small[..., 3] / 255).astype(np.float32))


def _paint(canvas: Picture, points_px: Floats, part: Part, px_per_m: float, lit: bool) -> None:
    """Paint one part with 1/16 pixel precision; `lit` adds a brighter band along its upper left."""
    colour = (*part.colour, 255)
    fixed = np.round(points_px * 16).astype(np.int32)
    if part.filled:
        cv2.fillConvexPoly(canvas, fixed, colour, cv2.LINE_8, 4)
        cv2.polylines(
            canvas, [fixed], True, colour, max(1, round(2 * part.radius_m * px_per_m)), cv2.LINE_8, 4
        )
        return
    radii = np.linspace(part.radius_m, part.end_radius_m, len(points_px)) * px_per_m
    if len(points_px) > 2:
        cv2.polylines(canvas, [fixed], False, colour, max(1, round(2 * float(radii[0]))), cv2.LINE_8, 4)
        return
    for point, radius in zip(fixed, radii, strict=True):
        cv2.circle(
            canvas, (int(point[0]), int(point[1])), round(float(radius) * 16), colour, -1, cv2.LINE_8, 4
        )
    way = points_px[1] - points_px[0]
    normal = np.array([-way[1], way[0]]) / (float(np.hypot(way[0], way[1])) + 1e-9)
    quad = np.stack(
        [
            points_px[0] + normal * radii[0],
            points_px[1] + normal * radii[1],
            points_px[1] - normal * radii[1],
            points_px[0] - normal * radii[0],
        ]
    )
    cv2.fillConvexPoly(canvas, np.round(quad * 16).astype(np.int32), colour, cv2.LINE_8, 4)
    if lit and radii[0] > 4:
        band = np.round((points_px - 0.3 * radii[:, None]) * 16).astype(np.int32)
        bright = (*(min(255, int(v * 1.12) + 6) for v in part.colour), 255)
        cv2.line(
            canvas,
            band[0].tolist(),
            band[1].tolist(),
            bright,
            max(1, round(float(radii.mean()))),
            cv2.LINE_8,
            4,
        )
