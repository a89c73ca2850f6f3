"""The pages in a browser, used as a person would: mouse, keyboard, phone; nothing fetched, nothing thrown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.reporting.conftest import Columns, make_predictions
from tests.reporting.webdriver import Browser
from tracknet.reporting.dataset_page import dataset_page
from tracknet.reporting.outcomes import worst_frames
from tracknet.reporting.pictures import frame_picture
from tracknet.reporting.sample_sheet import ShownFrame

KINDS = "#gallery .shot b"
CURSOR = "return +document.getElementById('trace-canvas').getAttribute('aria-valuenow')"
HELD = "return document.activeElement.id"


@pytest.fixture
def page(
    browser: Browser, render_page: Callable[..., Path], metrics: dict, predictions: Columns
) -> Iterator[Browser]:
    """The report of three clips with twelve pictures and a comparison, open at 1280x900 in light colours.

    After the test: nothing was asked of a network, and the console is empty.
    """
    other = {name: column.copy() for name, column in predictions.items()}
    other["outcome"][10:15] = 0
    frame = np.full((90, 160, 3), 90, np.uint8)
    pictures = [
        frame_picture(str(predictions["key"][row]), frame, None, (50.0, 40.0), (60.0, 40.0))
        for row in worst_frames(predictions, 12)
    ]
    comparison = {"a": "old", "b": "new", "verdict": "no difference", "protocols": {}, "predictions": other}
    yield from watched(browser, render_page(metrics, predictions, pictures, comparison))


def watched(browser: Browser, path: Path) -> Iterator[Browser]:
    browser.emulate(width=1280, height=900, dark=False)
    browser.log("browser"), browser.log("performance")
    browser.open(path)
    yield browser
    assert browser.log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # The browser's own start page may ask for things, too.
    asked = [request["request"]["url"] for request in requests if request["documentURL"] == path.as_uri()]
    # The page itself, and the pictures that it holds.
    assert [address for address in asked if not address.startswith(("file://", "data:"))] == []
    assert {address for address in asked if address.startswith("file://")} == {path.as_uri()}


def test_filters_and_sorts_frames(page: Browser):
    assert len(page.texts(KINDS)) == 21
    page.click('#chips [data-kind="4"]')
    assert set(page.texts(KINDS)) == {"missed"} and len(page.texts(KINDS)) == 15
    assert page.text("#shown") == "15 of 15 frames"
    assert page.run("return document.activeElement.dataset.kind") == "4", "the keyboard stays on the chip"
    page.click('#chips [data-kind="2"]')
    assert page.texts(KINDS) == ["near miss"] * 3
    page.click('#chips [data-kind="all"]')
    page.select("#by-game", "game2")
    assert len(page.texts(KINDS)) == 7
    assert all("game2 / Clip1" in text for text in page.texts("#gallery .shot small:nth-of-type(1)"))
    page.select("#by-game", "")
    page.select("#sort", "error")
    errors = [float(text.split(" px")[0]) for text in page.texts("#gallery .shot small") if " px off" in text]
    assert errors == sorted(errors, reverse=True) and errors[0] > 55
    page.select("#sort", "score")
    scores = [
        float(text.split("score ")[1]) for text in page.texts("#gallery .shot small") if "score" in text
    ]
    assert scores == sorted(scores, reverse=True)


def test_filters_by_who_is_right(page: Browser):
    page.click('[data-view="b"]')
    assert page.texts(KINDS) == ["missed"] * 5
    page.select("#view", "a")
    assert page.texts(KINDS) == []
    assert page.text("#shown") == "0 of 0 frames"


def test_opens_a_frame_and_walks_by_keyboard(page: Browser):
    names = page.texts("#gallery .shot small:nth-of-type(1)")
    page.run("arguments[0].focus()", page.find(".shot"))
    page.press("Enter")
    assert page.run("return document.getElementById('lightbox').open")
    first = page.text("#box-name")
    assert first.replace("frame ", "") == names[0]
    assert page.run("return document.querySelector('#box-picture img').naturalWidth") == 160
    assert page.run("return document.querySelector('#box-close-up img').naturalWidth") == 400
    page.press("Right")
    assert page.text("#box-name").replace("frame ", "") == names[1]
    page.press("Left", "Left")
    assert page.text("#box-name").replace("frame ", "") == names[-1], "it goes round"
    assert page.run("return document.querySelector('#box-picture canvas').width") > 0, "no picture: a sketch"
    page.press("Escape")
    assert not page.run("return document.getElementById('lightbox').open")
    page.click(".shot")
    page.click("#box-timeline")
    assert page.run(HELD) == "trace-canvas"
    assert page.text("#trace-name") == first.split(" · ")[0]
    assert page.text("#readout").splitlines()[1] == first.rpartition(" ")[2]


def test_walks_a_timeline(page: Browser):
    assert page.run(CURSOR) == 10, "it opens at the first failure"
    page.run("document.getElementById('trace-canvas').focus()")
    page.press("Right", "Right")
    assert page.run(CURSOR) == 12
    page.press("n", "n", "n")
    assert page.run(CURSOR) == 20
    assert "near miss" in page.run(
        "return arguments[0].getAttribute('aria-valuetext')", page.find("#trace-canvas")
    )
    assert "near miss" in page.text("#readout")
    page.press("n")
    assert page.run(CURSOR) == 27
    page.press("p", "Enter")
    assert page.run("return document.getElementById('lightbox').open")
    page.press("Escape", "End")
    assert page.run(CURSOR) == 39
    # Twice on a frame opens it; a first time only goes there.
    page.select("#zoom", "80")
    page.click("#trace-canvas")
    assert page.run(CURSOR) in (18, 19, 20, 21)
    page.click('[data-clip="2"]')
    assert page.text("#trace-name") == "game1 / Clip2"
    assert page.run("return document.querySelectorAll('.strip[aria-pressed=true]').length") == 1


def test_the_trace_is_drawn_and_follows_the_theme(page: Browser):
    script = """
        const canvas = document.getElementById('trace-canvas'), seen = new Set();
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
        copy.drawImage(canvas, 0, 0);
        const bytes = copy.getImageData(0, 0, canvas.width, canvas.height).data;
        for (let i = 0; i < bytes.length; i += 4) if (bytes[i + 3] === 255) seen.add(bytes.slice(i, i + 3).join());
        return [...seen]"""
    light = page.run(script)
    # Found, missed and the false alarm's colours, as report.css gives them.
    assert {"31,111,178", "194,71,10", "150,57,138"} <= set(light)
    background = "return getComputedStyle(document.body).backgroundColor"
    assert page.run(background) == "rgb(242, 245, 243)"
    page.click("#theme")
    page.click("#theme")
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    assert page.run(background) == "rgb(11, 20, 16)"
    assert {"111,182,236", "255,140,80", "229,147,211"} <= set(page.run(script))
    page.click("#theme")
    assert page.run(background) == "rgb(242, 245, 243)"


def test_tables_sort_by_figure_and_by_name(page: Browser):
    rows = ".sortable tbody th"
    assert page.texts(rows) == ["game1", "game2", "game10"]
    recall = "document.querySelectorAll('.sortable th button')[3]"
    page.run(f"{recall}.click()")
    assert page.texts(rows) == ["game1", "game2", "game10"]
    page.run(f"{recall}.click()")
    assert page.texts(rows) == ["game2", "game1", "game10"], "without a figure: last in either direction"
    page.click(".sortable th button")
    assert page.texts(rows) == ["game1", "game2", "game10"]
    assert page.run("return arguments[0].getAttribute('aria-sort')", page.find(".sortable th")) == "ascending"


def test_no_column_is_hidden_on_a_small_screen(
    browser: Browser, render_page: Callable[..., Path], metrics: dict, predictions: Columns
):
    figures = {"recall": 0.9, "f1": 0.9, "precision": 0.9, "median_px": 112.95, "false_alarm_rate": 0.1}
    counts = {"frames": 12_345, "balls": 11_111, "fp2": 123, "tn": 1_111}
    names = {
        "visibility": ["occluded"],
        "speed": ["40 px/frame and more"],
        "region": ["middle centre", "bottom centre"],
    }
    metrics["breakdowns"] = {
        kind: [{"value": name, **counts, **figures} for name in values] for kind, values in names.items()
    }
    script = """return [...document.querySelectorAll('.cards .scroll')]
        .filter(e => e.scrollWidth > e.clientWidth).map(e => [e.ariaLabel, e.scrollWidth, e.clientWidth])"""
    for page in watched(browser, render_page(metrics, predictions)):
        assert len(page.texts(".cards .scroll")) == 3
        assert page.run(script) == []


def test_games_are_listed_as_people_count(
    browser: Browser, render_page: Callable[..., Path], metrics: dict, predictions: Columns
):
    predictions["game"] = np.repeat(np.array(["game10", "game2", "game1"], object), 40)
    for page in watched(browser, render_page(metrics, predictions)):
        assert page.texts("#by-game option") == ["all", "game1", "game2", "game10"]
        clips = [text.partition(" ")[0] for text in page.texts("#by-clip option")]
        assert clips == ["all", "game1", "game2", "game10"]


def test_outcomes_lead_to_their_frames(page: Browser):
    page.click('[data-show="3"]')
    assert page.texts(KINDS) == ["false alarm"] * 3


def test_fits_a_phone_in_the_dark(page: Browser):
    page.emulate(width=360, height=740, dark=True)
    page.run("location.reload()")
    assert page.run("return document.documentElement.scrollWidth") == 360
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(11, 20, 16)"
    # Whatever can be pressed is large enough for a finger (24 px, WCAG 2.5.8).
    script = """return [...document.querySelectorAll('button, select, input, summary')]
        .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
        .filter(([, box]) => box.width && (box.height < 24 || box.width < 24))"""
    assert page.run(script) == []
    page.emulate(width=1280, height=900, dark=False)
    page.run("location.reload()")


def test_keyboard_begins_with_the_skip_link_and_shows_where_it_is(page: Browser):
    page.wait("return document.hasFocus()")
    page.press("Tab")
    page.wait("return document.activeElement.className === 'skip'")
    assert page.run("return document.activeElement.getBoundingClientRect().left") >= 0
    page.press("Enter")
    assert page.run(HELD) == "main"
    page.run("document.getElementById('sort').focus()")
    script = """return [...document.querySelectorAll('button, select, input, canvas[tabindex]')]
        .filter(e => e.checkVisibility() && !(e.ariaLabel || e.innerText || e.closest('label'))).map(e => e.id)"""
    assert page.run(script) == []
    page.press("Tab")
    page.wait("return document.activeElement.id !== 'sort'")
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("clips", [0, 1, 2000])
def test_from_no_frames_to_thousands_of_clips(
    browser: Browser, render_page: Callable[..., Path], metrics: dict, clips: int
):
    predictions = make_predictions(clips=clips, frames=30)
    for page in watched(browser, render_page(metrics, predictions)):
        page.wait(f"return document.querySelectorAll('#strips .strip').length === {min(clips, 24)}")
        assert ("No frames, so no timelines." in page.text("#timelines")) == (clips == 0)
        if clips > 24:
            assert page.text("#strips-more") == "More clips (1,976 left)"
            page.type("#strip-find", "clip1999")
            assert len(page.texts("#strips .strip")) == 1
            page.click("#strips .strip")
            assert page.text("#trace-name") == "game2 / Clip1999"


def test_hostile_names_are_text(browser: Browser, render_page: Callable[..., Path], metrics: dict):
    predictions = make_predictions(clips=1, frames=30)
    evil = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"
    predictions["clip"][:] = evil
    metrics["breakdowns"]["game"][0]["value"] = evil
    for page in watched(browser, render_page(metrics, predictions)):
        assert page.text("#trace-name") == f"game1 / {evil}"
        page.click(".shot")
        assert evil in page.text("#box-name")
        assert page.run("return document.title") == "quickstart · val"
        assert page.run("return document.querySelectorAll('img[src=x]').length") == 0


def test_the_frames_of_a_dataset_are_filtered_and_enlarged(browser: Browser, tmp_path: Path):
    evil = "<img src=x onerror=\"document.title = 'broken'\">"
    picture = np.full((108, 192, 3), 90, np.uint8)
    picture[60, 100] = (255, 0, 0)
    frame = ShownFrame(
        key="game1_Clip1_0003",
        split="train",
        game=evil,
        clip="Clip1",
        visibility="1 clear",
        status="hit",
        xy_px=(100.0, 60.0),
        frame_xy_px=(669.5, 401.5),
        image=picture,
        file=cv2.imencode(".png", picture[..., ::-1])[1].tobytes(),
    )
    absent = replace(frame, key="game1_Clip1_0004", visibility="0 absent", xy_px=None, frame_xy_px=None)
    path = tmp_path / "frames.html"
    path.write_text(dataset_page("two frames", "figures", [evil], [frame, absent]), encoding="utf-8")
    for page in watched(browser, path):
        assert page.text("#count") == "2 of 2 frames"
        assert page.text(".warnings li") == evil
        assert page.run("return document.querySelectorAll('.card .ring').length") == 1
        page.select("#visibility", "1 clear")
        assert page.text("#count") == "1 of 2 frames"
        page.click(".card")
        assert "ball at 669.5, 401.5" in page.text("#what")
        middle = """
            const copy = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
            copy.drawImage(document.getElementById('close'), 120, 120, 1, 1, 0, 0, 1, 1);
            const rgba = [...copy.getImageData(0, 0, 1, 1).data];"""
        page.wait(f"{middle} return rgba[3] > 0")
        assert page.run(f"{middle} return rgba") == [255, 0, 0, 255]
        page.press("Escape")
        assert not page.run("return document.getElementById('large').open")
        assert page.run("return document.title") == "two frames"
