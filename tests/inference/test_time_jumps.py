"""Where a playlist's time jumps, something is missing; small unevenness is none."""

from __future__ import annotations

import pytest

from tracknet.inference.time_jumps import TimeJumps


def after(times_s: list[float], frame_rate: float | None = 30.0) -> TimeJumps:
    jumps = TimeJumps(frame_rate)
    for time_s in times_s:
        jumps(time_s)
    return jumps


def test_one_part_of_a_long_playlist_is_found():
    # 0.1 % of it: too little for the sum of its parts to show.
    jumps = after([number / 30 for number in range(90_000) if not 45_000 <= number < 45_120])
    assert (jumps.count, jumps.missing_frames) == (1, 120)
    (note,) = jumps.notes()
    assert note.startswith(
        "its time stamps jump once, over about 120 frames: after 1499.967 s (120 frames); parts"
    )


@pytest.mark.parametrize(
    ("times_s", "frame_rate"),
    [
        ([], 30.0),
        ([0.0, 0.0, 0.033, 0.4, 0.43], 30.0),  # uneven, and one held
        ([0.0, 1.0, 2.0, 6.0, 7.0], 1.0),  # a time-lapse may leave a few out
        ([0.0, 0.033, 9.0], None),
    ],
)
def test_small_jumps_are_none(times_s: list[float], frame_rate: float | None):
    jumps = after(times_s, frame_rate)
    assert (jumps.count, jumps.missing_frames, jumps.notes()) == (0, 0, [])


def test_of_many_the_first_are_named():
    jumps = after([second + number / 30 for second in range(0, 18, 2) for number in range(30)])
    assert (jumps.count, jumps.missing_frames) == (8, 240)
    (note,) = jumps.notes()
    assert (
        "jump 8 times, over about 240 frames: after 0.967 s (30 frames), after 2.967 s (30 frames)," in note
    )
    assert "after 8.967 s (30 frames) and 3 times later; parts" in note
    assert "after 10.967 s" not in note
