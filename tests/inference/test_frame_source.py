"""Whatever a person names gives frames in order with their times, or says in words why it does not."""

from __future__ import annotations

import io
import os
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.datasets.http_server import serve
from tests.videos import pictures, turn, write_sound, write_video
from tracknet.inference.frame_source import FrameSource, open_frames
from tracknet.utils.errors import RunError, UserError


def numbers(source: FrameSource) -> list[int]:
    return [frame.number for frame in source]


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
    found = numbers(source)
    assert found == list(range(len(found)))
    assert 0 < len(found) <= 12
    assert source.notes()


def test_a_cut_file_gives_what_is_there_and_says_so(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", pictures(40), options={"g": "5"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    source = open_frames(path)
    found = numbers(source)
    assert 5 < len(found) < 40
    assert found == list(range(len(found)))
    notes = "\n".join(source.notes())
    assert "cut short" in notes
    assert f"states 40 frames, {len(found)} decode" in notes


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


class Pipe(io.RawIOBase):
    """Bytes that cannot be gone back in."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self._left.read(size)


def test_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = write_video(tmp_path / "a.ts", pictures(6)).read_bytes()
    monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": Pipe(data)}))
    source = open_frames("-")
    assert (source.name, numbers(source)) == ("standard input", list(range(6)))


def with_index_last(path: Path) -> Path:
    """A healthy MP4 of noise, far larger than what FFmpeg keeps of a pipe (32 KB) and so can go back in."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 240, 320, 3), dtype=np.uint8)
    write_video(path, noise, index_first=False)
    assert path.stat().st_size > 200_000
    return path


def test_an_mp4_whose_index_is_last_is_refused_of_a_pipe_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = with_index_last(tmp_path / "a.mp4")
    said = "is an MP4 or MOV of which a pipe gives no picture: .* index is at its end; name the file itself"
    monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": Pipe(path.read_bytes())}))
    with pytest.raises(RunError, match=f"standard input {said}"):
        open_frames("-")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(path.read_bytes(),), daemon=True)
    writer.start()
    with pytest.raises(RunError, match=f"pipe {said}"):
        open_frames(tmp_path / "pipe")
    writer.join(10)
    # `predict MODEL - < a.mp4` can be gone back in.
    with path.open("rb") as file:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": file}))
        assert numbers(open_frames("-")) == [0, 1, 2, 3]


def test_an_mp4_from_a_server_that_gives_no_parts(tmp_path: Path):
    path = with_index_last(tmp_path / "a.mp4")
    with serve() as site:
        site.files = {"/whole.mp4": path.read_bytes(), "/parts.mp4": path.read_bytes()}
        site.faults = {"/whole.mp4": ["no range"] * 9}
        assert numbers(open_frames(f"{site.url}/parts.mp4")) == [0, 1, 2, 3]
        with pytest.raises(RunError, match=r"whole\.mp4 cannot be read") as refused:
            open_frames(f"{site.url}/whole.mp4")
    assert "download it" in str(refused.value)


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


def test_what_is_no_video(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no file or folder .*none\.mp4") as missing:
        open_frames(tmp_path / "none.mp4")
    assert missing.value.exit_code == 2
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("a shopping list\n" * 50)
    (tmp_path / "folder").mkdir()
    import av

    with av.open(str(tmp_path / "song.mp4"), "w") as out:
        write_sound(out, out.add_stream("aac", rate=8000))
    whole = write_video(tmp_path / "whole.mp4", pictures(5)).read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[: whole.find(b"mdat") + 4])
    for name, why in {
        "empty.mp4": "is empty",
        "text.mp4": "is no video",
        "song.mp4": "holds sound and no pictures",
        "head.mp4": "",
        "folder": "holds no pictures",
    }.items():
        with pytest.raises(RunError, match=f"{name} {why}") as wrong:
            open_frames(tmp_path / name)
        assert wrong.value.exit_code == 1


def test_a_url_is_named_without_its_password():
    with pytest.raises(RunError, match=r"http://\*\*\*@127.0.0.1:9/a.mp4 cannot be read") as refused:
        open_frames("http://me:secret@127.0.0.1:9/a.mp4")
    assert "secret" not in str(refused.value)
