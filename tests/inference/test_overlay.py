"""The ball drawn into real files: what is seen, when, and with which frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.videos import pictures, place, turn, write_video
from tracknet.inference.overlay import OverlayLook, OverlayVideo, draw_video
from tracknet.reporting.ball_overlay import BALL_RGB, EVENT_RGB
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage
from tracknet.utils.video import Video
from tracknet.utils.video_container import VideoError

NAN = float("nan")


@dataclass(frozen=True)
class Ball:
    frame: int
    x: float = NAN
    y: float = NAN
    visible: bool = True
    score: float = 0.9
    event: str = ""
    filled: bool = False

    @property
    def time_s(self) -> float:
        return self.frame / 30


def images(path: Path) -> list[RGBImage]:
    with Video(path) as video:
        return [frame.image() for frame in video]


def nearness(image: RGBImage, rgb: tuple[int, int, int], x: float, y: float, reach: int = 16) -> int:
    """How near to a colour the nearest pixel around a place is, 0 the same."""
    part = image[
        max(0, round(y) - reach) : round(y) + reach + 1, max(0, round(x) - reach) : round(x) + reach + 1
    ]
    return int(np.abs(part.astype(int) - rgb).sum(-1).min())


def test_the_ball_is_marked_where_it_is_and_only_where_it_is_seen(tmp_path: Path) -> None:
    size = (640, 360)
    source = write_video(tmp_path / "a.mp4", pictures(8, size=size), rate=Fraction(30000, 1001))
    balls = [Ball(i, *place(i, size), visible=i != 4) for i in range(8)]
    left_out = draw_video(source, balls, tmp_path / "out.mp4", look=OverlayLook(trail_s=0))
    assert left_out is None
    drawn, plain = images(tmp_path / "out.mp4"), images(source)
    assert len(drawn) == len(plain) == 8
    for i, (image, before) in enumerate(zip(drawn, plain, strict=True)):
        change = np.abs(image.astype(int) - before).sum(-1)
        if i == 4:
            assert change.max() < 60
        else:
            assert nearness(image, BALL_RGB, balls[i].x, balls[i].y) < 90
            ys, xs = np.nonzero(change > 120)
            assert (xs.min() + xs.max()) / 2 == pytest.approx(balls[i].x, abs=1.5)
            assert (ys.min() + ys.max()) / 2 == pytest.approx(balls[i].y, abs=1.5)


def test_the_trail_lasts_its_time_and_breaks(tmp_path: Path) -> None:
    ground = np.full((360, 640, 3), 60, np.uint8)
    with OverlayVideo(tmp_path / "out.mp4", Size(640, 360)) as out:
        shown = [
            out.drawn(ground, Ball(i, 40.0 + 30 * i, 180.0, visible=i not in (14, 15))) for i in range(19)
        ]
        out.writer.write(shown[0], 0.0)
    assert np.all(ground == 60)
    # 0.3 s at 30 frames/s are 9 steps of 30 px.
    columns = np.nonzero((shown[12][180] != 60).any(-1))[0]
    assert 400 - 9 * 30 <= columns.min() <= 400 - 8 * 30 + 5
    # Frames 13 and 16 have nothing between them.
    row = (shown[18][180] != 60).any(-1)
    assert not row[40 + 30 * 13 + 4 : 40 + 30 * 16 - 4].any()
    assert row[40 + 30 * 16 : 40 + 30 * 17].all()


def test_an_event_stays_at_its_place_for_its_time(tmp_path: Path) -> None:
    ground = np.full((360, 640, 3), 60, np.uint8)
    with OverlayVideo(tmp_path / "out.mp4", Size(640, 360), look=OverlayLook(trail_s=0, event_s=0.5)) as out:
        near = []
        for i in range(24):
            ball = Ball(i, 60.0 + 22 * i, 200.0, event="bounce" if i == 5 else "")
            out.write(ground, ball)
            near.append(nearness(out.drawn(ground, ball), EVENT_RGB["bounce"], 170, 200, 24))
    assert min(near[:5]) > 150
    assert near[5] < 30
    assert near[5] < near[12] < near[18]
    assert min(near[20:]) > 150


def test_heatmap_and_text_are_drawn_when_asked_for(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", pictures(3, size=(640, 360)))
    counted: list[int] = []
    draw_video(
        source,
        [Ball(i) for i in range(3)],
        tmp_path / "out.mp4",
        look=OverlayLook(text=True),
        heatmap_of=lambda frame: np.full((36, 64), 1.0 if frame == 1 else 0.0, np.float32),
        progress=counted.append,
    )
    drawn = images(tmp_path / "out.mp4")
    assert counted == [1, 2, 3]
    assert drawn[1][40:80, 500:600].mean() > drawn[0][40:80, 500:600].mean() + 100
    assert drawn[0][1:5, 1:5].mean() < 40


def test_a_part_gives_that_part(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", pictures(20), sound=True)
    draw_video(source, (Ball(i) for i in range(5, 12)), tmp_path / "out.mp4")
    plain = images(source)
    drawn = images(tmp_path / "out.mp4")
    assert len(drawn) == 7
    for image, before in zip(drawn, plain[5:12], strict=True):
        assert np.abs(image.astype(int) - before).mean() < 2
    with Video(tmp_path / "out.mp4") as video:
        assert [frame.time_s for frame in video] == pytest.approx([i / 30 for i in range(7)], abs=1e-6)


def test_uneven_times_come_from_the_rows(tmp_path: Path) -> None:
    times = [0, 33, 80, 400, 401]
    source = write_video(tmp_path / "a.mkv", pictures(5), times=times)

    @dataclass(frozen=True)
    class Row:
        frame: int
        time_s: float
        x: float = NAN
        y: float = NAN
        score: float = 0.0
        visible: bool = False

    with Video(source) as video:
        rows = [Row(frame.index, frame.time_s) for frame in video]
    draw_video(source, rows, tmp_path / "out.mp4")
    with Video(tmp_path / "out.mp4") as video:
        assert [round(frame.time_s * 1000) for frame in video] == times


def test_a_turned_video_is_marked_in_the_upright_picture(tmp_path: Path) -> None:
    source = turn(write_video(tmp_path / "a.mp4", pictures(4, size=(320, 180))), 90)
    draw_video(source, [Ball(i, 60.0, 250.0) for i in range(4)], tmp_path / "out.mp4")
    for image in images(tmp_path / "out.mp4"):
        assert image.shape == (320, 180, 3)
        assert nearness(image, BALL_RGB, 60, 250) < 120


def test_rows_of_another_video_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", pictures(6))
    out = tmp_path / "out.mp4"

    def rows() -> Iterator[Ball]:
        yield from (Ball(i) for i in range(9))

    with pytest.raises(RunError, match=r"ends after 6 frames, before the predictions do \(frame 6\)"):
        draw_video(source, rows(), out)
    with pytest.raises(RunError, match="predictions of frame 1 are followed by 3"):
        draw_video(source, [Ball(0), Ball(1), Ball(3)], out)
    with pytest.raises(RunError, match="no predictions to draw"):
        draw_video(source, [], out)
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(VideoError):
        draw_video(tmp_path / "no.mp4", [Ball(0)], out)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "no.mp4"}


def test_a_camera_ended_by_hand_leaves_its_video(tmp_path: Path) -> None:
    def camera() -> Iterator[tuple[RGBImage, Ball]]:
        for i, picture in enumerate(pictures(9)):
            yield picture, Ball(i, *place(i))
        raise KeyboardInterrupt

    with OverlayVideo(tmp_path / "out.mp4", Size(160, 90)) as out:
        try:
            for picture, ball in camera():
                out.write(picture, ball)
        except KeyboardInterrupt:
            pass
    with Video(tmp_path / "out.mp4") as video:
        stamps = [frame.time_s for frame in video]
    assert stamps == pytest.approx([i / 30 for i in range(9)], abs=1e-4)
    assert all(old < new for old, new in pairwise(stamps))


def test_real_labels_on_real_video(shared_data: Path, tmp_path: Path) -> None:
    import csv

    clip = shared_data / "data" / "badminton" / "match6"
    with (clip / "csv" / "00030_ball.csv").open() as file:
        rows = [(float(r["X"]), float(r["Y"]), r["Visibility"] == "1") for r in csv.DictReader(file)][:24]
    balls = [Ball(i, x, y, visible) for i, (x, y, visible) in enumerate(rows)]
    draw_video(clip / "video" / "00030.mp4", balls, tmp_path / "out.mp4", look=OverlayLook(trail_s=0))
    drawn = images(tmp_path / "out.mp4")
    with Video(clip / "video" / "00030.mp4") as video:
        for image, ball, frame in zip(drawn, balls, video, strict=False):
            change = np.abs(image.astype(int) - frame.image()).sum(-1)
            if not ball.visible or not math.isfinite(ball.x):
                assert (change > 250).sum() < 5
                continue
            ys, xs = np.nonzero(change > 250)
            assert (np.median(xs), np.median(ys)) == pytest.approx((ball.x, ball.y), abs=6)
