"""What the writer makes plays in a browser, in time and with its sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.reporting.webdriver import Browser
from tests.videos import pictures, write_video
from tracknet.utils.video import Video
from tracknet.utils.video_writer import VideoWriter

H264 = "return document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64001f, mp4a.40.2\"')"


def test_a_written_video_plays_in_chromium(browser: Browser, tmp_path: Path) -> None:
    source = write_video(
        tmp_path / "a.mkv",
        pictures(46, size=(321, 180)),
        rate=Fraction(30000, 1001),
        pixels="yuv444p",
        sound=True,
    )
    with Video(source) as video, VideoWriter(tmp_path / "out.mp4", video.size, video.traits) as writer:
        for frame in video:
            writer.write(frame.image(), frame.time_s)
    page = tmp_path / "page.html"
    page.write_text('<video id="v" muted src="out.mp4"></video>')
    browser.open(page)
    if not browser.run(H264):
        pytest.skip("this Chromium is built without H.264")
    browser.run("v.play()")
    browser.wait("return v.error || v.ended")
    assert browser.run("return v.error && v.error.message") is None
    assert browser.run("return [v.videoWidth, v.videoHeight]") == [322, 180]
    assert browser.run("return v.duration") == pytest.approx(46 * 1001 / 30000, abs=0.01)
    assert browser.run("return v.currentTime") == pytest.approx(46 * 1001 / 30000, abs=0.05)
    assert browser.run("return v.webkitAudioDecodedByteCount") > 0
