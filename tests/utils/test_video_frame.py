"""A frame's pixels are those that OpenCV reads, upright, and of the colours that the video states."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.videos import pictures, read_images, turn, write_video
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage
from tracknet.utils.video import Video
from tracknet.utils.video_counts import count_packets


def opencv(path: Path) -> list[RGBImage]:
    capture, images = cv2.VideoCapture(str(path)), []
    while (answer := capture.read())[0]:
        images.append(cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB))
    return images


@pytest.mark.parametrize("clockwise_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("color_range", [None, 2])
def test_pixels_are_those_of_opencv(tmp_path: Path, clockwise_deg: int, color_range: int | None) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(3), color_range=color_range)
    if clockwise_deg:
        turn(path, clockwise_deg)
    mine, reference = read_images(path), opencv(path)
    assert mine[0].shape == ((160, 90, 3) if clockwise_deg in (90, 270) else (90, 160, 3))
    assert mine[0].flags["C_CONTIGUOUS"]
    with Video(path) as video:
        assert video.size == Size(mine[0].shape[1], mine[0].shape[0])
    np.testing.assert_array_equal(mine, reference)


@pytest.mark.parametrize(
    ("colorspace", "kr", "kb"),
    [(None, 0.299, 0.114), (1, 0.2126, 0.0722), (6, 0.299, 0.114), (9, 0.2627, 0.0593)],
)
@pytest.mark.parametrize("full", [False, True])
def test_the_stated_colour_matrix_is_used(
    tmp_path: Path, colorspace: int | None, kr: float, kb: float, full: bool
) -> None:
    red = [np.full((32, 48, 3), (200, 60, 50), np.uint8)]
    path = write_video(tmp_path / "a.mp4", red, colorspace=colorspace, color_range=2 if full else None)
    with av.open(str(path)) as container:
        y, u, v = (
            float(np.frombuffer(plane, np.uint8)[0]) for plane in next(container.decode(video=0)).planes
        )
    y, u, v = (
        (y, u - 128, v - 128)
        if full
        else ((y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224)
    )
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    assert read_images(path)[0][16, 24] == pytest.approx([r, g, b], abs=2.5)


def test_real_broadcast_video(shared_data: Path) -> None:
    path = shared_data / "data" / "badminton" / "match2" / "video" / "00039.mp4"
    with Video(path) as video:
        images = [frame.image() if frame.index < 2 else None for frame in video]
    assert (video.size, len(images), count_packets(path), video.whole) == (Size(1280, 720), 91, 91, True)
    capture = cv2.VideoCapture(str(path))
    for image in images[:2]:
        np.testing.assert_array_equal(image, cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB))
