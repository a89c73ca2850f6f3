"""A camera's pictures as they come, and a camera that is not there."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from tracknet.inference.frame_source import open_frames
from tracknet.utils.errors import RunError


class FakeCamera:
    """Three blue pictures, then it is unplugged."""

    opened = True

    def __init__(self, index: int) -> None:
        self.index, self.left, self.released = index, 3, False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return (True, np.full((4, 6, 3), (200, 0, 0), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


def test_a_camera(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    source = open_frames("1")
    assert (source.name, source.live, source.frame_rate, source.stated_frames) == (
        "camera 1",
        True,
        25.0,
        None,
    )
    frames = list(source)
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert frames[0].time_s == 0.0 or frames[0].time_s < 0.1
    assert frames[2].image()[0, 0].tolist() == [0, 0, 200]
    source.close()
    assert source._camera.released  # type: ignore[attr-defined]
    monkeypatch.setattr(FakeCamera, "opened", False)
    with pytest.raises(RunError, match="camera 0 cannot be opened"):
        open_frames("0")


def test_a_camera_that_is_not_there_is_told_in_our_words_alone(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(RunError, match="camera 97 cannot be opened"):
        open_frames("97")
    assert capfd.readouterr() == ("", "")
