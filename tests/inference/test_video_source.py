"""A video's frames: upright, at their own times, and with notes on what did not decode."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.videos import pictures, turn, write_video
from tracknet.inference.frame_source import open_frames
from tracknet.inference.video_source import no_picture


def test_times_are_the_videos_own(tmp_path: Path):
    times = [0, 40, 60, 200, 210]
    source = open_frames(write_video(tmp_path / "a.mkv", pictures(5), times=times))
    assert [frame.time_s for frame in source] == pytest.approx([t / 1000 for t in times])
    even = open_frames(write_video(tmp_path / "b.mp4", pictures(4), rate=Fraction(30000, 1001)))
    assert [frame.time_s for frame in even] == pytest.approx([n * 1001 / 30000 for n in range(4)])
    assert even.frame_rate == pytest.approx(30000 / 1001)
    assert (even.stated_frames, even.notes()) == (4, [])


def test_pictures_are_upright(tmp_path: Path):
    source = open_frames(turn(write_video(tmp_path / "a.mp4", pictures(2)), 90))
    assert [frame.image().shape for frame in source] == [(160, 90, 3)] * 2


@pytest.mark.parametrize(
    ("codec", "pixels", "size", "name"),
    [
        ("ffv1", "bgr0", (1, 1), "a.mkv"),
        ("ffv1", "yuv420p10le", (64, 48), "a.mkv"),
        ("ffv1", "yuv420p", (36, 64), "a.mkv"),
        ("mjpeg", "yuvj420p", (7680, 4320), "a.avi"),
    ],
)
def test_unusual_pictures(tmp_path: Path, codec: str, pixels: str, size: tuple[int, int], name: str):
    drawn = [np.full((size[1], size[0], 3), 90 + 20 * n, np.uint8) for n in range(2)]
    source = open_frames(write_video(tmp_path / name, drawn, codec=codec, pixels=pixels, options={"crf": ""}))
    images = [frame.image() for frame in source]
    assert [image.shape for image in images] == [(size[1], size[0], 3)] * 2
    assert [abs(float(image.mean()) - 90 - 20 * n) < 3 for n, image in enumerate(images)] == [True, True]


def test_a_header_that_claims_too_much_is_told_of(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", pictures(12))
    data = bytearray(path.read_bytes())
    # The last packets as noise: the header goes on to state all twelve.
    data[-400:] = bytes(400)
    path.write_bytes(data)
    source = open_frames(path)
    found = [frame.number for frame in source]
    assert found == list(range(len(found)))
    assert 0 < len(found) <= 12
    assert source.notes()


def test_a_cut_file_gives_what_is_there_and_says_so(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", pictures(40), options={"g": "5"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = open_frames(path)
    found = [frame.number for frame in source]
    assert 5 < len(found) < 40
    assert found == list(range(len(found)))
    notes = "\n".join(source.notes())
    assert "cut short" in notes
    assert f"states 40 frames, {len(found)} decode" in notes


def test_frames_before_the_first_stamp_are_shown_before_it(tmp_path: Path):
    """Matroska knows no stamps below 0, and FFmpeg gives such frames none."""
    path, times = tmp_path / "a.mkv", [33 * number - 300 for number in range(12)]
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for picture, stamp in zip(pictures(12), times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    source = open_frames(path)
    assert [frame.time_s for frame in source] == pytest.approx([n / 30 for n in range(12)], abs=2e-3)
    assert source.notes() == []


def test_of_two_streams_of_pictures_the_first_is_taken_and_the_other_told_of(tmp_path: Path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        streams = [out.add_stream("libx264", rate=30) for _ in range(2)]
        for stream, size in zip(streams, ((160, 90), (320, 180)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for stream, size, count in zip(streams, ((160, 90), (320, 180)), (6, 9), strict=True):
            for picture in pictures(count, size=size):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode(None))
    source = open_frames(tmp_path / "a.mp4")
    assert [frame.image().shape for frame in source] == [(90, 160, 3)] * 6
    assert source.notes() == ["it holds 2 streams of pictures, of which the first is taken"]


def test_where_no_frames_are_stated_the_length_says_how_many_to_expect(tmp_path: Path):
    for name in ("a.mkv", "a.ts"):
        source = open_frames(write_video(tmp_path / name, pictures(20)))
        assert source.stated_frames == pytest.approx(20, abs=1)
        assert len(list(source)) == 20
        assert source.notes() == []


def test_a_wait_without_a_limit_of_ours_is_told_by_the_networks_own() -> None:
    error = TimeoutError(110, "Connection timed out")
    assert no_picture("x", None, error).what == "x cannot be read: Connection timed out"
    assert no_picture("x", 2.5, error).what == "x cannot be read: no picture came within 2.5 s"
