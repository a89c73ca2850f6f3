"""Video over HTTP: what has no end is live, as a camera is, and what has one stays a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from itertools import chain, count, islice, repeat
from pathlib import Path

import av
import numpy as np
import pytest

from tests.datasets.http_server import serve
from tests.http_broadcast import (
    MULTIPART,
    Broadcast,
    broadcast,
    in_pieces,
    jpegs,
    playlist,
    transport_stream,
)
from tests.inference.conftest import MakeModel
from tests.inference.predict_process import interrupted_with_rows
from tests.videos import pictures, write_video
from tracknet.inference.api import predict, track
from tracknet.inference.frame_source import open_frames
from tracknet.inference.outputs import Job
from tracknet.inference.predictions import Predictions
from tracknet.inference.predictor import Predictor
from tracknet.inference.run_job import run_job
from tracknet.utils import video_packets
from tracknet.utils.errors import RunError
from tracknet.utils.progress import Progress

TS, M3U8 = "video/mp2t", "application/vnd.apple.mpegurl"


def fragmented(path: Path, frames: int) -> bytes:
    """An MP4 that is written while it is sent, as its own head says: without a length."""
    with av.open(str(path), "w", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as out:
        stream = out.add_stream("libx264", rate=30, options={"g": "5", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for picture in pictures(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path.read_bytes()


def with_segments(site: Broadcast, scratch: Path, *, finished: bool) -> str:
    """The URL of a playlist, whose segments go on while it is read where it is not finished."""
    asked = count()
    for number in range(10):
        content = transport_stream(scratch, 30, first=number * 30)
        site.bodies[f"/{number}.ts"] = TS, lambda content=content: content  # type: ignore[misc]

    def now() -> bytes:
        # Three new segments whenever it is asked for again.
        return playlist(4 if finished else min(10, 4 + 3 * next(asked)), finished=finished)

    site.bodies["/list.m3u8"] = M3U8, now
    return f"{site.url}/list.m3u8"


def test_what_has_no_end_is_live_and_what_has_one_is_not(tmp_path: Path):
    stream = transport_stream(tmp_path, 200)
    with broadcast() as site, serve() as files:
        site.bodies["/camera"] = MULTIPART, lambda: jpegs(None)
        site.bodies["/stream"] = (
            TS,
            lambda: chain.from_iterable(in_pieces(stream, pause_s=0.001) for _ in count()),
        )
        site.bodies["/growing.mp4"] = (
            "video/mp4",
            lambda: in_pieces(fragmented(tmp_path / "f.mp4", 60), pause_s=0.001),
        )
        files.files = {
            "/a.mp4": write_video(tmp_path / "a.mp4", pictures(9), sound=True).read_bytes(),
            "/a.ts": stream,
            "/a.mkv": write_video(tmp_path / "a.mkv", pictures(45)).read_bytes(),
        }
        for url in (f"{site.url}/camera", f"{site.url}/stream", f"{site.url}/growing.mp4"):
            with closing(open_frames(url, timeout_s=10)) as source:
                assert (source.live, source.repeatable, source.stated_frames) == (True, False, None), url
                assert source.traits.sound is None
                numbers = [frame.number for frame in islice(source, 30)]
            assert numbers == list(range(30))
        expected = {"/a.mp4": 9, "/a.ts": 200, "/a.mkv": 45}
        for name, frames in expected.items():
            with closing(open_frames(files.url + name, timeout_s=10)) as source:
                assert (source.live, source.repeatable, source.stated_frames) == (False, True, frames), name
                assert sum(1 for _ in source) == frames
                assert source.notes() == []


@pytest.mark.parametrize("finished", [True, False])
def test_hls_is_live_until_its_playlist_says_that_it_ends(tmp_path: Path, finished: bool):
    with (
        broadcast() as site,
        closing(open_frames(with_segments(site, tmp_path, finished=finished))) as source,
    ):
        assert source.live is not finished
        assert source.stated_frames == (120 if finished else None)
        times_s = [frame.time_s for frame in (source if finished else islice(source, 150))]
    assert len(times_s) == (120 if finished else 150)
    assert times_s[:90] == pytest.approx([number / 30 for number in range(90)], abs=2e-3)


def jump_after(time_s: float) -> str:
    return (
        f"its time stamps jump once, over about 30 frames: after {time_s:.3f} s (30 frames); parts that its playlist "
        "lists could not be had, or the recording paused: time_s is right, frame counts on as if nothing were missing"
    )


@pytest.mark.parametrize(
    ("lost", "decoded", "notes"),
    [
        ([2], 90, [jump_after(1.967)]),
        # What is lost at an end leaves no jump.
        (
            [3],
            90,
            [
                "the times in its playlist make about 120 frames, 90 decode: parts that it lists could not be had",
            ],
        ),
        (
            [1, 3],
            60,
            [
                jump_after(0.967),
                "the times in its playlist make about 120 frames, 60 decode: others, at its beginning or end or "
                "where its stamps begin anew, could not be had",
            ],
        ),
    ],
)
def test_a_finished_playlist_without_some_of_its_segments_says_so(
    tmp_path: Path, lost: list[int], decoded: int, notes: list[str]
):
    with broadcast() as site:
        url = with_segments(site, tmp_path, finished=True)
        for number in lost:
            del site.bodies[f"/{number}.ts"]
        with closing(open_frames(url, timeout_s=20)) as source:
            frames = [(frame.number, frame.time_s) for frame in source]
            assert source.notes() == notes
    assert [number for number, _ in frames] == list(range(decoded))
    kept = [number for number in range(120) if number // 30 not in lost]
    assert [time_s for _, time_s in frames] == pytest.approx([number / 30 for number in kept], abs=2e-3)


@pytest.mark.parametrize("all_come", [True, False])
def test_after_a_slow_opening_a_playlist_has_ended_where_all_its_frames_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_come: bool
):
    slow = chain([True], repeat(False))
    monkeypatch.setattr(video_packets, "_UNDER_TLS", ("http",))
    monkeypatch.setattr(video_packets, "ran_out", lambda begun_s, timeout_s: next(slow))
    with broadcast() as site:
        url = with_segments(site, tmp_path, finished=True)
        if not all_come:
            del site.bodies["/3.ts"]
        with (
            closing(open_frames(url, timeout_s=20)) as source,
            nullcontext()
            if all_come
            else pytest.raises(RunError, match="frame 90: no picture came for 20 s"),
        ):
            assert sum(1 for _ in source) == 120


def test_a_playlist_that_goes_on_says_what_was_lost_of_it(tmp_path: Path):
    with broadcast() as site:
        url = with_segments(site, tmp_path, finished=False)
        del site.bodies["/3.ts"]
        with closing(open_frames(url, timeout_s=20)) as source:
            frames = list(islice(source, 100))
            assert source.live and len(frames) == 100
            assert source.notes() == [jump_after(1.967)]


@pytest.mark.parametrize("sound", [False, True])
def test_of_a_playlist_in_several_sizes_the_largest_is_taken_and_it_alone(tmp_path: Path, sound: bool):
    segments = range(6)
    with broadcast() as site:
        sizes = {"small": (160, 90), "large": (320, 180)}
        lines = ["#EXTM3U"]
        for name, size in sizes.items():
            shown = "x".join(map(str, size))
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION={shown}", f"{name}/list.m3u8"]
            site.bodies[f"/{name}/list.m3u8"] = M3U8, lambda: playlist(len(segments), finished=True)
            for number in segments:
                content = transport_stream(tmp_path, 30, first=number * 30, size=size, sound=sound)
                site.bodies[f"/{name}/{number}.ts"] = TS, lambda content=content: content  # type: ignore[misc]
        site.bodies["/all.m3u8"] = M3U8, lambda: "\n".join([*lines, ""]).encode()
        with closing(open_frames(f"{site.url}/all.m3u8", timeout_s=20)) as source:
            assert source.traits.sound == (f"{site.url}/all.m3u8" if sound else None)
            assert [frame.image().shape for frame in source] == [(180, 320, 3)] * 180
            assert source.notes() == []
    fetched = {name: sum(site.asked_for(f"/{name}/{n}.ts") > 0 for n in segments) for name in sizes}
    assert fetched["large"] == 6
    assert fetched["small"] <= 2  # looked into while it is opened


def test_pictures_without_stamps_have_the_times_at_which_they_came(tmp_path: Path):
    with broadcast() as site:
        go_on = threading.Event()

        def halves() -> Iterator[bytes]:
            yield from jpegs(10)
            go_on.wait(60)
            yield from jpegs(10)

        site.bodies["/camera"] = MULTIPART, halves
        with closing(open_frames(f"{site.url}/camera", timeout_s=60)) as source:
            assert source.frame_rate is None and source.traits.time_base is None
            times_s = []
            for frame in source:
                times_s.append(frame.time_s)
                if frame.number == 0:
                    time.sleep(1.5)
                    go_on.set()
    # FFmpeg would have them 0.04 s apart, and the last at 0.76 s. The 10th may be told by the 11th's head.
    assert len(times_s) == 20
    assert all(time_s >= 1.5 for time_s in times_s[11:])
    assert times_s == sorted(times_s)
    assert source.notes() == ["the stream ended after 20 frames: its sender closed it, or the line broke"]


def test_ctrl_c_is_the_end_of_pictures_over_http(model_folder: Path, tmp_path: Path):
    with broadcast() as site:
        site.bodies["/camera"] = MULTIPART, lambda: jpegs(None)
        said = interrupted_with_rows(model_folder, f"{site.url}/camera", tmp_path, "--overlay")
    assert " left" not in said
    rows = Predictions.read(tmp_path / "camera.csv")
    assert rows.frame.tolist() == list(range(len(rows)))
    assert (np.diff(rows.time_s) >= 0).all()
    with av.open(str(tmp_path / "camera.overlay.mp4")) as overlay:
        assert sum(1 for _ in overlay.decode(video=0)) == len(rows) > 10


@pytest.mark.parametrize("reordered", [False, True])
def test_a_stream_that_stalls_leaves_its_rows_and_says_so(
    make_model: MakeModel, tmp_path: Path, reordered: bool
):
    stream, advanced = transport_stream(tmp_path, 40, reordered=reordered), []
    with broadcast() as site:
        site.bodies["/stream"] = TS, lambda: chain(in_pieces(stream), site.silence())
        source = open_frames(f"{site.url}/stream", timeout_s=2.0)
        predictor = Predictor(make_model(), device="cpu", batch_size=1)
        with (
            pytest.MonkeyPatch.context() as patch,
            pytest.raises(RunError, match="no picture came for 2 s") as lost,
        ):
            patch.setattr(Progress, "__enter__", lambda self: advanced.append(self.total) or self)
            run_job(Job(source.name, "stream"), source, predictor, tmp_path, forms=["csv", "json"])
    rows = Predictions.read(tmp_path / "stream.csv")
    assert rows.frame.tolist() == list(range(len(rows)))
    assert 35 <= len(rows) <= 40  # what is not followed by the next packet's head is not known to be whole
    assert (
        f"{len(rows)} frames until then: {tmp_path / 'stream.csv'}, {tmp_path / 'stream.json'}"
        in lost.value.what
    )
    assert advanced == [None]  # no time left is worked out
    assert not list(tmp_path.glob("*.partial.csv"))


def test_of_a_lost_stream_predict_returns_what_came_and_notes_it(make_model: MakeModel, tmp_path: Path):
    stream = transport_stream(tmp_path, 40)
    with broadcast() as site:
        site.bodies["/stream"] = TS, lambda: chain(in_pieces(stream), site.silence())
        site.bodies["/nothing"] = TS, site.silence
        found = predict(f"{site.url}/stream", make_model(), device="cpu", timeout_s=2.0)
        assert len(found) >= 35
        (note,) = found.about["notes"]
        assert note.endswith(f"cannot be read further than frame {len(found)}: no picture came for 2 s")
        with pytest.raises(RunError, match="no picture came within"):
            predict(f"{site.url}/nothing", make_model(), device="cpu", timeout_s=0.5)


def slowly(piece: bytes) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(0.02)


@pytest.mark.parametrize("reordered", [False, True])
def test_bytes_without_pictures_are_silence(tmp_path: Path, reordered: bool):
    """Bytes come all the time, and of none of them a picture can be made."""
    stream, found = transport_stream(tmp_path, 40, reordered=reordered), []
    nothing = bytes([0x47, 0x1F, 0xFF, 0x10]) + bytes([255]) * 184
    with broadcast() as site:
        site.bodies["/stream"] = TS, lambda: chain(in_pieces(stream), slowly(nothing))
        source = open_frames(f"{site.url}/stream", timeout_s=2.0)
        with pytest.raises(RunError, match=r"cannot be read further than frame \d+: no picture came for 2 s"):
            for frame in source:
                found.append(frame.time_s)
    assert len(found) >= 35
    assert found == pytest.approx([number / 30 for number in range(len(found))], abs=2e-3)


def test_frames_that_wait_for_later_ones_come_out_at_the_end(tmp_path: Path):
    stream = transport_stream(tmp_path, 60, reordered=True)
    with broadcast() as site:
        site.bodies["/stream"] = TS, lambda: in_pieces(stream)
        with closing(open_frames(f"{site.url}/stream", timeout_s=20)) as source:
            times_s = [frame.time_s for frame in source]
    assert times_s == pytest.approx([number / 30 for number in range(60)], abs=2e-3)
    assert source.notes() == ["the stream ended after 60 frames: its sender closed it, or the line broke"]


@pytest.mark.parametrize("reordered", [False, True])
def test_a_server_that_dies_and_one_that_never_answers(
    make_model: MakeModel, tmp_path: Path, reordered: bool
):
    stream = transport_stream(tmp_path, 40, reordered=reordered)
    with broadcast() as site:
        site.reset = True
        most_came = threading.Event()

        def until_most_came() -> Iterator[bytes]:
            yield from in_pieces(stream)
            most_came.wait(60)  # a reset takes what is on its way with it

        site.bodies["/stream"] = TS, until_most_came
        site.bodies["/nothing"] = TS, site.silence
        found = []
        try:
            for ball in track(f"{site.url}/stream", make_model(), device="cpu", timeout_s=90):
                found.append(ball.frame)
                if len(found) == 28:
                    most_came.set()
        except RunError as error:  # FFmpeg may take a reset for an end
            assert "cannot be read further" in error.what
        with pytest.raises(RunError, match=r"/nothing cannot be read: no picture came within 0\.5 s"):
            open_frames(f"{site.url}/nothing", timeout_s=0.5)
        with pytest.raises(RunError, match=r"/none cannot be read: .*404"):
            open_frames(f"{site.url}/none", timeout_s=5)
    assert len(found) >= 28
    assert found == list(range(len(found)))


def test_a_file_whose_connection_is_cut_is_asked_for_again(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), dtype=np.uint8)
    with serve() as site:
        site.files = {"/a.mkv": write_video(tmp_path / "a.mkv", noise, options={"crf": "1"}).read_bytes()}
        site.faults = {"/a.mkv": ["cut"]}
        with closing(open_frames(f"{site.url}/a.mkv", timeout_s=20)) as source:
            assert [frame.number for frame in source] == list(range(8))
            assert source.notes() == []
    assert site.asked_for("/a.mkv") >= 2
