"""What is said of a model that is slower than a live source, on a clock that only the source and the model move."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tests.inference.conftest import MakeModel
from tracknet.inference import api, live_pace
from tracknet.inference.live_pace import PacedSource, paced
from tracknet.inference.outputs import Job
from tracknet.inference.predictor import Predictor
from tracknet.inference.run_job import run_job
from tracknet.inference.source_contract import SourceFrame
from tracknet.utils.video import VideoTraits

Kind = Literal["keeps", "drops", "camera"]


class Stream:
    """Pictures at a rate; what is not read in time is kept (a TCP connection) or lost (UDP, a camera's driver).

    Args:
        rate: pictures per second; what the source states may be another figure, or none.
        kind: of a camera the time of a picture is when it is read.
        ahead_s: how much was kept before anybody read.
        limit_s: by the clock; then it ends.
    """

    live, repeatable, stated_frames = True, False, None
    traits = VideoTraits()
    name = "court"

    def __init__(
        self,
        rate: float,
        kind: Kind = "keeps",
        *,
        states: float | None = None,
        ahead_s: float = 0.0,
        limit_s: float = 100.0,
    ) -> None:
        self.frame_rate = states
        self.now_s = 1000.0
        self._rate, self._kind, self._ahead_s, self._limit_s = rate, kind, ahead_s, limit_s
        self.closed = self.started_at = 0

    def clock(self) -> float:
        return self.now_s

    def start_at(self, number: int) -> None:
        self.started_at = number

    def __iter__(self) -> Iterator[SourceFrame]:
        begun_s, position, number = self.now_s - self._ahead_s, 0, 0
        while self.now_s < 1000 + self._limit_s:
            if self._kind != "keeps":
                position = max(position, math.floor((self.now_s - begun_s) * self._rate))
            self.now_s = max(self.now_s, begun_s + position / self._rate)
            time_s = self.now_s - begun_s if self._kind == "camera" else position / self._rate
            yield SourceFrame(number, time_s, lambda: np.zeros((2, 2, 3), np.uint8))
            position, number = position + 1, number + 1

    def notes(self) -> list[str]:
        return ["its own"]

    def close(self) -> None:
        self.closed += 1


def told(
    stream: Stream, model_s: float, *, warm_up_s: float = 0.0, batch_size: int = 1
) -> tuple[list[str], list[str]]:
    """The lines said meanwhile, and the notes at the end, where a frame takes the model so long."""
    lines: list[str] = []
    source = PacedSource(stream, batch_size=batch_size, say=lines.append, clock=stream.clock)
    for frame in source:
        stream.now_s += model_s + (warm_up_s if frame.number == 0 else 0.0)
    own, *rest = source.notes()
    assert own == "its own"
    return lines, rest


REMEDY = (
    "; what it cannot keep up with waits or is lost. A smaller model, --batch 8 (batch_size) or a faster --device may "
    "keep up"
)


def test_a_stream_that_waits_falls_behind_and_is_told_of_once_a_minute():
    lines, notes = told(Stream(30, states=30.0), 0.125)
    slower = "the model was slower than the stream: 8.0 of its 30 frames/s were done"
    assert lines == [
        f"court: for 5.0 s {slower}, 7.2 s behind it now{REMEDY}",
        f"court: for 5.0 s {slower}, 51.2 s behind it now{REMEDY}",
    ]
    assert notes == [f"for 1:35 {slower}, 1:13 behind it at the end{REMEDY}"]


@pytest.mark.parametrize("kind", ["drops", "camera"])
def test_pictures_that_are_dropped_are_told_of_by_their_rate(kind: Kind):
    lines, notes = told(Stream(30000 / 1001, kind, states=30000 / 1001), 0.25, batch_size=8)
    assert len(lines) == 2
    slower = "the model was slower than the stream: 4.0 of its 29.97 frames/s were done; what it cannot"
    assert lines[0].startswith(f"court: for 5.0 s {slower}")
    assert "--batch" not in lines[0]
    assert notes[0].startswith(f"for 1:35 {slower}")


def test_a_camera_that_states_no_rate_waits_for_the_model():
    lines, notes = told(Stream(30, "camera"), 0.2)
    assert lines[0].startswith(
        "court: for 5.0 s the model was slower than the stream: 5.0 frames/s were done;"
    )
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("stream", "model_s"),
    [
        (Stream(30, states=30.0), 0.03),  # nearly all of the time
        (Stream(30, "drops", states=30.0), 0.03),
        (Stream(30, "camera", states=30.0), 0.015),
        (Stream(30, "camera"), 0.015),
        (Stream(12, "camera", states=30.0), 0.03),  # in the dark, as cameras do
        (Stream(15, states=60.0), 0.02),  # a header that is wrong
        (Stream(30, states=30.0, ahead_s=40.0), 0.02),  # sent at once, and caught up with
    ],
    ids=["model", "drops", "camera", "no rate", "dark", "header", "ahead"],
)
def test_nothing_is_said_of_a_model_that_keeps_up(stream: Stream, model_s: float):
    assert told(stream, model_s) == ([], [])


def test_a_first_frame_that_takes_long_is_caught_up_with():
    assert told(Stream(30, states=30.0), 0.01, warm_up_s=8.0) == ([], [])


def test_a_model_that_is_slow_for_a_while_is_noted_with_how_long():
    stream = Stream(30, states=30.0)
    lines: list[str] = []
    source = PacedSource(stream, batch_size=1, say=lines.append, clock=stream.clock)
    for frame in source:
        stream.now_s += 0.1 if 20 <= frame.time_s < 22 else 0.02
    assert len(lines) == 1
    (_, note) = source.notes()
    assert re.match(r"for 5\.\d s the model was slower than the stream: ", note)
    assert "behind" not in note  # it has caught up


def test_all_else_is_the_source_s_own():
    stream = Stream(25, states=25.0)
    source = paced(stream, batch_size=1, say=print)
    assert isinstance(source, PacedSource)
    assert (source.name, source.frame_rate, source.live, source.repeatable) == ("court", 25.0, True, False)
    source.start_at(7)
    source.close()
    assert (stream.started_at, stream.closed) == (7, 1)
    stream.live = False
    assert paced(stream, batch_size=1, say=print) is stream


@pytest.fixture
def half_a_second(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """A stream whose frames take half a second each, whatever is done with them."""
    stream = Stream(30, states=30.0, limit_s=12.0)

    class Slow(PacedSource):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options, clock=stream.clock)

        def __iter__(self) -> Iterator[SourceFrame]:
            for frame in super().__iter__():
                yield frame
                stream.now_s += 0.5

    monkeypatch.setattr(live_pace, "PacedSource", Slow)
    return stream


SLOWER = "for 5.0 s the model was slower than the stream: 2.0 of its 30 frames/s were done, "


def test_the_command_says_it_meanwhile_and_notes_it(
    half_a_second: Stream, make_model: MakeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    predictor = Predictor(make_model(), device="cpu", batch_size=1)
    done = run_job(Job("rtsp://host/court", "court"), half_a_second, predictor, tmp_path, forms=["csv"])
    assert len(done.predictions) == 24
    assert done.notes[0] == "its own"
    assert done.notes[1].startswith(SLOWER)
    assert f"\nnote: court: {SLOWER}" in f"\n{capsys.readouterr().err}"


def test_the_call_in_python_warns_and_notes_it(
    half_a_second: Stream, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(api, "open_frames", lambda *_, **__: half_a_second)
    with pytest.warns(UserWarning, match=f"court: {SLOWER}"):
        found = api.predict("rtsp://host/court", make_model(), device="cpu")
    own, note = found.about["notes"]
    assert own == "its own"
    assert note.startswith(SLOWER)
