"""A frame comes to the model from a video or a folder exactly as it went into the shards, but for the JPEG."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MakeDataset
from tests.videos import pictures, turn, write_match, write_video
from tracknet.datasets.index import open_split
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.inference.frame_source import open_frames
from tracknet.inference.pipeline import FrameRange, input_frames
from tracknet.inference.predictor import InputFrame
from tracknet.utils.geometry import Size
from tracknet.utils.images import encode_jpeg, read_image

STORED = Size(96, 48)


def build(root: Path, out: Path, *more: str) -> None:
    from pipelines import build_shards

    arguments = ["--root", str(root), "--out", str(out), "--workers", "1", "data.resize=[96,48]", *more]
    assert build_shards.run(arguments) == 0


def both(shards: ShardSet, source: Path) -> Iterator[tuple[InputFrame, np.ndarray, bytes]]:
    """Frames as predicted on, as read from the shards, and as bytes in the shards."""
    reader = ShardReader(shards)
    (shard,) = shards.folder.glob("val-*.tar")
    with tarfile.open(shard) as tar:
        rows = range(len(shards.table))
        for frame, row in zip(input_frames(open_frames(source), STORED), rows, strict=True):
            assert frame.number == shards.table.frame[row]
            member = tar.extractfile(f"{shards.table.keys[row]}.jpg")
            assert member is not None
            yield frame, reader.read(row), member.read()


@pytest.mark.parametrize("turned", [False, True])
def test_a_video_gives_the_pixels_that_were_stored(tmp_path: Path, turned: bool):
    for match in ("match1", "match2"):
        video, labels = write_match(tmp_path / "data", match, seed=len(match))
        if turned:
            turn(video, 90)
            lines = labels.read_text().splitlines()
            rows = [f"{n},0,0,0" for n in range(len(lines) - 1)]
            labels.write_text("\n".join([lines[0], "0,1,20,30", *rows[1:]]) + "\n")
    build(tmp_path / "data", tmp_path / "shards", "--val-games", "match2")
    shards = open_split(tmp_path / "shards", "val")
    count = 0
    for frame, stored, jpeg in both(shards, video):
        # The very bytes in the shard: before the JPEG there is no difference at all.
        assert encode_jpeg(frame.pixels) == jpeg
        assert np.abs(frame.pixels.astype(int) - stored).mean() < 1.5
        assert frame.source_size == (Size(90, 160) if turned else Size(160, 90))
        count += 1
    assert count == 12


def test_a_folder_gives_the_pixels_that_were_stored(tmp_path: Path, make_dataset: MakeDataset):
    root = make_dataset(games=2, clips=1, frames=6)
    build(root, tmp_path / "shards")
    shards = open_split(tmp_path / "shards", "val")
    for frame, stored, jpeg in both(shards, root / "game2" / "Clip1"):
        assert encode_jpeg(frame.pixels) == jpeg
        assert np.abs(frame.pixels.astype(int) - stored).mean() < 1.5


def test_a_range_brings_its_neighbours_along_unwanted(tmp_path: Path):
    video = write_video(tmp_path / "a.mp4", pictures(20))
    frames = list(input_frames(open_frames(video), STORED, FrameRange(8, 11), reach=2))
    assert [(frame.number, frame.wanted) for frame in frames] == [
        (6, False), (7, False), (8, True), (9, True), (10, True), (11, False), (12, False),
    ]  # fmt: skip
    assert [frame.number for frame in input_frames(open_frames(video), STORED, FrameRange(18), reach=4)] == [
        14, 15, 16, 17, 18, 19,
    ]  # fmt: skip


@pytest.mark.parametrize("clip", ["match8/video/00004.mp4"])
def test_real_frames_are_those_of_the_shards(shared_data: Path, clip: str, tmp_path: Path):
    from tracknet.utils.images import resize_frame
    from tracknet.utils.video import Video

    path = shared_data / "data" / "badminton" / clip
    with Video(path) as video:
        first = next(iter(video)).image()
    frames = input_frames(open_frames(path), Size(512, 288))
    frame = next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert encode_jpeg(frame.pixels) == encode_jpeg(resize_frame(first, Size(512, 288)))
    (tmp_path / "stored.jpg").write_bytes(encode_jpeg(frame.pixels))
    error = frame.pixels.astype(int) - read_image(tmp_path / "stored.jpg")
    assert 0 < np.abs(error).mean() < 1.5
