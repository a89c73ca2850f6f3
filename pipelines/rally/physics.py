"""The rally: where the ball is at every moment, who hits it and where it bounces.

A rally is a chain of arcs of constant acceleration: gravity, the downward pull of topspin (or the lift
of slice) and the mean air drag of that flight. Arcs meet at events: hits, bounces, the net, a wall.
Axes and units are those of `rally.camera`. A side is -1 (near the camera) or +1 (far).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tracknet.datasets.schema import Status

Floats = NDArray[np.float64]

FRAMES_PER_S = 30
GRAVITY_MPS2 = 9.81
BALL_RADIUS_M = 0.033
# Quadratic drag of a tennis ball per metre flown: 0.5 * air density * drag coefficient * area / mass.
DRAG_PER_M = 0.5 * 1.2 * 0.55 * math.pi * BALL_RADIUS_M**2 / 0.058


@dataclass(frozen=True)
class Arc:
    """Flight of constant acceleration from `start_s` until `end_s`."""

    start_s: float
    end_s: float
    position_m: Floats
    velocity_mps: Floats
    acceleration_mps2: Floats

    def at(self, time_s: float) -> Floats:
        """Position [3] in metres."""
        passed = time_s - self.start_s
        return self.position_m + self.velocity_mps * passed + 0.5 * self.acceleration_mps2 * passed**2

    def velocity_at(self, time_s: float) -> Floats:
        """Velocity [3] in metres a second."""
        return self.velocity_mps + self.acceleration_mps2 * (time_s - self.start_s)


@dataclass(frozen=True)
class Event:
    """A hit, with the side that hits, or a bounce, with side 0."""

    time_s: float
    kind: Status
    position_m: Floats
    side: int = 0
    serve: bool = False


@dataclass
class Rally:
    """Arcs in order of time, with gaps where no ball is in play, and the events between them."""

    arcs: list[Arc] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def ball_at(self, time_s: float) -> Floats | None:
        """The ball's centre [3] in metres, or None while there is no ball."""
        index = bisect_right(self.arcs, time_s, key=lambda arc: arc.start_s) - 1
        return self.arcs[index].at(time_s) if index >= 0 and time_s < self.arcs[index].end_s else None

    def status(self, frames: int) -> list[Status]:
        """Every frame's status: events count on the frame nearest to them; a hit outranks a bounce."""
        status = [Status.FLYING] * frames
        for event in sorted(self.events, key=lambda e: -e.kind):
            frame = round(event.time_s * FRAMES_PER_S)
            if 0 <= frame < frames:
                status[frame] = event.kind
        return status


def first_time(arc: Arc, reached: Callable[[Floats], bool]) -> float:
    """First time within the arc at which `reached(position)` holds, or its end; `reached` must stay true."""
    if not reached(arc.at(arc.end_s)):
        return arc.end_s
    low_s, high_s = arc.start_s, arc.end_s
    for _ in range(40):
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (low_s, middle_s) if reached(arc.at(middle_s)) else (middle_s, high_s)
    return high_s
