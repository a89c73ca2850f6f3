"""Whatever a person names gives frames in order with their times, or says in words why it does not."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.http_server import serve
from tests.videos import pictures, write_sound, write_video
from tracknet.inference.frame_source import open_frames
from tracknet.inference.source_contract import FrameSource
from tracknet.utils.errors import RunError, UserError


def numbers(source: FrameSource) -> list[int]:
    return [frame.number for frame in source]


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


def test_a_protocol_that_nobody_knows_is_named():
    with pytest.raises(
        RunError, match=r"nosuch://host/a is of a protocol that the installed PyAV does not know"
    ):
        open_frames("nosuch://host/a")
