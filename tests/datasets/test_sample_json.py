"""Labels made elsewhere: what may be left out, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracknet.datasets.sample_json import SampleLabel, read_sample_json, split_name
from tracknet.datasets.schema import sample_json
from tracknet.utils.geometry import Size

STORED = Size(512, 288)
KEY = "game1_Clip3_0042"


def read(body: Any, key: str = KEY) -> SampleLabel:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_sample_json(content, key=key, stored=STORED)


letters = st.characters(codec="utf-8", categories=("L", "N", "P"), exclude_characters="/\\")
names = st.text(letters, min_size=1, max_size=40).filter(lambda name: name not in (".", ".."))
numbers = st.floats(-9999, 9999)


@settings(max_examples=30, deadline=None)
@given(names, names, st.integers(0, 2**31 - 1), st.tuples(numbers, numbers) | st.none(), st.integers(1, 3))
def test_what_we_write_is_read_back(
    game: str, clip: str, frame: int, xy: tuple[float, float] | None, visibility: int
) -> None:
    label = {"game": game, "clip": clip, "frame": frame, "xy_px": xy, "status": None if xy is None else 2}
    label |= {"visibility": visibility if xy else 0, "source_size": Size(1280, 720)}
    assert read(sample_json(**label)) == SampleLabel(**label)


def test_what_may_be_left_out() -> None:
    with_point = SampleLabel("game1", "Clip3", 42, (3.0, 4.5), 1, None, STORED)
    assert read({"xy_px": [3, 4.5]}) == with_point
    assert read({"xy_px": None}) == SampleLabel("game1", "Clip3", 42, None, 0, None, STORED)
    assert read({"xy_px": [3, 4.5], "visibility": 2, "frame": 7, "more": {}}).frame == 7
    assert read({"xy_px": None, "game": "a b", "clip": "c", "frame": 1}, key="whatever").game == "a b"
    assert read({"xy_px": None}, key="us_open_2_Clip1_7").game == "us_open_2"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 60_000, "is no JSON"),
        (b"1" * 5000, "is no JSON"),
        (b" " * 70_000, "has 70,000 bytes, more than the 65,536 of any label"),
        ([1], "is no JSON object"),
        ({}, "xy_px is missing"),
        ({"xy_px": [1]}, r"xy_px is \[1\]: give \[x, y\]"),
        ({"xy_px": [1, "2"]}, "xy_px is"),
        ({"xy_px": [1, True]}, "xy_px is"),
        (b'{"xy_px": [1, NaN]}', "xy_px is"),
        (b'{"xy_px": [1, 1e999]}', "xy_px is"),
        ({"xy_px": [1, 1e7]}, "xy_px is"),
        ({"xy_px": [0, 0], "visibility": 0}, "there is no point exactly where it is 0"),
        ({"xy_px": None, "visibility": 1}, "there is no point exactly where it is 0"),
        ({"xy_px": None, "visibility": 4}, "visibility is 4: give 0, 1, 2 or 3"),
        ({"xy_px": None, "visibility": True}, "visibility is true"),
        ({"xy_px": None, "status": 3}, "status is 3"),
        ({"xy_px": None, "source_size": [0, 5]}, "source_size is"),
        ({"xy_px": None, "source_size": [10**9, 5]}, "source_size is"),
        ({"xy_px": None, "frame": -1}, "frame is -1"),
        ({"xy_px": None, "frame": 2**31}, "frame is"),
        ({"xy_px": None, "frame": "7"}, 'frame is "7"'),
        ({"xy_px": None, "game": ""}, 'game is ""'),
        ({"xy_px": None, "game": "../../g"}, 'game is "../../g"'),
        ({"xy_px": None, "clip": ".."}, 'clip is ".."'),
        ({"xy_px": None, "clip": "a\nb"}, "clip is"),
        ({"xy_px": None, "clip": "c" * 201}, "clip is"),
    ],
)
def test_what_is_refused(body: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(body)


def test_all_wrong_fields_are_told_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"visibility is 9.*status is 9.*game is null.*clip is null.*frame is null"
    ):
        read({"xy_px": None, "visibility": 9, "status": 9}, key="k")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a_1_0001.jpg", ("a_1_0001", ".jpg")),
        ("folder.x/a.seg.png", ("a", ".seg.png")),
        ("README", ("README", "")),
        (".json", ("", ".json")),
    ],
)
def test_names_are_split_at_the_first_dot(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts
