"""Frames of a camera of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tracknet.inference.source_contract import SourceFrame
from tracknet.utils.errors import RunError
from tracknet.utils.images import RGBImage
from tracknet.utils.naming import counted
from tracknet.utils.video_traits import VideoTraits


class CameraSource:
    """A camera of this machine, through OpenCV; time is when a picture came."""

    live, repeatable = True, False
    traits = VideoTraits()

    def __init__(self, index: int) -> None:
        import cv2

        self.name = f"camera {index}"
        self.stated_frames: int | None = None
        self._ended_after: int | None = None
        # Of a camera that is not there, OpenCV prints a page about how it looked.
        logging: Any = cv2.utils.logging
        level = logging.getLogLevel()
        logging.setLogLevel(0)
        try:
            self._camera: Any = cv2.VideoCapture(index)
        finally:
            logging.setLogLevel(level)
        if not self._camera.isOpened():
            raise RunError(
                f"{self.name} cannot be opened",
                remedy="check that it is plugged in, that no other program uses it, and its number (0 is the first)",
            )
        self.frame_rate: float | None = float(self._camera.get(cv2.CAP_PROP_FPS)) or None

    def start_at(self, number: int) -> None:
        """Does nothing: a camera begins now."""

    def __iter__(self) -> Iterator[SourceFrame]:
        import cv2

        start_s, number = time.monotonic(), 0
        while True:
            there, picture = self._camera.read()
            if not there:
                self._ended_after = number
                return
            if number == 0:
                start_s = time.monotonic()
            image: RGBImage = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            yield SourceFrame(number, time.monotonic() - start_s, lambda image=image: image)  # type: ignore[misc]
            number += 1

    def notes(self) -> list[str]:
        """Whether it stopped by itself: a camera gives what it gives, as long as it is there."""
        if self._ended_after is None:
            return []
        return [f"the camera gave no further picture after {counted(self._ended_after, 'frame')}"]

    def close(self) -> None:
        """Frees the camera."""
        self._camera.release()
