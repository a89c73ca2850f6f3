"""A folder's pictures: in natural order, with the numbers of their names where those are numbers of frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tracknet.inference.frame_source import open_frames
from tracknet.inference.source_contract import FrameSource


def numbers(source: FrameSource) -> list[int]:
    return [frame.number for frame in source]


def test_pictures_in_natural_order_with_the_numbers_of_their_names(tmp_path: Path):
    for number in (10, 2, 0, 3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 12, 3), number * 10, np.uint8))
    source = open_frames(tmp_path, fps=50)
    frames = [(frame.number, frame.time_s, int(frame.image()[0, 0, 0])) for frame in source]
    assert frames == [(0, 0.0, 0), (2, 0.04, 20), (3, 0.06, 30), (10, 0.2, 100)]
    # What macOS puts beside files on other disks is no picture.
    (tmp_path / "._10.png").write_bytes(b"resource fork")
    source = open_frames(tmp_path)
    assert (numbers(source), source.notes()) == ([0, 2, 3, 10], [])
    cv2.imwrite(str(tmp_path / "last.png"), np.zeros((8, 12, 3), np.uint8))
    source = open_frames(tmp_path)
    assert numbers(source) == [0, 1, 2, 3, 4]
    told = "numbered 0, 1, 2, ... and not by their names: last.png has no number for a name"
    assert source.notes() == [told]
    (tmp_path / "last.png").rename(tmp_path / "03.png")
    source = open_frames(tmp_path)
    assert numbers(source) == [0, 1, 2, 3, 4]
    assert source.notes() == ["numbered 0, 1, 2, ... and not by their names: two are named 3"]


@pytest.mark.parametrize(
    ("first", "step"), [(20261123120000000000, 1), (1_700_000_000_000, 33), (0, 33_366_700)]
)
def test_names_that_are_times_are_no_numbers(tmp_path: Path, first: int, step: int):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{first + number * step}.png"), np.zeros((8, 12, 3), np.uint8))
    source = open_frames(tmp_path, fps=50)
    assert [(frame.number, frame.time_s) for frame in source] == [(0, 0.0), (1, 0.02), (2, 0.04)]
    (told,) = source.notes()
    assert told.endswith(f"{first} to {first + 2 * step} for 3 pictures are times, not frames")


def test_names_far_apart_are_numbers(tmp_path: Path):
    for number in (7, 90_000):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((8, 12, 3), np.uint8))
    assert numbers(open_frames(tmp_path)) == [7, 90_000]


def test_a_picture_that_cannot_be_read_leaves_a_gap_and_a_note(tmp_path: Path):
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"shot{number}.jpg"), np.zeros((8, 12, 3), np.uint8))
    whole = (tmp_path / "shot2.jpg").read_bytes()
    (tmp_path / "shot2.jpg").write_bytes(whole[:-20])
    source = open_frames(tmp_path)
    assert numbers(source) == [0, 1, 3]
    first, second = source.notes()
    assert first == "pictures that cannot be read, and have no row: 1"
    assert second.startswith("shot2.jpg is cut short")
