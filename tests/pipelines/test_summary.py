"""What a person reads before a build: true, short and in whole words."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from pipelines.build import BuildReport
from pipelines.summary import describe_result, size_warnings
from pipelines.wording import listed_games
from tracknet.datasets.manifest import Manifest, ShardEntry
from tracknet.models.baselines.tracknet_v2 import TrackNetV2
from tracknet.models.baselines.wasb import WASBNet
from tracknet.models.decoders.build import build_decoder
from tracknet.models.model import TrackNet
from tracknet.utils.config import load_config
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted


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
    assert warning.endswith("choose data.resize=[496,288] or data.resize=[512,288]")
    assert "of 14 for dinov2_small, of 8 for tracknet_v2 and wasb" in warning
    for fits in (Size(504, 280), Size(512, 288)):
        assert not any("configs/model" in warning for warning in size_warnings(fits, {Size(1280, 720)}))


def test_a_size_that_the_baselines_alone_take_is_told_so() -> None:
    assert list(size_warnings(Size(200, 104), {Size(200, 104)}))[-1] == (
        "of the models of configs/model tracknet_v2 and wasb alone take stored frames of 200x104, which are multiples "
        "of 8 pixels: for the others, of patches of 16 or 14, choose data.resize=[192,96] or data.resize=[208,112]"
    )
    assert {TrackNetV2.stride, WASBNet.stride} == {8}


def next_of(size: Size) -> str:
    """What is said to come next after a build of frames of a size."""
    manifest = Manifest(
        build_id="0" * 64,
        image_size=size,
        config={},
        games={"train": ["game1"]},
        shards=(ShardEntry("train-000.tar", "train", 5, 9, "0" * 64),),
        index_sha256="0" * 64,
        totals={"splits": {}, "frames": 5, "bytes": 9},
    )
    return describe_result(BuildReport(manifest, 0, 0, False, (), 0.0), "out", "tracknet").splitlines()[-1]


@pytest.mark.parametrize(
    "size",
    [Size(512, 288), Size(256, 144), Size(128, 64), Size(504, 280), Size(252, 140), Size(200, 104)],
)
def test_the_next_command_fits_the_size(size: Size) -> None:
    gpu, on_cpu = re.fullmatch(r"next: (python .*)   \(on a CPU: (.*)\)", next_of(size)).groups()  # type: ignore[union-attr]
    # Of two settings of one key the later one counts.
    for options in (gpu.split()[4:], [*gpu.split()[4:], *on_cpu.split()]):
        named = [after for before, after in pairwise(options) if before == "--model"]
        model = ["vit_heatmap", *named][-1]
        config = load_config(model=model, overrides=[word for word in options if "=" in word])
        assert config.data.resize == size
        if model == "wasb":
            TrackNet(config.model, input_size=size, num_frames=3)
            continue
        patch = 14 if model == "dinov2_small" else 16
        build_decoder(config.model, in_channels=8, patch_size=patch, input_size=size, num_frames=3)


def test_the_next_command_of_the_usual_size_says_no_more_than_it_must() -> None:
    assert next_of(Size(512, 288)) == (
        "next: python -m tracknet.train out/train-000.tar   (on a CPU: --model vit_tiny --training cpu)"
    )


def test_no_command_is_advised_that_cannot_work() -> None:
    assert next_of(Size(132, 72)) == (
        "next: build with another data.resize: no model of configs/model takes frames of 132x72"
    )
