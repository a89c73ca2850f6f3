"""The simulated rally obeys physics and the rules of the label."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipelines.rally.camera import HALF_DOUBLES_M, HALF_LENGTH_M, broadcast_camera, net_height_m
from pipelines.rally.physics import BALL_RADIUS_M, FRAMES_PER_S, GRAVITY_MPS2, Rally
from pipelines.rally.points import simulate_rally
from tracknet.datasets.schema import Status

DURATION_S = 6.0
WALLS_M = 11.0, 18.5


@pytest.fixture(scope="module", params=range(12))
def rally(request: pytest.FixtureRequest) -> Rally:
    return simulate_rally(np.random.default_rng(request.param), DURATION_S, *WALLS_M)


def test_the_ball_stays_above_ground_and_inside_the_walls(rally: Rally) -> None:
    for time_s in np.arange(0, DURATION_S, 1 / 240):
        ball_m = rally.ball_at(float(time_s))
        if ball_m is not None:
            assert ball_m[2] >= BALL_RADIUS_M - 1e-6
            assert abs(ball_m[0]) <= WALLS_M[0] + 1e-6
            assert abs(ball_m[1]) <= WALLS_M[1] + 1e-6


def test_bounces_touch_the_ground_and_turn_the_ball_upwards_with_less_speed(rally: Rally) -> None:
    bounces = [event for event in rally.events if event.kind == Status.BOUNCE]
    assert bounces
    for event in bounces:
        assert event.position_m[2] == pytest.approx(BALL_RADIUS_M, abs=1e-6)
        before = [arc for arc in rally.arcs if arc.end_s == event.time_s]
        after = [arc for arc in rally.arcs if arc.start_s == event.time_s]
        falling = before[0].velocity_at(event.time_s)[2]
        assert falling < 0
        if after:
            assert 0 <= after[0].velocity_mps[2] < -falling


def test_arcs_meet_and_lie_in_order(rally: Rally) -> None:
    for before, after in itertools.pairwise(rally.arcs):
        assert after.start_s >= before.end_s
        if after.start_s == before.end_s:
            np.testing.assert_allclose(after.position_m, before.at(before.end_s), atol=1e-6)


def test_between_events_the_height_is_a_parabola(rally: Rally) -> None:
    for arc in rally.arcs:
        if arc.end_s - arc.start_s < 0.1 or arc.acceleration_mps2[2] == 0:
            continue
        times_s = np.linspace(arc.start_s, arc.end_s - 1e-6, 9)
        seen = [rally.ball_at(float(t)) for t in times_s]
        assert all(ball_m is not None for ball_m in seen)
        bend = (
            2 * np.polyfit(times_s - arc.start_s, [ball_m[2] for ball_m in seen if ball_m is not None], 2)[0]
        )
        assert bend == pytest.approx(arc.acceleration_mps2[2], abs=1e-4)
        # Gravity, more with topspin, less with slice.
        assert -GRAVITY_MPS2 - 10 <= bend <= -GRAVITY_MPS2 + 3


def test_strokes_that_reach_the_other_side_pass_over_the_net(rally: Rally) -> None:
    for arc in rally.arcs:
        y0_m, y1_m = arc.position_m[1], arc.at(arc.end_s)[1]
        if y0_m * y1_m >= 0 or min(abs(y0_m), abs(y1_m)) < 0.1:
            continue
        times_s = np.linspace(arc.start_s, arc.end_s, 2001)
        path_m = np.stack([arc.at(float(t)) for t in times_s])
        at_net = path_m[np.argmin(np.abs(path_m[:, 1]))]
        assert at_net[2] > net_height_m(float(at_net[0]))


def test_status_is_on_the_frame_nearest_the_event(rally: Rally) -> None:
    frames = int(DURATION_S * FRAMES_PER_S)
    status = rally.status(frames)
    for event in rally.events:
        frame = round(event.time_s * FRAMES_PER_S)
        if 0 <= frame < frames:
            assert status[frame] in (event.kind, Status.HIT)
    inside = {round(e.time_s * FRAMES_PER_S) for e in rally.events} & set(range(frames))
    assert {frame for frame, code in enumerate(status) if code} == inside


def test_players_alternate(rally: Rally) -> None:
    hits = [event for event in rally.events if event.kind == Status.HIT]
    for before, after in itertools.pairwise(hits):
        if not after.serve:
            assert after.side == -before.side


@pytest.mark.parametrize("seed", range(6))
def test_the_camera_sees_the_whole_court(seed: int) -> None:
    camera = broadcast_camera(np.random.default_rng(seed), 1280, 720)
    corners = [(sx * HALF_DOUBLES_M, sy * HALF_LENGTH_M, 0.0) for sx in (-1, 1) for sy in (-1, 1)]
    places_px, _ = camera.project(np.array(corners))
    assert (places_px > 0).all()
    assert (places_px < (1280, 720)).all()
    assert camera.ground_y_m(float(places_px[0, 1])) == pytest.approx(-HALF_LENGTH_M, abs=0.3)


def test_an_enlarged_camera_maps_pixel_centres_as_a_resize_does() -> None:
    camera = broadcast_camera(np.random.default_rng(0), 1280, 720)
    points_m = np.array([[1.0, 2.0, 0.5], [-3.0, -9.0, 1.0]])
    frame_px, fine_px = camera.project(points_m)[0], camera.enlarged(3, (10, 20)).project(points_m)[0]
    np.testing.assert_allclose(fine_px, (frame_px - (10, 20) + 0.5) * 3 - 0.5, atol=1e-9)
