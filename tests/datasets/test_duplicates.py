"""Repeats of re-timed video are found with their period, in made clips and in real ones."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines import build_shards
from tests.conftest import HEADER, draw_dot
from tests.datasets.conftest import SmallBuild
from tracknet.datasets.duplicates import find_repeats, frames_to_decode
from tracknet.datasets.index import open_split
from tracknet.datasets.shard_set import ShardSet

SIZE = (320, 180)


def write_clip(folder: Path, pictures: list[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    rows = [HEADER]
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        rows.append(f"{number:04d}.jpg,1,{10 + number},20,0")
    (folder / "Label.csv").write_text("\n".join(rows) + "\n")


def rally(seed: int, frames: int) -> list[np.ndarray]:
    """A textured court with sensor noise, over which a ball flies."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(
        rng.integers(40, 160, (12, 20, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC
    )
    pictures = []
    for number in range(frames):
        noisy = np.clip(ground + rng.normal(0, 2, ground.shape), 0, 255).astype(np.uint8)
        draw_dot(noisy, 20 + (7 * number) % 280, 30 + (5 * number) % 120)
        pictures.append(noisy)
    return pictures


def build(root: Path, out: Path) -> list[ShardSet]:
    arguments = ["--root", str(root), "--out", str(out), "--workers", "0", "--num-shards", "2"]
    assert build_shards.run([*arguments, "data.resize=[256,144]", "data.val_games=[2]"]) == 0
    return [open_split(out, split) for split in ("train", "val")]


@pytest.fixture(scope="module")
def retimed(tmp_path_factory: pytest.TempPathFactory) -> list[ShardSet]:
    """game1 repeats every sixth frame, freshly encoded each time; game2 does not; they share one moment."""
    folder = tmp_path_factory.mktemp("retimed")
    first, second = rally(1, 50), rally(2, 40)
    repeated = [first[number - (number + 1) // 6] for number in range(60)]
    second[10] = repeated[15]
    write_clip(folder / "raw" / "game1" / "Clip1", repeated)
    write_clip(folder / "raw" / "game2" / "Clip1", second)
    return build(folder / "raw", folder / "shards")


def test_the_period_is_found_and_only_where_it_is(retimed: list[ShardSet]) -> None:
    found = find_repeats(retimed, most_frames=None)
    assert (found["pairs_compared"], found["of_pairs"]) == (98, 98)
    assert found["games"]["game1"] == {"pairs": 59, "repeats": 10, "period": 6}
    assert found["games"]["game2"] == {"pairs": 39, "repeats": 0, "period": None}
    assert found["near_identical"] == 10
    assert found["first"][:3] == ["game1_Clip1_0005", "game1_Clip1_0011", "game1_Clip1_0017"]


def test_a_moment_in_two_splits_is_found(retimed: list[ShardSet]) -> None:
    across = find_repeats(retimed, most_frames=None)["across_splits"]
    assert across["frames_sought"] == 6
    # The frames sought are a quarter, a half and three quarters into each clip.
    assert across["found"] == 2
    assert ["game2_Clip1_0010", "game1_Clip1_0015"] in across["first"]


def test_a_sample_is_bounded_and_every_frame_decoded_is_told(retimed: list[ShardSet]) -> None:
    told: list[int] = []
    found = find_repeats(retimed, most_frames=48, on_frame=told.append)
    assert found["pairs_compared"] == 47
    assert sum(told) == frames_to_decode(retimed, 48) == 48 + 6
    assert frames_to_decode(retimed, None) == 60 + 1 + 40 + 6


def test_where_nothing_moves_there_is_no_period(tmp_path: Path) -> None:
    still = [rally(3, 1)[0]] * 30
    write_clip(tmp_path / "raw" / "game1" / "Clip1", still)
    write_clip(tmp_path / "raw" / "game2" / "Clip1", rally(4, 8))
    found = find_repeats(build(tmp_path / "raw", tmp_path / "shards"), most_frames=None)
    assert found["games"]["game1"] == {"pairs": 29, "repeats": 29, "period": None}


def test_a_drawn_set_has_no_repeats(small_build: SmallBuild) -> None:
    found = find_repeats([small_build.open("train")], most_frames=None)
    assert found["across_splits"]["frames_sought"] == 0
    assert found["near_identical"] <= 2


def test_real_broadcasts(shared_data: Path, tmp_path: Path) -> None:
    """Badminton at 30 frames/s repeats every sixth frame; tennis does not."""
    data = shared_data / "data"
    video = sorted((data / "badminton" / "match2" / "video").glob("*.mp4"))[0]
    capture = cv2.VideoCapture(str(video))
    frames = [capture.read()[1] for _ in range(40)]
    write_clip(tmp_path / "raw" / "game1" / "Clip1", [cv2.resize(frame, (640, 360)) for frame in frames])
    with (data / "tennis" / "game2" / "Clip1" / "Label.csv").open() as file:
        names = [row["file name"] for row in csv.DictReader(file)][:25]
    pictures = [cv2.imread(str(data / "tennis" / "game2" / "Clip1" / name)) for name in names]
    write_clip(
        tmp_path / "raw" / "game2" / "Clip1", [cv2.resize(picture, (640, 360)) for picture in pictures]
    )
    found = find_repeats(build(tmp_path / "raw", tmp_path / "shards"), most_frames=None)
    assert found["games"]["game1"] == {"pairs": 39, "repeats": 6, "period": 6}
    assert found["games"]["game2"]["repeats"] == 0
    assert found["across_splits"]["found"] == 0
