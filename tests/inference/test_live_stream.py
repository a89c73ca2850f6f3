"""A real stream over a real socket: pictures come when they come, and Ctrl-C is its proper end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.rtsp_server import rtsp_server
from tests.videos import pictures
from tracknet.inference.frame_source import open_frames
from tracknet.inference.predictions import Predictions

ROOT = Path(__file__).parents[2]


@contextmanager
def sending(frames: int | None) -> Iterator[str]:
    """The URL of a server that sends MPEG-TS, frame by frame, to whoever connects; `None` frames never end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    over = threading.Event()

    def serve() -> None:
        drawn = pictures(40)
        try:
            with av.open(f"tcp://127.0.0.1:{port}?listen=1", "w", format="mpegts") as out:
                options = {"g": "5", "tune": "zerolatency", "preset": "ultrafast"}
                stream = out.add_stream("libx264", rate=30, options=options)
                stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
                number = 0
                while not over.is_set() and number != frames:
                    frame = av.VideoFrame.from_ndarray(drawn[number % 40], format="rgb24")
                    frame.pts, frame.time_base = number, Fraction(1, 30)
                    out.mux(stream.encode(frame))
                    number += 1
                    time.sleep(0.01)
                out.mux(stream.encode(None))
        except OSError:
            pass  # whoever watched is gone

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        over.set()
        server.join(10)


def command(model: Path, url: str, out: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "tracknet.scripts.predict",
        str(model),
        url,
        "--out",
        str(out),
        "--device",
        "cpu",
        *more,
    ]


def test_a_stream_that_ends(model_folder: Path, tmp_path: Path):
    with sending(25) as url:
        done = subprocess.run(
            command(model_folder, url, tmp_path, "--overlay"),
            capture_output=True,
            text=True,
            timeout=120,
            cwd=ROOT,
        )
    assert done.returncode == 0, done.stderr
    (csv,) = tmp_path.glob("*.csv")
    rows = Predictions.read(csv)
    assert rows.frame.tolist() == list(range(25))
    np.testing.assert_allclose(rows.time_s, np.arange(25) / 30, atol=1e-4)
    with av.open(str(next(tmp_path.glob("*.overlay.mp4")))) as overlay:
        assert sum(1 for _ in overlay.decode(video=0)) == 25


def test_rtsp(tmp_path: Path):
    with rtsp_server(tmp_path, pictures(30)) as url, closing(open_frames(url)) as source:
        assert source.live and not source.repeatable
        frames = [(frame.number, frame.time_s, frame.image().shape) for frame in source]
    assert [number for number, _, _ in frames] == list(range(len(frames)))
    assert len(frames) >= 29  # the last one may wait for a packet that says where it ends
    steps_s = np.diff([time_s for _, time_s, _ in frames])
    np.testing.assert_allclose(steps_s, 1 / 30, atol=1e-3)
    assert {shape for _, _, shape in frames} == {(90, 160, 3)}


def test_a_silent_rtsp_server_does_not_hang_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    over = threading.Event()
    monkeypatch.setattr("tests.rtsp_server._play", lambda connection, data: over.wait(60))
    watch = "import sys; from tracknet.inference.frame_source import open_frames; open_frames(sys.argv[1])"
    try:
        with rtsp_server(tmp_path, pictures(2), limit_s=1.0) as url:
            # A process of its own, for a viewer that waits can be ended from outside only.
            done = subprocess.run(
                [sys.executable, "-c", watch, url], capture_output=True, text=True, timeout=30, cwd=ROOT
            )
            over.set()
    finally:
        over.set()
    assert "RunError" in done.stderr, done.stderr


def test_ctrl_c_is_the_end_of_a_stream_that_has_none(model_folder: Path, tmp_path: Path):
    with sending(None) as url:
        process = subprocess.Popen(
            command(model_folder, url, tmp_path), stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        deadline_s = time.monotonic() + 120
        while not any(len(path.read_bytes()) > 500 for path in tmp_path.glob("*.partial.csv")):
            assert time.monotonic() < deadline_s and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    (csv,) = tmp_path.glob("*.csv")
    rows = Predictions.read(csv)
    assert "partial" not in csv.name
    assert rows.frame.tolist() == list(range(len(rows)))
    assert len(rows) > 10
