"""Predictions made up frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from tracknet.datasets.schema import frame_key
from tracknet.datasets.table import NO_STATUS, FrameTable
from tracknet.training.metrics import Predictions

NAN = float("nan")


@dataclass(frozen=True)
class Frame:
    """One frame: a true point (None: absent), a guess (None: none made) and its scores."""

    truth: tuple[float, float] | None
    guess: tuple[float, float] | None
    score: float = 0.9
    visibility: int | None = None
    clip: tuple[str, str] = ("game1", "Clip1")
    number: int | None = None
    status: int | None = None
    blob: float | None = None
    size: tuple[int, int] = (1280, 720)

    @property
    def code(self) -> int:
        return self.visibility if self.visibility is not None else int(self.truth is not None)


def predictions_of(frames: Sequence[Frame]) -> Predictions:
    """The frames as predictions; those of a clip must stand together. Numbers ascend where none are given."""
    clips = list(dict.fromkeys(frame.clip for frame in frames))
    counted: dict[tuple[str, str], int] = {}
    numbers = []
    for frame in frames:
        counted[frame.clip] = counted.get(frame.clip, -1) + 1
        numbers.append(counted[frame.clip] if frame.number is None else frame.number)
    table = FrameTable(
        keys=[frame_key(*frame.clip, number) for frame, number in zip(frames, numbers, strict=True)],
        clips=clips,
        clip_id=np.array([clips.index(frame.clip) for frame in frames], np.int32),
        frame=np.array(numbers, np.int32),
        xy_px=np.array([frame.truth or (NAN, NAN) for frame in frames], np.float64).reshape(-1, 2),
        visibility=np.array([frame.code for frame in frames], np.int8),
        status=np.array(
            [(0 if f.truth else NO_STATUS) if f.status is None else f.status for f in frames], np.int8
        ),
        source_size=np.array([frame.size for frame in frames], np.int32).reshape(-1, 2),
    )
    return Predictions(
        frames=table,
        xy_px=np.array([frame.guess or (NAN, NAN) for frame in frames], np.float64).reshape(-1, 2),
        score=np.array([frame.score if frame.guess else 0.0 for frame in frames]),
        blob_score=np.array([frame.score if frame.blob is None else frame.blob for frame in frames]),
    )


def off_by(error: float | None, score: float = 0.9, **options: object) -> Frame:
    """A frame whose guess is so far to the right of the ball; None: no ball, NaN: no guess."""
    truth = None if error is None else (100.0, 100.0)
    guess = None if error is not None and np.isnan(error) else (100.0 + (error or 0.0), 100.0)
    return Frame(truth, guess, score, **options)  # type: ignore[arg-type]


@st.composite
def any_frames(draw: st.DrawFn, max_size: int = 30) -> list[Frame]:
    """Frames of up to three clips with every visibility, near and far guesses, no guesses and equal scores."""
    frames = []
    for clip in range(draw(st.integers(1, 3))):
        size = draw(st.sampled_from([(1280, 720), (640, 360), (1920, 1080), (1000, 1000)]))
        for _ in range(draw(st.integers(1, max(1, max_size // 3)))):
            code = draw(st.integers(0, 3))
            truth = (300.0, 200.0) if code else None
            # Whole and half pixels: exactly at a protocol's distance is what goes wrong.
            step = st.integers(-24, 24).map(lambda n: n / 2)
            guess = (300.0 + draw(step), 200.0 + draw(step)) if draw(st.integers(0, 5)) else None
            score = draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]))
            blob = draw(st.sampled_from([0.2, 0.6, 3.0, 11.5]))
            frames.append(Frame(truth, guess, score, code, ("game1", f"Clip{clip}"), blob=blob, size=size))
    return frames
