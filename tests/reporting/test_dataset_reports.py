"""The sheet and the page show what the labels say, and text from a data set stays text."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest

from tests.reporting.conftest import check_policy
from tracknet.reporting.dataset_page import dataset_page
from tracknet.reporting.overlays import TRUTH_RGB
from tracknet.reporting.sample_sheet import ShownFrame, sample_sheet

GREY = np.full((108, 192, 3), 90, np.uint8)
FRAME = ShownFrame(
    key="game1_Clip1_0003",
    split="train",
    game="game1",
    clip="Clip1",
    visibility="1 clear",
    status="hit",
    xy_px=(100.0, 60.0),
    frame_xy_px=(669.5, 401.5),
    image=GREY,
    file=cv2.imencode(".jpg", GREY)[1].tobytes(),
)
ABSENT = replace(
    FRAME, key="game1_Clip1_0004", visibility="0 absent", status="", xy_px=None, frame_xy_px=None
)


def green(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    near = np.abs(picture.astype(int) - TRUTH_RGB).sum(-1) < 60
    return np.nonzero(near)


def test_the_ring_is_around_the_ball_in_picture_and_close_up() -> None:
    sheet = sample_sheet([FRAME], columns=3)
    assert sheet.shape == (216, 384 + 216, 3)
    ys, xs = green(sheet[:, :384])
    # Twice the size: (100 + 0.5) * 2 - 0.5.
    assert ((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2) == pytest.approx((200.5, 120.5), abs=1)
    ys, xs = green(sheet[:, 384:])
    assert ((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2) == pytest.approx((107.5, 107.5), abs=1)


def test_the_close_up_is_of_the_ball() -> None:
    image = GREY.copy()
    image[60, 100] = (255, 0, 0)
    close_up = sample_sheet([replace(FRAME, image=image)])[:, 384:].astype(int)
    reddest = np.unravel_index((close_up[..., 0] - close_up[..., 1]).argmax(), (216, 216))
    assert reddest == pytest.approx((107.5, 107.5), abs=3)


def test_no_ring_without_a_ball_and_as_many_columns_as_frames() -> None:
    sheet = sample_sheet([ABSENT, ABSENT])
    assert sheet.shape == (216, 2 * 600 + 6, 3)
    assert not len(green(sheet)[0])
    assert sample_sheet([FRAME] * 4).shape == (2 * 216 + 6, 3 * 600 + 12, 3)


class Elements(HTMLParser):
    """Tags with attributes, and the text of scripts, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            tag, attributes = self.tags[-1]
            self.text.setdefault(attributes.get("id") or tag, data)


def parsed(page: str) -> Elements:
    elements = Elements()
    elements.feed(page)
    return elements


def frames_of(page: str) -> list[dict[str, Any]]:
    return list(json.loads(parsed(page).text["data"])["frames"])


def test_the_page_holds_the_stored_files_and_their_labels() -> None:
    png = cv2.imencode(".png", GREY)[1].tobytes()
    first, second = frames_of(
        dataset_page("title", "figures", ["look here"], [FRAME, replace(ABSENT, file=png)])
    )
    kind, _, data = first["src"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(data) == FRAME.file
    assert first["xy"] == [100.0, 60.0]
    assert first["frameXy"] == [669.5, 401.5]
    assert (first["width"], first["height"]) == (192, 108)
    assert second["xy"] is None
    assert second["src"].startswith("data:image/png;base64")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = dataset_page("title", "figures", [], [FRAME])
    assert "{{" not in page
    places = [
        value for _, attrs in parsed(page).tags for name, value in attrs.items() if name in ("src", "href")
    ]
    assert places == []
    check_policy(page)


def test_names_from_a_data_set_stay_text() -> None:
    evil = "</script><script>alert(1)</script>&lt;img src=x onerror=alert(1)>{{data}}\u2028"
    page = dataset_page(evil, evil, [evil], [replace(FRAME, key=evil, game=evil)])
    clean = dataset_page("t", "s", ["w"], [FRAME])
    assert [tag for tag, _ in parsed(page).tags] == [tag for tag, _ in parsed(clean).tags]
    assert frames_of(page)[0]["game"] == evil


def test_every_control_has_a_name_and_the_keys_are_handled() -> None:
    elements = parsed(dataset_page("title", "figures", [], [FRAME]))
    tags = [tag for tag, _ in elements.tags]
    assert elements.tags[0] == ("html", {"lang": "en"})
    # Each choice lies in a label, which gives it its name.
    for number, tag in enumerate(tags):
        if tag in ("select", "input"):
            assert tags[number - 1] == "label"
    script = elements.text["script"]
    assert all(key in script for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", '"l"'))
