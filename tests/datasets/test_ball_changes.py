"""The ball of a window elsewhere, blurred or hidden: pictures and labels agree, no frame in memory is written to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.datasets.balls import SIZE, Clip, flying, scenery, seen_at
from tracknet.datasets.ball_changes import BallChanges
from tracknet.datasets.batch import Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.flights import Flights, Shown
from tracknet.datasets.plan import ball_rng
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.windows import make_windows
from tracknet.utils.config import load_config
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import transform_points
from tracknet.utils.settings import (
    AugmentConfig,
    MotionBlurConfig,
    OccludeConfig,
    PasteConfig,
    SequenceConfig,
    StreakConfig,
    ZoomConfig,
)

BALL_PX = 6.0
PASTE = AugmentConfig(ball_px=BALL_PX, paste=PasteConfig(prob=1.0))
STREAK = AugmentConfig(ball_px=BALL_PX, streak=StreakConfig(prob=1.0))
OCCLUDE = AugmentConfig(ball_px=BALL_PX, occlude=OccludeConfig(prob=1.0))


def changed(
    clip: Clip, config: AugmentConfig, window: int, *, seed: int = 0, length: int = 3
) -> tuple[Shown, Shown]:
    """A window as stored, and as it is trained on."""
    windows = make_windows(clip.table, SequenceConfig(length))
    rows = np.unique(windows.rows(np.array([window]))[0])
    shown = Shown([clip.pictures[row] for row in rows], clip.table.xy_px[rows], clip.table.visibility[rows])
    changes = BallChanges(config, clip.table, windows, SIZE)
    return shown, changes.change(window, rows, shown, ball_rng(seed, 0, window), clip.read)


@pytest.mark.parametrize("window", [3, 8, 15])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_moved_ball_is_where_the_label_says_and_nowhere_else(window: int, seed: int) -> None:
    clip = Clip(flying(20))
    before, after = changed(clip, PASTE, window, seed=seed)
    assert after is not before
    for frame, point, old in zip(after.frames, after.points, before.points, strict=True):
        # Nothing else differs from the empty court: the old ball is gone.
        assert seen_at(frame, clip.background) == pytest.approx(point, abs=0.2)
        assert np.hypot(*(point - old)) > 0
    # One frame beside the window was read: the court behind the ball.
    assert len(clip.reads) == 1
    # The way is the ball's own, mirrored at most.
    np.testing.assert_allclose(np.abs(np.diff(after.points, axis=0)), [[4.5, 0.75]] * 2, atol=1e-9)
    assert after.visibility.tolist() == [1, 1, 1]


def test_the_old_places_are_as_the_court_is() -> None:
    clip = Clip(flying(20))
    _, after = changed(clip, PASTE, 8, seed=3)
    for frame, (x, y) in zip(after.frames, after.points, strict=True):
        ys, xs = np.mgrid[: SIZE.height, : SIZE.width]
        elsewhere = np.hypot(xs - x, ys - y) > 8
        assert np.abs(frame.astype(int) - clip.background)[elsewhere].max() <= 2


def test_stored_frames_are_not_written_to() -> None:
    clip = Clip(flying(20))
    kept = [picture.copy() for picture in clip.pictures]
    everything = replace(
        PASTE, streak=STREAK.streak, occlude=OCCLUDE.occlude, motion_blur=MotionBlurConfig(prob=1.0)
    )
    before, after = changed(clip, everything, 8)
    assert not any(np.shares_memory(one, other) for one in after.frames for other in clip.pictures)
    for picture, copy in zip(clip.pictures, kept, strict=True):
        assert np.array_equal(picture, copy)
    np.testing.assert_array_equal(before.points, clip.table.xy_px[7:10])


def test_a_window_without_a_ball_is_lent_one() -> None:
    clip = Clip([*flying(12), *[None] * 6])
    before, after = changed(clip, PASTE, 15)
    assert np.isnan(before.points).all()
    for frame, point in zip(after.frames, after.points, strict=True):
        assert seen_at(frame, clip.background) == pytest.approx(point, abs=0.2)
    assert after.visibility.tolist() == [1, 1, 1]
    # Its three frames lie together and have a ball.
    assert np.diff(clip.reads).tolist() == [1, 1] and max(clip.reads) < 12
    only_seen = replace(PASTE, paste=PasteConfig(prob=1.0, empty=False))
    before, after = changed(clip, only_seen, 15)
    assert after is before
    # The frame at the clip's end comes twice in its window: two distinct ones.
    _, after = changed(clip, PASTE, 17)
    assert len(after.frames) == 2 and not np.isnan(after.points).any()


def test_what_cannot_be_done_well_is_not_done() -> None:
    # It vanishes meanwhile.
    clip = Clip([*flying(12), *[None] * 6])
    before, after = changed(clip, PASTE, 11)
    assert after is before
    # No ball in the whole run, and none that ever moves away.
    for places in ([None] * 8, [(60.0, 40.0)] * 8):
        before, after = changed(Clip(places), PASTE, 4)
        assert after is before
    # The camera has moved: what was behind the ball is no longer there.
    clip = Clip(flying(20))
    other = scenery(5)
    clip.pictures = [clip.pictures[row] if 6 <= row <= 10 else other for row in range(20)]
    before, after = changed(clip, PASTE, 8)
    assert after is before


@pytest.mark.parametrize("label", ["centre", "leading"])
def test_a_streak_lies_about_or_behind_the_label(label: str) -> None:
    clip = Clip(flying(24, by=(6.0, 0.0)))
    config, windows = (
        replace(STREAK, streak=StreakConfig(label=label)),
        make_windows(clip.table, SequenceConfig(3)),
    )
    rows = np.array([9, 10, 11])
    before = Shown(clip.pictures[9:12], clip.table.xy_px[rows], clip.table.visibility[rows])
    flights = Flights(config, clip.table, windows, SIZE)
    after = flights.fly(10, rows, before, clip.read, to_place=None, exposure=1.0)
    np.testing.assert_allclose(after.points, before.points, atol=1e-9)
    for frame, old, (x, y) in zip(after.frames, before.frames, after.points, strict=True):
        wide, narrow = (
            np.abs(f.astype(int) - clip.background).max(axis=2).max(axis=0) > 8 for f in (frame, old)
        )
        assert wide.sum() > narrow.sum() + 2
        seen_x, seen_y = seen_at(frame, clip.background)
        assert seen_y == pytest.approx(y, abs=0.3)
        if label == "centre":
            assert seen_x == pytest.approx(x, abs=0.3)
        else:
            assert seen_x < x - 1.0
            assert np.flatnonzero(wide)[-1] <= np.flatnonzero(narrow)[-1]


def test_who_is_hidden_is_called_what_the_data_call_it() -> None:
    clip = Clip(flying(20, by=(1.0, 0.0)))
    occluded_known = replace(clip.table, visibility=clip.table.visibility.copy())
    occluded_known.visibility[0] = 3
    found: dict[str, set[int]] = {"auto": set(), "absent": set(), "occluded": set(), "known": set()}
    for seed in range(25):
        for label in ("auto", "absent", "occluded"):
            config = replace(OCCLUDE, occlude=OccludeConfig(prob=1.0, label=label))
            before, after = changed(clip, config, 10, seed=seed)
            found[label] |= set(after.visibility.tolist())
            absent = after.visibility == 0
            assert np.isnan(after.points[absent]).all()
            np.testing.assert_array_equal(after.points[~absent], before.points[~absent])
            if label == "absent":
                for number in np.flatnonzero(absent):
                    x, y = np.rint(before.points[number]).astype(int)
                    assert after.frames[number][y, x].max() < 200  # the ball is white
        known = Clip(flying(20, by=(1.0, 0.0)))
        known.table = occluded_known
        found["known"] |= set(changed(known, OCCLUDE, 10, seed=seed)[1].visibility.tolist())
    assert found["auto"] == found["absent"] == {0, 1, 2}
    assert found["occluded"] == found["known"] == {1, 2, 3}


def test_a_clear_ball_is_one_that_shows() -> None:
    clip = Clip(flying(20))
    for seed in range(25):
        _, after = changed(clip, OCCLUDE, 10, seed=seed)
        for frame, (x, y), visibility in zip(after.frames, after.points, after.visibility, strict=True):
            if visibility == 1:
                column, row = round(x), round(y)
                assert frame[row - 2 : row + 3, column - 2 : column + 3].max() > 145  # the court is below 140


def test_the_whole_picture_is_blurred_alike_and_labels_stay() -> None:
    clip = Clip(flying(20))
    config = AugmentConfig(motion_blur=MotionBlurConfig(prob=1.0, most_px=12.0))
    before, after = changed(clip, config, 8)
    assert after.points is before.points
    court = np.ptp(clip.background.astype(int), axis=(0, 1)).max()
    for frame, point in zip(after.frames, after.points, strict=True):
        assert not np.array_equal(frame, clip.background)
        assert np.ptp(frame.astype(int), axis=(0, 1)).max() < 255 + court
        assert seen_at(frame, changed_background(clip, config)) == pytest.approx(point, abs=0.25)


def changed_background(clip: Clip, config: AugmentConfig) -> np.ndarray:
    """The empty court under the blur of window 8."""
    empty = Clip([None] * 20)
    return changed(empty, config, 8)[1].frames[1]


def test_parts_do_not_depend_on_each_other() -> None:
    clip = Clip(flying(20))
    _, alone = changed(clip, PASTE, 8)
    _, with_blur = changed(clip, replace(PASTE, motion_blur=MotionBlurConfig(prob=1.0)), 8)
    np.testing.assert_array_equal(alone.points, with_blur.points)


# ---------------------------------------------------------------- in the batch


def assembled(
    clip: Clip, spec: SampleSpec, config: AugmentConfig, ids: list[int], *, skip: bool = False
) -> Batch:
    plain = replace(config, flip_prob=0.0, prob=0.0)
    spec = replace(spec, augment=plain, input_size=SIZE, heatmap_size=SIZE, sigma_cells=1.5)
    assembler = BatchAssembler(
        clip.table, make_windows(clip.table, spec.sequence), spec, skip_bad_frames=skip
    )
    return assembler.assemble(clip, np.array(ids))


def test_targets_and_places_in_the_batch_are_those_of_the_picture(spec: SampleSpec) -> None:
    clip = Clip(flying(20))
    config = replace(PASTE, zoom=ZoomConfig(prob=0.5))
    batch = assembled(clip, spec, config, list(range(2, 18)))
    moved = 0
    for slot in range(len(batch)):
        x, y = batch.xy_px[slot, 0].tolist()
        moved += np.hypot(*(np.array([x, y]) - clip.table.xy_px[slot + 2])) > 1
        in_picture = transform_points(np.linalg.inv(batch.to_frame[slot].numpy()), (x, y))
        row, column = np.unravel_index(int(batch.heatmaps[slot, 0].argmax()), (SIZE.height, SIZE.width))
        np.testing.assert_allclose(in_picture, (column, row), atol=0.5001)
        # White is where the target is highest, within what a magnified ball's middle may be off.
        near = batch.frames[slot, 1, :, row - 1 : row + 2, column - 1 : column + 2]
        assert near.amax() > 200
    assert moved >= 12
    assert batch.rows[:, 0].tolist() == list(range(2, 18))


def test_a_frame_read_besides_that_cannot_be_had_masks_its_window(spec: SampleSpec) -> None:
    clip = Clip(flying(20))
    read = clip.read

    def damaged(row: int) -> np.ndarray:
        if row == 12:
            raise RunError("frame 12 is damaged")
        return read(row)

    clip.read = damaged  # type: ignore[method-assign]
    # What is behind the ball of window 4 is seen on frame 9 or 10, of window 7 on 12.
    with pytest.raises(RunError, match="frame 12 is damaged"):
        assembled(clip, spec, PASTE, list(range(3, 9)))
    batch = assembled(clip, spec, PASTE, list(range(3, 9)), skip=True)
    bad = ~batch.valid.numpy()
    assert 0 < bad.sum() < 6
    assert {fault.row for fault in batch.faults} == {12} and len(batch.faults) == bad.sum()
    assert (batch.weights[bad] == 0).all() and (batch.weights[~bad] == 1).all()


def test_shared_frames_are_not_changed_for_one_window() -> None:
    with pytest.raises(UserError) as caught:
        load_config(
            overrides=["data.augment.per=run", "data.augment.paste.prob=0.5", "data.augment.zoom.prob=0.1"]
        )
    assert "which paste and zoom would change: set window" in caught.value.problems[0]
    assert (
        load_config(overrides=["data.augment.per=run", "data.augment.mixup.prob=0.5"]).data.augment.mixup.prob
        == 0.5
    )
