"""What the command leaves when it is stopped, or something ends it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scripts.conftest import predict, results
from tests.videos import pictures, write_video
from tracknet.inference import heatmap_model
from tracknet.inference.predictions import Predictions
from tracknet.inference.result_record import ResultRecord
from tracknet.utils.errors import Interrupted, RunError
from tracknet.utils.progress import Progress
from tracknet.utils.video import Video

# What the installed `tracknet` runs.
INSTALLED = [sys.executable, "-c", "import sys; from tracknet.scripts.cli import main; sys.exit(main())"]


@pytest.mark.parametrize(
    ("program", "begun"),
    [
        ([sys.executable, "-m", "tracknet.scripts.predict"], True),
        ([sys.executable, "-m", "tracknet.scripts.predict"], False),
        ([*INSTALLED, "predict"], False),
    ],
)
def test_a_silent_pipe_is_stopped_with_130(model: str, tmp_path: Path, program: list[str], begun: bool):
    """In the middle of the video, and while FFmpeg still looks at what it is, which takes 5 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 360, 640, 3), np.uint8)
    best = {"qmin": "1", "qmax": "1"}
    content = write_video(tmp_path / "a.ts", noise, codec="mpeg2video", options=best).read_bytes()
    assert len(content) > 7e6
    command = [*program, model, "-", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(content if begun else content[:1_000_000])
        process.stdin.flush()
        partial, deadline_s = tmp_path / "stdin.partial.csv", time.monotonic() + 60
        while begun and time.monotonic() < deadline_s and process.poll() is None:
            if partial.exists() and len(partial.read_text().splitlines()) > 8:
                break
            time.sleep(0.1)
        if not begun:
            time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        said = process.stderr.read().decode()
        assert process.returncode == 130, said
        assert "Fatal" not in said


def test_a_stop_that_a_library_caught_while_it_was_loaded_is_heard(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    load = heatmap_model.load_model

    def swallows(place: str, **how: Any) -> Any:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        return load(place, **how)

    monkeypatch.setattr(heatmap_model, "load_model", swallows)
    with pytest.raises(KeyboardInterrupt):
        predict(model, video, out=tmp_path / "out")
    assert results(tmp_path / "out") == []


def test_ctrl_c_while_the_overlay_is_drawn_says_what_is_there(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    advance = Progress.advance

    def interrupted(self: Progress, count: int) -> None:
        advance(self, count)
        if self.what.startswith("drawing"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", interrupted)
    with pytest.raises(Interrupted, match=r"rally.overlay.mp4 is not finished.*rows are all there"):
        predict(model, video, "--overlay", out=tmp_path / "out")
    assert results(tmp_path / "out") == ["rally.csv"]
    monkeypatch.undo()
    rows = (tmp_path / "out" / "rally.csv").stat().st_mtime_ns
    assert predict(model, video, "--overlay", "--skip-existing", out=tmp_path / "out") == 0
    assert (tmp_path / "out" / "rally.csv").stat().st_mtime_ns == rows
    with Video(tmp_path / "out" / "rally.overlay.mp4") as overlay:
        assert len(list(overlay)) == 30


def test_ctrl_c_keeps_the_rows_so_far(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    advance = Progress.advance

    def interrupted(self: Progress, count: int) -> None:
        advance(self, count)
        if self.unit == "frames" and self.done >= 15:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", interrupted)
    with pytest.raises(Interrupted, match=r"frames are in .*rally.partial.csv, which is partial"):
        predict(model, video, out=tmp_path)
    assert not (tmp_path / "rally.csv").exists()
    partial = Predictions.read(tmp_path / "rally.partial.csv")
    assert partial.frame.tolist() == list(range(len(partial)))
    assert 15 <= len(partial) < 30
    monkeypatch.undo()
    assert predict(model, video, out=tmp_path) == 0
    whole = Predictions.read(tmp_path / "rally.csv")
    np.testing.assert_array_equal(whole.score[: len(partial)], partial.score)
    assert not (tmp_path / "rally.partial.csv").exists()


def test_sigterm_half_way_leaves_a_valid_partial_file(model: str, tmp_path: Path):
    video = write_video(tmp_path / "long.mp4", pictures(60) * 20)
    command = [sys.executable, "-m", "tracknet.scripts.predict", model, str(video), "--out", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--batch", "1", "--device", "cpu"], stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    partial = tmp_path / "long.partial.csv"
    deadline_s = time.monotonic() + 60
    while not (partial.exists() and len(partial.read_bytes().splitlines()) > 4):
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    message = process.stderr.read().decode()
    rows = Predictions.read(partial)
    assert f"{len(rows):,} frames are in {partial}, which is partial" in message
    assert "Traceback" not in message
    assert rows.frame.tolist() == list(range(len(rows)))
    assert 4 <= len(rows) < 1200


def test_a_full_disk_at_the_end(model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tracknet.inference.run_job.replace_file", full)
    with pytest.raises(RunError, match=r"No space left on device; 30 frames are in .*rally\.partial\.csv"):
        predict(model, video, out=tmp_path)
    assert len(Predictions.read(tmp_path / "rally.partial.csv")) == 30


def test_a_disk_that_is_full_for_the_record_alone_is_told_of_the_record(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(record: ResultRecord, files: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ResultRecord, "add", full)
    with pytest.raises(
        RunError, match=r"\.rally\.predict\.json cannot be written: No space left on device; 30"
    ):
        predict(model, video, out=tmp_path)
    assert len(Predictions.read(tmp_path / "rally.csv")) == 30


def test_an_error_in_the_model_ends_all(
    model: str, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tracknet.inference.window_logits import WindowLogits

    calls: list[int] = []
    logits = WindowLogits._logits

    def breaks(self: WindowLogits, places: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise RunError("out of memory")
        return logits(self, places)  # type: ignore[arg-type]

    monkeypatch.setattr(WindowLogits, "_logits", breaks)
    with pytest.raises(RunError, match=r"out of memory; \d+ frames are in"):
        predict(model, video, out=tmp_path)
