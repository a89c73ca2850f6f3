"""Frames out of video: which and when; and what becomes of files that are damaged or no video."""

from __future__ import annotations

import errno
import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.videos import pictures, read_images, write_sound, write_video
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.video import Video
from tracknet.utils.video_container import VideoError
from tracknet.utils.video_counts import count_frames, count_packets


def test_frames_come_in_order_with_their_times(tmp_path: Path) -> None:
    drawn = pictures(14)
    path = write_video(tmp_path / "a.mp4", drawn, rate=Fraction(30000, 1001), sound=True)
    with Video(path) as video:
        assert (video.size, video.frame_rate, video.codec) == (Size(160, 90), Fraction(30000, 1001), "h264")
        assert (video.stated_frames, video.has_audio, video.frames_read) == (14, True, 0)
        assert not video.cut_short
        frames = list(video)
        assert video.frames_read == 14
        assert video.whole
    assert [frame.index for frame in frames] == list(range(14))
    assert [frame.time_s for frame in frames] == pytest.approx(
        [i * 1001 / 30000 for i in range(14)], abs=1e-6
    )
    for frame, picture in zip(frames, drawn, strict=True):
        image = frame.image()
        assert (image.dtype, image.shape) == (np.uint8, (90, 160, 3))
        distances = [np.abs(image.astype(int) - other).mean() for other in drawn]
        # The neighbours' brightness differs by 7: no frame can pass for the next.
        assert np.argmin(distances) == frame.index
        assert np.abs(image.astype(int) - picture).mean() < 3


def test_uneven_times_are_the_videos_own(tmp_path: Path) -> None:
    times = [100, 133, 180, 400, 401]
    path = write_video(tmp_path / "a.mkv", pictures(5), times=times)
    with Video(path) as video:
        assert [frame.time_s for frame in video] == pytest.approx([0, 0.033, 0.08, 0.3, 0.301], abs=2e-3)


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(40))
    hashes = [
        hashlib.sha256(b"".join(i.tobytes() for i in read_images(path, threads=n))).hexdigest()
        for n in (1, 2, 0)
    ]
    assert len(set(hashes)) == 1


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "size"),
    [
        ("a.avi", "mpeg4", "yuv420p", (160, 90)),
        ("a.mov", "libx264", "yuv420p10le", (160, 90)),
        ("a.mkv", "ffv1", "yuv444p", (1, 1)),
        ("a.webm", "libvpx-vp9", "yuv420p", (90, 160)),
        ("a.mkv", "ffv1", "yuv420p", (33, 17)),
        ("a.mkv", "mjpeg", "yuvj422p", (64, 36)),
    ],
)
def test_containers_codecs_depths_and_sizes(
    tmp_path: Path, name: str, codec: str, pixels: str, size: tuple[int, int]
) -> None:
    drawn = [np.full((size[1], size[0], 3), 60 + 10 * number, np.uint8) for number in range(6)]
    path = write_video(tmp_path / name, drawn, codec=codec, pixels=pixels, options={"crf": "12"})
    images = read_images(path)
    assert images[0].shape == (size[1], size[0], 3)
    assert [image.mean() for image in images] == pytest.approx([60 + 10 * n for n in range(6)], abs=3)


def test_what_decodes_counts_and_not_what_the_header_says(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(60), options={"bf": "0"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    whole = read_images(path)
    with Video(path) as video:
        assert (video.stated_frames, video.cut_short) == (60, True)
        count = sum(1 for _ in video)
    assert 20 < count < 60
    assert count == len(whole) == count_frames(path) == video.frames_read
    assert count <= count_packets(path) <= count + 1
    assert not video.whole


def test_damage_is_counted_and_the_rest_is_given(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(60, size=(320, 180)))
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    with Video(path) as video:
        frames = list(video)
    assert len(frames) >= 40
    assert video.bad_packets + video.damaged_frames > 0
    assert video.damaged_frames == sum(frame.damaged for frame in frames)
    assert not frames[0].damaged
    assert not video.whole


@pytest.mark.parametrize(
    ("kind", "raised", "whole"),
    [
        (av.error.ConnectionResetError, ConnectionResetError, True),
        (av.error.OSError, OSError, True),
        (av.error.InvalidDataError, None, False),
    ],
)
def test_what_the_decoder_holds_where_reading_breaks_off_comes_out(
    tmp_path: Path, kind: type[av.FFmpegError], raised: type[OSError] | None, whole: bool
) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(30), options={"bf": "3", "g": "30"})
    code = errno.ECONNRESET if raised is ConnectionResetError else errno.EIO

    def breaking(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        yield from (packet for packet in packets if packet.size)
        raise kind(code, "the line broke")

    found = []
    with Video(path) as video:
        video._packets._packets = breaking(video._packets._packets)
        with pytest.raises(raised, match="the line broke") if raised else nullcontext():
            for frame in video:
                found.append(frame.time_s)
        assert video.broken_off == (None if raised else "the line broke")
        assert video.whole is whole
    assert found == pytest.approx([number / 30 for number in range(30)], abs=2e-3)


def test_a_stream_that_cannot_be_rewound(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(5))

    class Pipe:
        def __init__(self) -> None:
            self._file = io.BytesIO(path.read_bytes())

        def read(self, count: int) -> bytes:
            return self._file.read(count)

    with Video(Pipe()) as video:  # type: ignore[arg-type]
        assert sum(1 for _ in video) == 5


def test_what_is_no_video_says_why(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as out:
        write_sound(out, out.add_stream("aac", rate=8000))
    cut = write_video(tmp_path / "cut.mp4", pictures(3))
    cut.write_bytes(cut.read_bytes().partition(b"moov")[0])
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video at all\n" * 50)
    for name, words in {
        "sound.mp4": "holds sound and no pictures",
        "cut.mp4": "is no video, or was cut short of its index",
        "zero.mp4": r"is empty \(0 bytes\)",
        "text.mp4": "is no video",
    }.items():
        for open_it in (Video, count_packets):
            with pytest.raises(VideoError, match=words):
                open_it(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        Video(tmp_path / "none.mp4")
    with pytest.raises(IsADirectoryError):
        Video(tmp_path)


def test_frames_that_none_decodes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(3))
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="holds no h264 frame that can be decoded"):
        Video(path)


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "av[<>]'):
        Video(tmp_path / "a.mp4")
