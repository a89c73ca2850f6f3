"""Detections where the label has no ball, and absences that are too brief for the ball to have left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.metrics.conftest import Frame, predictions_of
from tracknet.training.metrics.bootstrap import clip_weights
from tracknet.training.metrics.false_alarms import brief_absences, false_alarms

BALL, NONE = (10.0, 10.0), None


def frames_of(*clips: str) -> list[Frame]:
    """A clip per word: `o` a frame with a ball, `.` one without, `!` one without but with a detection."""
    return [
        Frame(BALL if letter == "o" else NONE, BALL if letter in "o!" else NONE, clip=("g", f"c{number}"))
        for number, clip in enumerate(clips)
        for letter in clip
    ]


def test_only_short_pieces_between_seen_balls_are_brief():
    told = brief_absences(predictions_of(frames_of("..oo.o..o...o..", ".o..")).frames)
    assert "".join("b" if one else "-" for one in told) == "----b-bb-------" + "----"


def test_a_gap_in_the_numbers_ends_a_piece():
    frames = [
        Frame(BALL if n % 2 == 0 else NONE, None, number=number) for n, number in enumerate((0, 1, 5, 6, 7))
    ]
    assert brief_absences(predictions_of(frames).frames).tolist() == [False, False, False, True, False]
    assert brief_absences(predictions_of([]).frames).tolist() == []


@given(
    st.lists(st.text("o.", min_size=1, max_size=12), min_size=1, max_size=4),
    st.integers(min_value=0, max_value=4),
)
def test_equals_a_search_from_every_frame(clips: list[str], most: int):
    wanted = []
    for clip in clips:
        for at, letter in enumerate(clip):
            before = len(clip[:at]) - len(clip[:at].rstrip("."))
            after = len(clip[at:]) - len(clip[at:].lstrip("."))
            inside = at - before > 0 and at + after < len(clip)
            wanted.append(letter == "." and inside and before + after <= most)
    assert brief_absences(predictions_of(frames_of(*clips)).frames, most).tolist() == wanted


def test_rates_apart():
    predictions = predictions_of(frames_of("o!o.o!!!..o", "oo!.oo....."))
    told = false_alarms(predictions, 0.5, clip_weights(2, 50))
    assert (told["empty_frames"], told["false_alarms"]) == (14, 5)
    assert told["brief"] == {"empty_frames": 4, "false_alarms": 2, "rate": 0.5}
    assert told["other"] == {"empty_frames": 10, "false_alarms": 3, "rate": 0.3}
    assert told["rate"] == pytest.approx(5 / 14)
    assert np.all(np.diff(told["interval"]) >= 0)
