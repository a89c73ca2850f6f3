"""What a person reads before a build: true, short and in whole words."""

from __future__ import annotations

import pytest

from pipelines.summary import size_warnings
from pipelines.wording import counted, listed_games
from tracknet.utils.geometry import Size


@pytest.mark.parametrize("source", [Size(1280, 720), Size(1920, 1080), Size(3840, 2160), Size(960, 540)])
def test_the_size_that_is_usual_is_enough_for_a_ball_of_any_broadcast(source: Size) -> None:
    assert list(size_warnings(Size(512, 288), {source})) == []


@pytest.mark.parametrize(
    ("stored", "source", "words"),
    [
        (Size(224, 224), Size(1280, 720), "is 0.9 px wide and 1.6 px high in the stored 224x224 frames"),
        (Size(224, 224), Size(1280, 720), "such as data.resize=[400,224]"),
        (Size(256, 144), Size(1920, 1080), "a ball of 7.5 px in the 1920x1080 frames is 1.0 px wide"),
        (Size(256, 144), Size(1920, 1080), "such as data.resize=[400,224]"),
        (Size(1024, 100), Size(1920, 1080), "such as data.resize=[1024,576]"),
        (Size(64, 36), Size(160, 90), "no data.resize mends that"),
    ],
)
def test_the_size_advised_shows_the_ball_and_is_larger(stored: Size, source: Size, words: str) -> None:
    assert words in next(size_warnings(stored, {source}))


def test_the_size_advised_needs_no_advice() -> None:
    for source in (Size(1280, 720), Size(1920, 1080), Size(640, 480), Size(720, 576), Size(1080, 1920)):
        for stored in (Size(32, 32), Size(224, 224), Size(256, 144)):
            for warning in size_warnings(stored, {source}):
                if "data.resize=[" in warning:
                    pair = warning.rpartition("[")[2].rstrip("]").split(",")
                    advised = Size(int(pair[0]), int(pair[1]))
                    assert advised.width % 16 == advised.height % 16 == 0
                    assert advised > stored
                    assert list(size_warnings(advised, {source})) == []


def test_numbers_and_names() -> None:
    assert [counted(count, "shard") for count in (0, 1, 1200)] == ["0 shards", "1 shard", "1,200 shards"]
    games = [f"game{number}" for number in range(1, 27)]
    assert listed_games(games[:6]) == "game1, game2, game3, game4, game5, game6"
    assert listed_games(games) == "26 games, game1 to game26"


def test_a_size_that_fits_no_vit_is_told_with_one_that_does() -> None:
    (warning,) = size_warnings(Size(500, 288), {Size(1250, 720)})
    assert "500x288" in warning
    assert "data.resize=[496,288]" in warning
    for fits in (Size(504, 280), Size(512, 288), Size(520, 296)):
        assert not any("patches" in warning for warning in size_warnings(fits, {Size(1280, 720)}))
