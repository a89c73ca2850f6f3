"""The second pass over what is behind a URL: pictures and sound that fall silent, break off, or are not waited for."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.datasets.http_server import serve
from tests.http_broadcast import broadcast, in_pieces, transport_stream
from tests.inference.test_overlay import Ball
from tests.videos import pictures, write_video
from tracknet.inference.drawing import draw_predictions
from tracknet.inference.outputs import Job
from tracknet.inference.overlay import draw_video
from tracknet.inference.run_job import draw_rows
from tracknet.utils.errors import RunError
from tracknet.utils.video_sound import Sound

TS = "video/mp2t"


@pytest.mark.parametrize("begun", [False, True])
def test_silence_names_the_url_and_the_remedy(tmp_path: Path, begun: bool) -> None:
    stream = transport_stream(tmp_path, 20)
    rows = [Ball(number) for number in range(40)]
    out = tmp_path / "out"
    out.mkdir()
    with broadcast() as site:

        def silent() -> Iterator[bytes]:
            yield from in_pieces(stream) if begun else ()
            yield from site.silence()

        site.bodies["/a.ts"] = TS, silent
        with pytest.raises(RunError) as lost:
            draw_predictions(f"{site.url}/a.ts", rows, out / "a.mp4", timeout_s=0.5)
        assert lost.value.what == f"{site.url}/a.ts cannot be read: no picture came within 0.5 s"
        assert lost.value.remedy is not None and "--timeout" in lost.value.remedy
        with pytest.raises(RunError, match=r"no picture came within 0\.5 s; the rows are all there") as lost:
            draw_rows(Job(f"{site.url}/a.ts", "a"), rows, out, 30.0, timeout_s=0.5)  # type: ignore[arg-type]
        assert lost.value.remedy is not None and "--timeout" in lost.value.remedy
    assert list(out.iterdir()) == []


def open_pictures(url: str, path: Path) -> None:
    draw_video(url, [Ball(0)], path, timeout_s=60)


def open_sound(url: str, path: Path) -> None:
    with av.open(str(path), "w") as out:
        Sound(out, url, Fraction(0), timeout_s=60)


@pytest.mark.parametrize("open_it", [open_pictures, open_sound])
def test_ctrl_c_is_heard_while_a_silent_url_is_opened(tmp_path: Path, open_it: object) -> None:
    with broadcast() as site:

        def asked() -> Iterator[bytes]:
            _thread.interrupt_main()
            return site.silence()

        site.bodies["/a.ts"] = TS, asked
        begun_s = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            open_it(f"{site.url}/a.ts", tmp_path / "out.mp4")  # type: ignore[operator]
    # Far below the time that it may be silent; not a measurement.
    assert time.monotonic() - begun_s < 45


def test_ctrl_c_is_heard_while_pictures_that_fell_silent_are_drawn(tmp_path: Path) -> None:
    stream, drawn = transport_stream(tmp_path, 60), threading.Event()
    out = tmp_path / "out"
    out.mkdir()
    with broadcast() as site:

        def silent_in_the_middle() -> Iterator[bytes]:
            yield from in_pieces(stream)
            if drawn.wait(60):
                time.sleep(0.7)  # what came is drawn: now it is waited for
                _thread.interrupt_main()
            yield from site.silence()

        site.bodies["/a.ts"] = TS, silent_in_the_middle
        begun_s = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            draw_video(
                f"{site.url}/a.ts",
                [Ball(number) for number in range(90)],
                out / "a.mp4",
                timeout_s=60,
                progress=lambda done: drawn.set() if done >= 55 else None,
            )
    assert drawn.is_set()
    # Far below the time that it may be silent; not a measurement.
    assert time.monotonic() - begun_s < 45
    assert list(out.iterdir()) == []


def test_ctrl_c_is_heard_while_sound_that_fell_silent_is_carried_over(tmp_path: Path) -> None:
    content = with_noise(tmp_path / "a.ts").read_bytes()
    with broadcast() as site, av.open(str(tmp_path / "out.mp4"), "w") as out:

        def silent_in_the_middle() -> Iterator[bytes]:
            yield content[: len(content) * 3 // 4]
            if opened.wait(60):
                time.sleep(0.7)
                _thread.interrupt_main()
            yield from site.silence()

        opened = threading.Event()
        site.bodies["/a.ts"] = TS, silent_in_the_middle
        begun_s = time.monotonic()
        sound = Sound(out, f"{site.url}/a.ts", Fraction(0), timeout_s=60)
        opened.set()
        with pytest.raises(KeyboardInterrupt):
            sound.finish(None)
        sound.close()
    assert time.monotonic() - begun_s < 45


def test_sound_whose_server_is_silent_is_left_out(tmp_path: Path) -> None:
    with broadcast() as site, av.open(str(tmp_path / "out.mp4"), "w") as out:
        site.bodies["/a.ts"] = TS, site.silence
        assert (
            Sound(out, f"{site.url}/a.ts", Fraction(0), timeout_s=0.5).left_out == "nothing came for too long"
        )


def with_noise(path: Path) -> Path:
    """Four seconds of pictures and of sound."""
    noise = np.random.default_rng(0).standard_normal((1, 8000 * 4)).astype(np.float32) / 4
    with av.open(str(path), "w") as out:
        video, audio = out.add_stream("libx264", rate=30), out.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        for picture in pictures(120):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for start in range(0, noise.shape[1], 1000):
            samples = np.ascontiguousarray(noise[:, start : start + 1000])
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
            out.mux(audio.encode(frame))
        out.mux([*video.encode(None), *audio.encode(None)])
    return path


def sound_packets(source: str, path: Path) -> int:
    """How many packets of sound come out of a source into a file of their own."""
    with av.open(str(path), "w") as out:
        sound = Sound(out, source, Fraction(0), timeout_s=20)
        sound.finish(None)
        sound.close()
        assert sound.left_out is None
    with av.open(str(path)) as made:
        return sum(packet.size > 0 for packet in made.demux(audio=0))


def test_sound_whose_connection_is_cut_is_asked_for_from_there_on(tmp_path: Path) -> None:
    path = with_noise(tmp_path / "a.ts")
    whole = sound_packets(str(path), tmp_path / "whole.mp4")
    assert whole >= 30
    with serve() as site:
        site.files = {"/a.ts": path.read_bytes()}
        site.faults = {"/a.ts": ["cut"] * 6}  # each time half of what is left comes
        assert sound_packets(f"{site.url}/a.ts", tmp_path / "cut.mp4") == whole
        assert site.asked_for("/a.ts") > 6


def test_the_overlay_of_a_url_has_its_sound(tmp_path: Path) -> None:
    with serve() as site:
        path = write_video(tmp_path / "a.mp4", pictures(9), sound=True)
        site.files = {"/a.mp4": path.read_bytes()}
        assert draw_video(f"{site.url}/a.mp4", [Ball(n) for n in range(9)], tmp_path / "o.mp4") is None
    with av.open(str(tmp_path / "o.mp4")) as made:
        assert (len(made.streams.video), len(made.streams.audio)) == (1, 1)
