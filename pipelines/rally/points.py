"""How points are played: a chain of strokes, each aimed, bounced and received, until a player misses."""

from __future__ import annotations

import math

import numpy as np

from pipelines.rally.camera import HALF_LENGTH_M, SERVICE_LINE_M, net_height_m
from pipelines.rally.physics import (
    BALL_RADIUS_M,
    DRAG_PER_M,
    GRAVITY_MPS2,
    Arc,
    Event,
    Rally,
    first_time,
)
from pipelines.rally.sprites import Floats
from tracknet.datasets.schema import Status

# A player needs this much room between the racket and the wall behind.
SWING_ROOM_M = 1.3


def simulate_rally(rng: np.random.Generator, duration_s: float, wall_x_m: float, wall_y_m: float) -> Rally:
    """A rally that covers 0 .. `duration_s`, begun before 0 and, if points end, followed by further points."""
    builder = _Builder(rng, wall_x_m, wall_y_m, clock_s=-float(rng.uniform(0.0, 1.2)))
    begin_with_serve = bool(rng.random() < 0.22)
    while builder.clock_s < duration_s:
        builder.play_point(duration_s, begin_with_serve)
        builder.clock_s += float(rng.uniform(1.2, 2.2))
        begin_with_serve = True
    return builder.rally


class _Builder:
    """Appends arcs and events; `clock_s` and `position_m` are where the last arc ended."""

    def __init__(self, rng: np.random.Generator, wall_x_m: float, wall_y_m: float, clock_s: float) -> None:
        self.rng = rng
        self.wall_m = (wall_x_m - 0.3, wall_y_m - 0.3)
        self.clock_s = clock_s
        self.position_m: Floats = np.zeros(3)
        self.rally = Rally()

    def play_point(self, until_s: float, begin_with_serve: bool) -> None:
        """One point: a serve or a stroke from the baseline, then strokes until a player misses."""
        rng = self.rng
        side = int(rng.choice([-1, 1]))
        x_m = (
            float(rng.uniform(0.3, 1.5) * rng.choice([-1, 1])) if begin_with_serve else rng.uniform(-3.5, 3.5)
        )
        self.position_m = np.array(
            [x_m, side * (HALF_LENGTH_M + rng.uniform(0.1, 0.9)), rng.uniform(0.6, 1.3)]
        )
        if begin_with_serve:
            self._toss()
        serve = begin_with_serve
        while self.clock_s < until_s:
            self._event(Status.HIT, side, serve)
            flight = self._serve(side) if serve else self._stroke(side)
            if not serve and rng.random() < 0.015:
                self._into_net(flight)
                return
            side, serve = -side, False
            reached = self._receive(flight, side)
            if not reached:
                self._run_out(rng.uniform(0.5, 1.8))
                return

    def _event(self, kind: Status, side: int = 0, serve: bool = False) -> None:
        self.rally.events.append(Event(self.clock_s, kind, self.position_m.copy(), side, serve))

    def _append(self, arc: Arc) -> Arc:
        self.rally.arcs.append(arc)
        self.clock_s, self.position_m = arc.end_s, arc.at(arc.end_s)
        return arc

    def _toss(self) -> None:
        """Hold the ball, then throw it up to fall into the racket at about 2.7 m."""
        still = np.zeros(3)
        self.position_m[2] = 1.15
        held_s = float(self.rng.uniform(0.15, 0.5))
        self._append(Arc(self.clock_s, self.clock_s + held_s, self.position_m.copy(), still, still))
        contact_m, apex_m = float(self.rng.uniform(2.6, 2.8)), float(self.rng.uniform(3.0, 3.5))
        start_m = float(self.position_m[2])
        rise_s = math.sqrt(2 * (apex_m - start_m) / GRAVITY_MPS2)
        fall_s = math.sqrt(2 * (apex_m - contact_m) / GRAVITY_MPS2)
        forward = -math.copysign(0.35, float(self.position_m[1]))
        # Held before the middle of the body, thrown up towards the racket's side.
        outwards = math.copysign(0.33, forward) / (rise_s + fall_s)
        velocity = np.array([outwards, forward, GRAVITY_MPS2 * rise_s])
        gravity = np.array([0.0, 0.0, -GRAVITY_MPS2])
        self._append(
            Arc(self.clock_s, self.clock_s + rise_s + fall_s, self.position_m.copy(), velocity, gravity)
        )

    def _serve(self, side: int) -> Arc:
        box_x_m = -math.copysign(self.rng.uniform(0.6, 3.7), float(self.position_m[0]))
        depth_m = SERVICE_LINE_M - self.rng.uniform(0.2, 2.4)
        target = np.array([box_x_m, -side * depth_m, BALL_RADIUS_M])
        return self._aim(target, self.rng.uniform(31.0, 43.0), self.rng.uniform(1.0, 5.0), 0.06)

    def _stroke(self, side: int) -> Arc:
        """A drive, slice, lob or drop shot towards the other half."""
        rng = self.rng
        kind = rng.choice(["drive", "slice", "lob", "drop"], p=[0.77, 0.12, 0.07, 0.04])
        depth_m = rng.uniform(2.5, 4.5) if kind == "drop" else rng.uniform(6.8, HALF_LENGTH_M - 0.3)
        if rng.random() < 0.07:
            depth_m = HALF_LENGTH_M + rng.uniform(0.1, 0.9)
        target = np.array([rng.uniform(-3.9, 3.9), -side * depth_m, BALL_RADIUS_M])
        speed_mps = {
            "drive": rng.uniform(20, 36),
            "slice": rng.uniform(14, 20),
            "lob": rng.uniform(9.5, 12.5),
            "drop": rng.uniform(9, 12),
        }[str(kind)]
        spin_mps2 = {"drive": rng.uniform(3, 10), "slice": rng.uniform(-3, -1), "lob": 1.0, "drop": -1.0}[
            str(kind)
        ]
        return self._aim(target, speed_mps, spin_mps2, 0.12)

    def _aim(self, target_m: Floats, speed_mps: float, spin_mps2: float, clearance_m: float) -> Arc:
        """The arc from here to `target_m`, slowed down until it clears the net by `clearance_m`."""
        way_m = target_m - self.position_m
        flight_s = float(np.hypot(way_m[0], way_m[1])) / speed_mps
        while True:
            mean_mps = way_m[:2] / flight_s
            drag_mps2 = -DRAG_PER_M * float(np.linalg.norm(mean_mps)) * mean_mps
            acceleration = np.array([drag_mps2[0], drag_mps2[1], -GRAVITY_MPS2 - spin_mps2])
            velocity = way_m / flight_s - acceleration * flight_s / 2
            arc = Arc(self.clock_s, self.clock_s + flight_s, self.position_m.copy(), velocity, acceleration)
            net_s = first_time(arc, lambda p: p[1] * target_m[1] >= 0)
            at_net = arc.at(net_s)
            if at_net[2] >= net_height_m(float(at_net[0])) + clearance_m:
                return arc
            flight_s *= 1.04

    def _receive(self, flight: Arc, side: int) -> bool:
        """Fly, bounce and arrive at the racket of `side`; False if the ball gets past (it has bounced then)."""
        rng = self.rng
        misses = rng.random() < 0.11
        if not misses and rng.random() < 0.08:
            line_m = rng.uniform(1.8, 4.5)
            volley_s = first_time(flight, lambda p: p[1] * side >= line_m)
            if volley_s < flight.end_s - 0.1 and 0.4 < flight.at(volley_s)[2] < 2.3:
                self._append(
                    Arc(
                        flight.start_s,
                        volley_s,
                        flight.position_m,
                        flight.velocity_mps,
                        flight.acceleration_mps2,
                    )
                )
                return True
        self._append(flight)
        self._event(Status.BOUNCE)
        after = self._rebound(flight)
        if misses:
            self._append_until_wall(after)
            return False
        apex_s = float(after.velocity_mps[2]) / GRAVITY_MPS2
        contact_s = after.start_s + apex_s * rng.uniform(0.6, 1.15)
        room_m = self.wall_m[1] - SWING_ROOM_M
        contact_s = min(contact_s, first_time(after, lambda p: abs(p[1]) >= room_m))
        self._append(
            Arc(after.start_s, contact_s, after.position_m, after.velocity_mps, after.acceleration_mps2)
        )
        return True

    def _rebound(self, before: Arc) -> Arc:
        """The arc after a bounce, until the next one."""
        velocity = before.velocity_at(before.end_s) * np.array([0.72, 0.72, -self.rng.uniform(0.70, 0.80)])
        drag_mps2 = -DRAG_PER_M * float(np.linalg.norm(velocity)) * velocity[:2]
        acceleration = np.array([drag_mps2[0], drag_mps2[1], -GRAVITY_MPS2])
        end_s = self.clock_s + 2 * float(velocity[2]) / GRAVITY_MPS2
        ground_m = np.array([self.position_m[0], self.position_m[1], BALL_RADIUS_M])
        return Arc(self.clock_s, end_s, ground_m, velocity, acceleration)

    def _append_until_wall(self, arc: Arc) -> bool:
        """Append `arc`; where it meets a wall, stop there and go on from the wall until the ground. True if so."""
        wall_x_m, wall_y_m = self.wall_m
        wall_s = first_time(arc, lambda p: abs(p[0]) >= wall_x_m or abs(p[1]) >= wall_y_m)
        if wall_s >= arc.end_s:
            self._append(arc)
            self._event(Status.BOUNCE)
            return False
        self._append(Arc(arc.start_s, wall_s, arc.position_m, arc.velocity_mps, arc.acceleration_mps2))
        velocity = arc.velocity_at(wall_s)
        axis = 0 if abs(self.position_m[0]) >= wall_x_m - 1e-3 else 1
        velocity[axis] *= -0.3
        # Away from the wall drag no longer matters; only gravity does.
        self._append_drop(velocity * np.array([0.6, 0.6, 1.0]) if axis else velocity)
        return True

    def _append_drop(self, velocity_mps: Floats) -> None:
        """Fall from here to the ground under gravity alone, and bounce there."""
        height_m = float(self.position_m[2]) - BALL_RADIUS_M
        upwards_mps = float(velocity_mps[2])
        fall_s = (
            upwards_mps + math.sqrt(upwards_mps**2 + 2 * GRAVITY_MPS2 * max(height_m, 0.0))
        ) / GRAVITY_MPS2
        gravity = np.array([0.0, 0.0, -GRAVITY_MPS2])
        self._append(Arc(self.clock_s, self.clock_s + fall_s, self.position_m.copy(), velocity_mps, gravity))
        self._event(Status.BOUNCE)

    def _into_net(self, flight: Arc) -> None:
        """Fly at the net below its edge, fall down before it and run out."""
        side = math.copysign(1.0, float(self.position_m[1]))
        low_m = np.array([flight.position_m[0] * 0.5, side * BALL_RADIUS_M, self.rng.uniform(0.35, 0.85)])
        way_m = low_m - self.position_m
        flight_s = float(np.hypot(way_m[0], way_m[1])) / self.rng.uniform(19.0, 30.0)
        gravity = np.array([0.0, 0.0, -GRAVITY_MPS2])
        velocity = way_m / flight_s - gravity * flight_s / 2
        self._append(Arc(self.clock_s, self.clock_s + flight_s, self.position_m.copy(), velocity, gravity))
        self._append_drop(np.array([velocity[0] * 0.1, -velocity[1] * 0.06, 0.0]))
        self._run_out(self.rng.uniform(0.4, 1.5))

    def _run_out(self, for_s: float) -> None:
        """Further bounces, then rolling, until `for_s` has passed and the ball is taken away."""
        end_s = self.clock_s + for_s
        while self.clock_s < end_s:
            hop = self._rebound(self.rally.arcs[-1])
            if hop.velocity_mps[2] < 0.7:
                self._roll(hop.velocity_mps, end_s)
                return
            self._append_until_wall(hop)

    def _roll(self, velocity_mps: Floats, end_s: float) -> None:
        along_mps = velocity_mps * np.array([1.0, 1.0, 0.0])
        speed_mps = float(np.linalg.norm(along_mps)) + 1e-9
        stop_s = min(end_s - self.clock_s, speed_mps / 1.2)
        ground_m = np.array([self.position_m[0], self.position_m[1], BALL_RADIUS_M])
        rolling = Arc(self.clock_s, self.clock_s + stop_s, ground_m, along_mps, -1.2 * along_mps / speed_mps)
        wall_x_m, wall_y_m = self.wall_m
        wall_s = first_time(rolling, lambda p: abs(p[0]) >= wall_x_m or abs(p[1]) >= wall_y_m)
        self._append(
            Arc(self.clock_s, min(wall_s, rolling.end_s), ground_m, along_mps, rolling.acceleration_mps2)
        )
