"""Figures of an index, each against a count by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets.conftest import SmallBuild
from tracknet.datasets.contents import Contents
from tracknet.datasets.statistics import describe

Make = Callable[..., Contents]


@pytest.fixture
def contents(small_build: SmallBuild) -> Contents:
    return Contents.read(small_build.folder)


def with_columns(contents: Contents, **columns: Any) -> Contents:
    return replace(contents, columns={**contents.columns, **columns})


def test_the_small_build(contents: Contents, small_build: SmallBuild) -> None:
    figures = describe(contents)
    assert figures["image_size"] == [96, 48]
    assert figures["totals"]["frames"] == 93
    assert figures["totals"]["bytes"] == sum(p.stat().st_size for p in small_build.folder.glob("*.tar"))
    train, val = figures["splits"]["train"], figures["splits"]["val"]
    assert (train["frames"], train["clips"], train["games"], train["shards"]) == (
        71,
        12,
        ["game1", "game2"],
        4,
    )
    # 12 clips with one absent frame each, but for the one whose fourth frame is gone.
    assert train["visibility"] == {"0": 11, "1": 58, "2": 1, "3": 1}
    assert train["absent_share"] == pytest.approx(11 / 71, abs=1e-6)
    assert train["status"] == {"flying": 60, "hit": 0, "bounce": 0, "none": 11}
    assert train["flying_per_hit_or_bounce"] is None
    assert train["source_sizes"] == {"160x90": 65, "200x120": 6}
    assert train["missing_frames"] == 1
    assert (val["frames"], val["clips"], val["games"]) == (22, 2, ["game3"])
    assert figures["leakage"] == []
    assert figures["duplicates"]["same_source"]["groups"] == 0


def test_speed_is_between_consecutive_frames_with_a_ball(contents: Contents) -> None:
    speed = describe(contents)["splits"]["val"]["ball_speed_px_per_frame"]
    rows = np.flatnonzero(contents["split"] == "val")
    x, y = contents["x_px"][rows].reshape(2, 11), contents["y_px"][rows].reshape(2, 11)
    steps = np.hypot(np.diff(x), np.diff(y)).ravel()
    steps = steps[~np.isnan(steps)]
    # 11 frames a clip, the fourth without a ball: 10 steps less the two beside it.
    assert speed["pairs"] == len(steps) == 16
    assert speed["median"] == pytest.approx(np.median(steps), abs=0.01)
    assert speed["p90"] == pytest.approx(np.percentile(steps, 90), abs=0.01)
    assert speed["max"] == pytest.approx(steps.max(), abs=0.01)
    assert speed["suspicious"] == {"count": 0, "first": []}


def test_a_jump_and_a_label_outside_are_named(contents: Contents) -> None:
    x = contents["x_px"].copy()
    row = int(np.flatnonzero(contents["split"] == "val")[6])
    x[row] = 170.0
    part = describe(with_columns(contents, x_px=x))["splits"]["val"]
    suspicious = part["ball_speed_px_per_frame"]["suspicious"]
    assert contents["key"][row] in suspicious["first"]
    assert 1 <= suspicious["count"] <= 2
    assert part["labels_outside"] == {"count": 1, "first": [contents["key"][row]]}


def test_hits_and_bounces_against_flight(contents: Contents) -> None:
    status = contents["status"].copy()
    flying = np.flatnonzero((contents["split"] == "val") & (status == 0))
    status[flying[:3]], status[flying[3]] = 1, 2
    part = describe(with_columns(contents, status=status))["splits"]["val"]
    assert part["status"] == {"flying": 16, "hit": 3, "bounce": 1, "none": 2}
    assert part["flying_per_hit_or_bounce"] == 4.0


def test_what_leaks_is_said(contents: Contents) -> None:
    game, clip, sha = (contents[name].copy() for name in ("game", "clip", "source_sha256"))
    val = np.flatnonzero(contents["split"] == "val")
    game[val], clip[val[:11]] = "game1", "Clip1"
    sha[val[0]] = sha[0]
    figures = describe(with_columns(contents, game=game, clip=clip, source_sha256=sha))
    games, clips, sources = figures["leakage"]
    assert games == "1 game(s) in more than one split: game1"
    assert clips.startswith("2 clip(s) in more than one split: game1/Clip1, game1/Clip2")
    assert sources == (
        f"1 source picture(s) in more than one split, such as {contents['key'][0]} = {contents['key'][val[0]]}"
    )


def test_copies_within_and_across_games(contents: Contents) -> None:
    sha, crc, size = (contents[name].copy() for name in ("source_sha256", "crc32c", "size"))
    sha[3] = sha[2]
    game2 = int(np.flatnonzero(contents["game"] == "game2")[0])
    crc[game2], size[game2] = crc[0], size[0]
    copies = describe(with_columns(contents, source_sha256=sha, crc32c=crc, size=size))["duplicates"]
    assert (copies["same_source"]["frames"], copies["same_source"]["groups_across_games"]) == (2, 0)
    assert copies["same_source"]["first"] == [[contents["key"][2], contents["key"][3]]]
    assert copies["same_stored_bytes"]["groups_across_games"] == 1
    assert copies["same_stored_bytes"]["groups_across_splits"] == 0


def test_the_published_labels_of_tennis(contents: Contents, shared_data: Path) -> None:
    """Statistics at the real dataset's size; its one label outside of the picture is found."""
    rows: list[dict[str, Any]] = []
    folder = shared_data / "data" / "tracknet_labels"
    for path in sorted(folder.glob("game*/Clip*/Label.csv")):
        game, clip = path.parts[-3:-1]
        with path.open() as file:
            for name, visibility, x, y, status in list(csv.reader(file))[1:]:
                number = int(Path(name).stem)
                label = (int(visibility), float(x or "nan"), float(y or "nan"), int(float(status or -1)))
                rows.append(
                    {"key": f"{game}_{clip}_{number:04d}", "game": game, "clip": clip, "frame": number}
                )
                rows[-1] |= dict(zip(("visibility", "x_px", "y_px", "status"), label, strict=True))
    fixed = {"split": "train", "source_width": 1280, "source_height": 720}
    made = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    made |= {name: np.full(len(rows), value) for name, value in fixed.items()}
    made |= {name: np.arange(len(rows)) for name in ("source", "source_sha256", "crc32c", "size")}
    part = describe(replace(contents, columns=made))["splits"]["train"]
    assert (part["frames"], part["clips"], len(part["games"])) == (19_645, 95, 10)
    assert part["visibility"] == {"0": 719, "1": 17_462, "2": 1_386, "3": 78}
    assert part["labels_outside"] == {"count": 1, "first": ["game8_Clip2_0094"]}
    speed = part["ball_speed_px_per_frame"]
    assert (speed["pairs"], speed["median"], speed["p99"], speed["max"]) == (18_791, 11.4, 57.28, 160.11)
    # No ball of 95 real rallies comes near a quarter of the width, 320 px, in a frame's time.
    assert speed["suspicious"]["count"] == 0


def test_the_frames_of_one_video_are_no_copies(contents: Contents) -> None:
    one_video = {
        "source": np.full(len(contents), "match1/video/1.mp4", object),
        "source_sha256": np.full(len(contents), "a" * 64, object),
    }
    video = with_columns(contents, **one_video, frame=np.arange(len(contents), dtype=np.int32))
    assert describe(video)["duplicates"]["same_source"]["frames"] == 0
    # The same video under two names is.
    twice = np.arange(len(contents), dtype=np.int32) // 2
    names = np.array([f"match{row % 2}/video/1.mp4" for row in range(len(contents))], object)
    copied = with_columns(contents, **{**one_video, "source": names}, frame=twice)
    assert describe(copied)["duplicates"]["same_source"]["frames"] > len(contents) - 2
