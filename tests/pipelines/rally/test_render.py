"""What is labelled is what is rendered."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.rally.looks import VENUES, game_look
from pipelines.rally.render import ClipRenderer
from tracknet.datasets.schema import Visibility

SIZE_PX = 640, 360
FRAMES = 45


@pytest.fixture(scope="module")
def renderers() -> list[ClipRenderer]:
    return [ClipRenderer(0, game, 1, FRAMES, *SIZE_PX) for game in (1, 2, 3)]


def test_the_ball_is_where_the_label_says(renderers: list[ClipRenderer]) -> None:
    checked = 0
    for renderer in renderers:
        for frame in range(0, FRAMES, 2):
            truth = renderer.truth(frame)
            # Within the exposure of an event the path has a kink, and its mean is not its middle.
            near_event = any(
                abs(e.time_s - frame / 30) < renderer.look.exposure_s for e in renderer.rally.events
            )
            if (
                truth.visibility != Visibility.CLEAR
                or truth.xy_px is None
                or truth.uncovered < 0.999
                or near_event
            ):
                continue
            with_ball = renderer.render(frame, noise=False).astype(float)
            change = np.abs(with_ball - renderer.render(frame, ball=False, noise=False)).sum(axis=2)
            rows, columns = np.nonzero(change)
            weights = change[rows, columns]
            if np.ptp(rows) > 30 or _uneven_ground(renderer, frame, rows, columns):
                continue
            centroid = (columns @ weights / weights.sum(), rows @ weights / weights.sum())
            assert centroid == pytest.approx(truth.xy_px, abs=0.3)
            checked += 1
    assert checked >= 15


def _uneven_ground(renderer: ClipRenderer, frame: int, rows: np.ndarray, columns: np.ndarray) -> bool:
    """Whether the ball lies before something that would pull the centroid of the change: a line, a person."""
    empty = renderer.render(frame, ball=False, noise=False).astype(float)
    return bool(
        empty[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].std(axis=(0, 1)).max() > 5
    )


def test_frames_without_a_ball_show_none(renderers: list[ClipRenderer]) -> None:
    for renderer in renderers:
        for frame in range(FRAMES):
            if renderer.rally.ball_at(frame / 30) is None:
                assert renderer.truth(frame).visibility == Visibility.ABSENT
                plain = renderer.render(frame, noise=False)
                np.testing.assert_array_equal(plain, renderer.render(frame, ball=False, noise=False))


def test_labels_alone_equal_the_labels_of_rendered_frames(renderers: list[ClipRenderer]) -> None:
    for renderer in renderers:
        for frame in range(0, FRAMES, 9):
            assert renderer.frame(frame)[1] == renderer.truth(frame)


def test_frames_may_be_rendered_in_any_order(renderers: list[ClipRenderer]) -> None:
    again = ClipRenderer(0, 1, 1, FRAMES, *SIZE_PX)
    for frame in (20, 3):
        np.testing.assert_array_equal(renderers[0].render(frame), again.render(frame))


def test_noise_is_mild_and_differs_between_frames(renderers: list[ClipRenderer]) -> None:
    renderer = renderers[0]
    noises = [renderer.render(f).astype(float) - renderer.render(f, noise=False) for f in (5, 6)]
    for noise in noises:
        assert 0.5 < noise.std() < 4
        assert abs(noise.mean()) < 0.3
    assert np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1] < 0.1


def test_visibility_follows_from_what_is_seen(renderers: list[ClipRenderer]) -> None:
    for renderer in renderers:
        for frame in range(FRAMES):
            truth = renderer.truth(frame)
            if truth.visibility == Visibility.OCCLUDED:
                assert truth.uncovered < 0.35
            if truth.visibility in (Visibility.CLEAR, Visibility.HARD):
                assert truth.uncovered >= 0.35
            if truth.visibility == Visibility.CLEAR:
                assert truth.contrast_levels > 20
            assert (truth.xy_px is None) == (truth.visibility == Visibility.ABSENT) == (truth.status is None)


def test_games_look_different_and_every_venue_occurs() -> None:
    looks = [game_look(0, game, 1280, 720) for game in range(1, len(VENUES) + 1)]
    assert len({look.court for look in looks}) == len(VENUES)
    assert {look.kind for look in looks} == {venue[0] for venue in VENUES}
    assert game_look(0, 3, 1280, 720) == looks[2]
    assert game_look(1, 3, 1280, 720) != looks[2]
