"""The two players: where they run, and how they stand, swing and serve."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rally.camera import HALF_LENGTH_M
from pipelines.rally.figures import Pose
from pipelines.rally.physics import Event, Rally
from pipelines.rally.sprites import Floats
from tracknet.datasets.schema import Status

# Where the racket's head is between strokes: right, forward, up in metres.
REST: Floats = np.array([0.25, 0.55, 1.15])


class PlayerTrack:
    """Where the player of one side (-1 near, +1 far) is over time, and what it does there."""

    def __init__(self, rally: Rally, side: int, rng: np.random.Generator) -> None:
        self.side = side
        self.strokes = [e for e in rally.events if e.kind is Status.HIT and e.side == side]
        self.others = [e for e in rally.events if e.kind is Status.HIT and e.side == -side]
        # A right-handed player has the ball on the right; on a backhand it stands the other way.
        self.reach_m = [
            0.35 if e.serve else float(rng.choice([0.8, -0.65], p=[0.62, 0.38])) for e in self.strokes
        ]
        anchors: list[tuple[float, float, float]] = []
        for event, reach_m in zip(self.strokes, self.reach_m, strict=True):
            x_m, y_m = event.position_m[0] - self.to_world(reach_m, 0.0)[0], event.position_m[1] + side * 0.35
            anchors.append((event.time_s, float(x_m), float(y_m)))
            if event.serve:  # Stands still while it holds and throws the ball.
                anchors.append((event.time_s - 1.6, float(x_m), float(y_m)))
        for event in self.others:
            if all(abs(event.time_s - own[0]) > 0.35 for own in anchors):
                home_y = side * (HALF_LENGTH_M + float(rng.uniform(0.2, 1.6)))
                anchors.append((event.time_s + 0.15, float(rng.uniform(-1.3, 1.3)), home_y))
        if not anchors:
            anchors.append((0.0, float(rng.uniform(-2, 2)), side * (HALF_LENGTH_M + 0.8)))
        last = max(anchors)
        anchors.append((last[0] + 0.9, last[1] * 0.55, last[2]))
        self.anchors = np.array(sorted(anchors))

    def to_world(self, right_m: float, forward_m: float) -> tuple[float, float]:
        """Local right and forward as world x and y."""
        return -self.side * right_m, -self.side * forward_m

    def place(self, time_s: float) -> Floats:
        """Ground position [2]; eased between anchors, so that a player speeds up and slows down."""
        times = self.anchors[:, 0]
        after = int(np.searchsorted(times, time_s))
        if after in (0, len(times)):
            return np.array(self.anchors[min(after, len(times) - 1), 1:])
        before_s, after_s = times[after - 1], times[after]
        share = (time_s - before_s) / max(after_s - before_s, 1e-6)
        eased = share * share * (3 - 2 * share)
        return np.array(self.anchors[after - 1, 1:] * (1 - eased) + self.anchors[after, 1:] * eased)

    def pose(self, time_s: float) -> Pose:
        """The pose at a time; strides follow the ground covered, the racket follows the strokes."""
        place, step_s = self.place(time_s), 1 / 30
        velocity = (self.place(time_s + step_s) - self.place(time_s - step_s)) / (2 * step_s)
        local = np.array([-self.side * velocity[0], -self.side * velocity[1], 0.0])
        stride_rad = 2 * math.pi * float(place @ np.array([0.8, 0.6])) / 1.9
        racket, hand = self._arms(time_s, place)
        return Pose(np.array([place[0], place[1], 0.0]), self.side, local, stride_rad, racket, hand)

    def _arms(self, time_s: float, place: Floats) -> tuple[Floats, Floats]:
        """Racket head and free hand, local."""
        for event, reach_m in zip(self.strokes, self.reach_m, strict=True):
            since_s = time_s - event.time_s
            ball = self._local(event, place)
            keys = _serve(ball) if event.serve else _stroke(ball, math.copysign(1.0, reach_m))
            times_s = [key_s for key_s, _ in keys]
            if not times_s[0] < since_s < times_s[-1]:
                continue
            points = np.stack([point for _, point in keys])
            racket = np.array([np.interp(since_s, times_s, points[:, axis]) for axis in range(3)])
            if not event.serve:
                return racket, np.array([-0.45 * math.copysign(1.0, reach_m), 0.25, 1.2])
            # The free hand lifts the ball and comes down before the racket arrives.
            lift = float(np.clip((since_s + 1.1) / 0.45, 0.0, 1.0)) if since_s < -0.2 else 0.0
            return racket, np.array([ball[0] - 0.1, 0.35, 1.1 + 0.85 * lift])
        return REST, np.array([-0.15, 0.35, 1.1])

    def _local(self, event: Event, place: Floats) -> Floats:
        away = event.position_m[:2] - place
        return np.array([-self.side * away[0], -self.side * away[1], event.position_m[2]])


def _serve(ball: Floats) -> list[tuple[float, Floats]]:
    """Seconds from the hit, and where the racket's head is then: down, behind the head, ball, across."""
    return [
        (-1.7, REST),
        (-0.75, np.array([0.5, -0.25, 1.2])),
        (-0.3, np.array([0.45, -0.35, 1.75])),
        (-0.1, np.array([0.3, -0.3, 1.5])),
        (0.0, ball),
        (0.16, np.array([-0.3, 0.6, 1.0])),
        (0.7, REST),
    ]


def _stroke(ball: Floats, across: float) -> list[tuple[float, Floats]]:
    """As `_serve`, for a forehand (`across` 1) or a backhand (-1): back, ball, forward, over the shoulder."""
    return [
        (-0.75, REST),
        (-0.3, np.array([across * 0.85, -0.45, 1.25])),
        (0.0, ball),
        (0.14, np.array([-0.1 * across, 0.8, 1.3])),
        (0.3, np.array([-0.55 * across, 0.15, 1.6])),
        (0.75, REST),
    ]
