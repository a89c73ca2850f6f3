"""A real stream over a real socket: pictures come when they come, and Ctrl-C is its proper end."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.inference.conftest import MakeModel
from tests.inference.predict_process import ROOT, command, interrupted_with_rows
from tests.rtsp_server import Silent, rtsp_server
from tests.videos import pictures
from tracknet.inference.frame_source import open_frames
from tracknet.inference.outputs import Job
from tracknet.inference.predictions import Predictions
from tracknet.inference.predictor import Predictor
from tracknet.inference.run_job import run_job
from tracknet.utils.errors import RunError


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
    assert source.notes() == [
        f"the stream ended after {len(frames)} frames: its sender closed it, or the line broke"
    ]
    assert len(frames) >= 29  # the last one may wait for a packet that says where it ends
    steps_s = np.diff([time_s for _, time_s, _ in frames])
    np.testing.assert_allclose(steps_s, 1 / 30, atol=1e-3)
    assert {shape for _, _, shape in frames} == {(90, 160, 3)}


def test_rtsp_over_udp_from_a_camera_that_knows_nothing_else(tmp_path: Path):
    with (
        rtsp_server(tmp_path, pictures(30), udp=True) as url,
        closing(open_frames(url, timeout_s=10)) as source,
    ):
        numbers = [frame.number for frame in source]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 20


@pytest.mark.parametrize("silent_at", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_a_server_that_falls_silent_is_told_of(tmp_path: Path, silent_at: Silent):
    with (
        rtsp_server(tmp_path, pictures(2), silent_at=silent_at) as url,
        pytest.raises(RunError, match=r"rtsp://.*/court cannot be read: no picture came within 0\.5 s"),
    ):
        open_frames(url, timeout_s=0.5)


def test_a_stream_that_stops_in_the_middle_of_a_packet_leaves_all_its_rows(
    make_model: MakeModel, tmp_path: Path
):
    with rtsp_server(tmp_path, pictures(200), silent_at="half a packet") as url:
        source = open_frames(url, timeout_s=2.0)
        predictor = Predictor(make_model(), device="cpu", batch_size=1)
        with pytest.raises(
            RunError, match=r"no picture came for 2 s; (\d+) frames until then: .*court\.csv"
        ) as lost:
            run_job(Job(url, "court"), source, predictor, tmp_path, forms=["csv"], overlay=True)
    rows = Predictions.read(tmp_path / "court.csv")
    assert rows.frame.tolist() == list(range(len(rows)))
    assert 50 < len(rows) < 200
    assert f"; {len(rows)} frames until then" in lost.value.what
    with av.open(str(tmp_path / "court.overlay.mp4")) as overlay:
        assert sum(1 for _ in overlay.decode(video=0)) == len(rows)
    assert not list(tmp_path.glob("*.partial.csv"))


def test_a_stream_that_never_begins_can_be_stopped(model_folder: Path, tmp_path: Path):
    with rtsp_server(tmp_path, pictures(2), silent_at="DESCRIBE") as url:
        process = subprocess.Popen(
            command(model_folder, url, tmp_path / "out", "--timeout", "50"), stderr=subprocess.PIPE, cwd=ROOT
        )
        deadline_s = time.monotonic() + 40
        while not list(tmp_path.glob("out/.*.lock")):  # from then on it opens the stream
            assert time.monotonic() < deadline_s and process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said.decode().strip()) == (130, "stopped: interrupted")


def test_ctrl_c_is_the_end_of_a_stream_that_has_none(model_folder: Path, tmp_path: Path):
    with sending(None) as url:
        interrupted_with_rows(model_folder, url, tmp_path)
    (csv,) = tmp_path.glob("*.csv")
    rows = Predictions.read(csv)
    assert "partial" not in csv.name
    assert rows.frame.tolist() == list(range(len(rows)))
    assert len(rows) > 10
