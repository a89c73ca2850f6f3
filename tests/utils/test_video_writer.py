"""What was written is read again: frames, times, colours, sound, structure; and what becomes of failures."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.videos import pictures, turn, write_video
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage
from tracknet.utils.video import Video
from tracknet.utils.video_traits import Colours, VideoTraits
from tracknet.utils.video_writer import VideoWriter


def copy(source: Path, target: Path, first: int = 0, end: int | None = None) -> Path:
    """Frames first..end-1 through the reader and the writer."""
    with Video(source) as video, VideoWriter(target, video.size, video.traits) as writer:
        for frame in video:
            if first <= frame.index and (end is None or frame.index < end):
                writer.write(frame.image(), frame.time_s)
        writer.close(all_sound=end is None)
        assert writer.sound_left_out is None
    return target


def times(path: Path) -> list[Fraction]:
    """Of the frames shown, from the first."""
    with av.open(str(path)) as container:
        stamps = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    return [stamp - stamps[0] for stamp in stamps]


def images(path: Path) -> list[RGBImage]:
    with Video(path) as video:
        return [frame.image() for frame in video]


def boxes(path: Path) -> list[str]:
    """The names of an MP4's outermost boxes, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4])
    return names


def tone(path: Path, codec: str, *, layout: str = "mono", hertz: int = 48_000) -> Path:
    """2 s of video at 30 frames/s, silent but for a click at 1 s, where the frame is white."""
    wave = np.zeros((1, 2 * hertz), np.float32)
    wave[0, hertz : hertz + hertz // 100] = np.sin(np.arange(hertz // 100) * 0.5) * 0.8
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        audio = out.add_stream(codec, rate=hertz, layout=layout)
        for number in range(60):
            picture = np.full((48, 64, 3), 255 if number == 30 else 20, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
        for start in range(0, 2 * hertz, 1000):
            frame = av.AudioFrame.from_ndarray(wave[:, start : start + 1000], format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = hertz, start, Fraction(1, hertz)
            out.mux(audio.encode(frame))
        out.mux(audio.encode(None))
    return path


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def click_and_flash(path: Path) -> tuple[float, float, float]:
    """When the click is heard, when the white frame is shown, and how long the sound lasts, in s."""
    with av.open(str(path)) as container:
        flash = [
            float(frame.time)
            for frame in container.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 150
        ]
    with av.open(str(path)) as container:
        resampler, heard, first = av.AudioResampler("flt", "mono", 48_000), [], None
        for frame in container.decode(audio=0):
            first = float(frame.time) if first is None else first
            heard += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    wave = np.abs(np.concatenate(heard))
    assert len(flash) == 1
    assert first is not None
    return float(np.argmax(wave > 0.2)) / 48_000 + first, flash[0], len(wave) / 48_000 + first


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(25)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_frames_and_times_are_the_sources(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    source = write_video(tmp_path / f"a.{suffix}", pictures(34), rate=rate, options={"bf": "0"})
    target = copy(source, tmp_path / "out.mp4")
    assert times(target) == times(source)
    if suffix == "mp4":
        assert times(target) == [number / rate for number in range(34)]
    with Video(target) as video:
        assert (video.codec, video.size, video.stated_frames) == ("h264", Size(160, 90), 34)
        if suffix == "mp4":
            assert video.frame_rate == rate
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert float(stream.duration * stream.time_base) == pytest.approx(34 / rate, abs=2e-3)
    # The index stands before the pictures: a browser starts before it has them all.
    names = boxes(target)
    assert names.index("moov") < names.index("mdat")
    for mine, theirs in zip(images(target), images(source), strict=True):
        assert np.abs(mine.astype(int) - theirs).mean() < 2


def test_uneven_times_stay(tmp_path: Path) -> None:
    stamps = [100, 133, 180, 400, 401, 950]
    source = write_video(tmp_path / "a.mkv", pictures(6), times=stamps)
    assert times(copy(source, tmp_path / "out.mp4")) == times(source)
    assert times(source) == [Fraction(stamp - 100, 1000) for stamp in stamps]


def test_a_part_begins_at_zero(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", pictures(20), rate=Fraction(30000, 1001))
    target = copy(source, tmp_path / "out.mp4", 5, 12)
    with av.open(str(target)) as container:
        assert [f.pts * f.time_base for f in container.decode(video=0)] == [
            number * Fraction(1001, 30000) for number in range(7)
        ]
    assert [
        np.abs(image.astype(int) - pictures(20)[5 + i]).mean() < 4 for i, image in enumerate(images(target))
    ]


def test_times_that_stand_still_or_go_back_lose_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, Size(160, 90)) as writer:
        for picture, time_s in zip(pictures(5), (3.0, 3.1, 3.1, 2.0, 3.2), strict=True):
            writer.write(picture, time_s)
    shown = times(path)
    assert len(shown) == 5
    assert all(old < new for old, new in pairwise(shown))
    assert [float(shown[at]) for at in (1, 4)] == pytest.approx([0.1, 0.2], abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (33, 17), (161, 90), (160, 91), (90, 160)])
def test_odd_sizes_repeat_their_edge(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    drawn = pictures(4, size=size) if min(size) > 20 else [np.full((size[1], size[0], 3), 99, np.uint8)] * 4
    with VideoWriter(path, Size(*size), VideoTraits(frame_rate=Fraction(30))) as writer:
        for number, picture in enumerate(drawn):
            writer.write(picture, number / 30)
    shown = images(path)
    assert len(shown) == 4
    for mine, theirs in zip(shown, drawn, strict=True):
        assert mine.shape[:2] == (size[1] + size[1] % 2, size[0] + size[0] % 2)
        assert np.abs(mine[: size[1], : size[0]].astype(int) - theirs).mean() < 3
        assert np.abs(mine[-1].astype(int) - mine[-2]).mean() < 4


@pytest.mark.parametrize(
    ("colorspace", "color_range"), [(None, None), (1, None), (6, None), (5, 2), (9, None), (1, 2), (None, 2)]
)
def test_colours_do_not_shift(tmp_path: Path, colorspace: int | None, color_range: int | None) -> None:
    patches = [(200, 60, 50), (20, 180, 90), (40, 60, 210), (235, 235, 235), (8, 8, 8)]
    picture = np.zeros((64, 160, 3), np.uint8)
    for number, rgb in enumerate(patches):
        picture[:, 32 * number : 32 * number + 32] = rgb
    source = write_video(tmp_path / "a.mp4", [picture] * 3, colorspace=colorspace, color_range=color_range)
    target = copy(source, tmp_path / "out.mp4")
    with Video(source) as old, Video(target) as new:
        assert old.traits.colours is not None
        assert new.traits.colours == old.traits.colours
        before, after = (next(iter(video)).image().astype(int) for video in (old, new))
    for number in range(len(patches)):
        at = (slice(20, 44), slice(32 * number + 10, 32 * number + 22))
        assert np.abs(before[at] - after[at]).max() <= 3


def test_pictures_of_no_video_are_bt709_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, Size(64, 48), VideoTraits(frame_rate=Fraction(25))) as writer:
        for number in range(3):
            writer.write(np.full((48, 64, 3), (200, 60, 50), np.uint8), number / 25)
    with Video(path) as video:
        assert video.traits.colours == Colours(1, 1, 1, 1)
        assert video.frame_rate == 25
        assert next(iter(video)).image()[24, 32] == pytest.approx([200, 60, 50], abs=3)


@pytest.mark.parametrize("clockwise_deg", [90, 180, 270])
def test_turned_video_is_written_upright(tmp_path: Path, clockwise_deg: int) -> None:
    source = turn(write_video(tmp_path / "a.mp4", pictures(3)), clockwise_deg)
    target = copy(source, tmp_path / "out.mp4")
    with av.open(str(target)) as container:
        assert {frame.rotation for frame in container.decode(video=0)} == {0}
    for mine, theirs in zip(images(target), images(source), strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine.astype(int) - theirs).mean() < 2


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    traits = VideoTraits(frame_rate=Fraction(25), pixel_aspect=Fraction(16, 11))
    with VideoWriter(tmp_path / "a.mp4", Size(160, 90), traits) as writer:
        writer.write(pictures(1)[0], 0.0)
    with Video(copy(tmp_path / "a.mp4", tmp_path / "out.mp4")) as video:
        assert video.traits.pixel_aspect == Fraction(16, 11)
    with Video(turn(tmp_path / "a.mp4", 90)) as video:
        assert video.traits.pixel_aspect == Fraction(11, 16)


@pytest.mark.parametrize(
    ("name", "codec", "copied"),
    [
        ("a.mp4", "aac", True),
        ("a.ts", "aac", True),
        ("a.mkv", "libmp3lame", True),
        ("a.mkv", "libopus", True),
        ("a.mkv", "flac", True),
        ("a.mkv", "pcm_s16le", False),
        ("a.avi", "ac3", False),
    ],
)
def test_sound_comes_along_in_step(tmp_path: Path, name: str, codec: str, copied: bool) -> None:
    source = tone(tmp_path / name, codec)
    target = copy(source, tmp_path / "out.mp4")
    if copied:
        mine, theirs = sound_packets(target), sound_packets(source)
        # MPEG-TS wraps every packet of AAC in a header of 7 bytes, which MP4 does without.
        assert mine == ([packet[7:] for packet in theirs] if name == "a.ts" else theirs)
    with av.open(str(target)) as container:
        heard = container.streams.audio[0]
        assert heard.codec_context.codec.canonical_name == (
            codec.removeprefix("lib").removesuffix("lame") if copied else "aac"
        )
    (click, flash, length), (old_click, old_flash, _) = click_and_flash(target), click_and_flash(source)
    assert flash == pytest.approx(1.0, abs=1e-6)
    assert click - flash == pytest.approx(old_click - old_flash, abs=0.003)
    assert length == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize(("layout", "hertz"), [("5.1", 48_000), ("stereo", 96_000), ("mono", 9_000)])
def test_sound_of_any_form_becomes_what_browsers_play(tmp_path: Path, layout: str, hertz: int) -> None:
    target = copy(tone(tmp_path / "a.mkv", "pcm_s16le", layout=layout, hertz=hertz), tmp_path / "out.mp4")
    with av.open(str(target)) as container:
        heard = container.streams.audio[0].codec_context
        assert (heard.channels, heard.sample_rate) == (
            1 if layout == "mono" else 2,
            11_025 if hertz == 9_000 else 48_000,
        )
    click, flash, length = click_and_flash(target)
    assert flash == pytest.approx(1.0, abs=1e-3)
    assert click == pytest.approx(flash, abs=0.005)
    assert length == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_the_sound_of_a_part_is_cut_with_it(tmp_path: Path, codec: str) -> None:
    source = tone(tmp_path / "a.mkv", codec)
    click, flash, length = click_and_flash(copy(source, tmp_path / "out.mp4", 20, 45))
    assert flash == pytest.approx(10 / 30, abs=1e-3)
    assert click == pytest.approx(flash, abs=0.025)
    assert length == pytest.approx(25 / 30, abs=0.05)


def test_sound_that_cannot_be_had_is_named_and_the_pictures_come(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    traits = VideoTraits(frame_rate=Fraction(30), sound=str(tmp_path / "none.mp4"))
    with VideoWriter(path, Size(160, 90), traits) as writer:
        for number, picture in enumerate(pictures(3)):
            writer.write(picture, number / 30)
    assert writer.sound_left_out is not None
    assert "No such file" in writer.sound_left_out
    assert len(images(path)) == 3


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, Size(160, 90)) as writer:
        writer.write(pictures(1)[0], 0.0)
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    with pytest.raises(RunError, match="no picture to make a video of"), VideoWriter(path, Size(4, 4)):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        VideoWriter(tmp_path / "none" / "out.mp4", Size(4, 4))


def test_a_file_that_cannot_be_opened_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        VideoWriter(tmp_path / "x.mp4", Size(64, 48))
    assert not list(tmp_path.iterdir())


def test_a_size_that_h264_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no H\.264 video can be made of pictures of 40000x20"):
        VideoWriter(tmp_path / "out.mp4", Size(40000, 20))
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys, numpy as np
from pathlib import Path
from tracknet.utils.geometry import Size
from tracknet.utils.video_writer import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
random = np.random.default_rng(0)
try:
    with VideoWriter(Path(sys.argv[1]), Size(160, 90)) as writer:
        for number in range(60):
            writer.write(random.integers(0, 255, (90, 160, 3), dtype=np.uint8), number / 30)
except OSError as error:
    print(error.errno)
"""


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "out.mp4")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "27"), done.stderr  # EFBIG stands in for ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_a_colon_and_a_folder_of_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path("cam:1 %d.mp4"), Size(160, 90)) as writer:
        writer.write(pictures(1)[0], 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["cam:1 %d.mp4"]


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r'pip install "av[<>]'):
        VideoWriter(tmp_path / "a.mp4", Size(4, 4))
