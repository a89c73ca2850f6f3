"""Finding clips, and saying where they are when the root is not the right one."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.sources import LAYOUTS, read_source
from tests.pipelines.conftest import run
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, UserError
from tracknet.utils.geometry import Size

MakeDataset = Callable[..., Path]


def test_clips_come_in_natural_order_with_their_size(make_dataset: MakeDataset) -> None:
    root = make_dataset(games=1, clips=1, frames=5)
    for name in ("Clip10", "Clip2"):
        shutil.copytree(root / "game1" / "Clip1", root / "game1" / name)
    shutil.copytree(root / "game1", root / "game10")
    shutil.copytree(root / "game1", root / "game2")
    source = read_source(root)
    clips = source.clips
    assert not source.warnings
    assert (source.layout, source.notes) == ("tracknet", ("layout tracknet (detected)",))
    assert [clip.name for clip in clips] == [
        f"game{game}/Clip{clip}" for game in (1, 2, 10) for clip in (1, 2, 10)
    ]
    assert {clip.frame_size for clip in clips} == {Size(160, 90)}
    assert [frame.number for frame in clips[0].frames] == list(range(5))


def test_hidden_files_and_other_files_do_not_count(make_dataset: MakeDataset) -> None:
    root = make_dataset(frames=5)
    for name in ("._0000.jpg", "notes.txt", ".DS_Store"):
        (root / "game1" / "Clip1" / name).write_text("x")
    (root / ".cache" / "Clip1").mkdir(parents=True)
    (root / ".cache" / "Clip1" / "Label.csv").write_text("x")
    (root / "notes" / "empty").mkdir(parents=True)
    clips = read_source(root).clips
    assert len(clips) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("tracknet/game1", "this is one game; give the data set's folder: --root {root}"),
        ("tracknet/game1/Clip1", "this is a clip; give the data set's folder: --root {root}"),
        (".", "the clips are one level deeper: --root {root}"),
        ("nowhere", "there is no such folder"),
        ("tracknet/game1/Clip1/Label.csv", "is a file"),
        ("empty", "lay the data out as ROOT/game1/Clip1/0000.jpg"),
    ],
)
def test_a_wrong_root_says_where_to_look(
    make_dataset: MakeDataset, tmp_path: Path, given: str, words: str
) -> None:
    root = make_dataset(frames=4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        read_source(tmp_path / given)
    assert words.format(root=root) in str(caught.value)


def test_folders_without_labels_or_frames_are_faults(make_dataset: MakeDataset) -> None:
    root = make_dataset(frames=4)
    (root / "game1" / "Clip1" / "Label.csv").unlink()
    for frame in (root / "game2" / "Clip2").glob("*.jpg"):
        frame.unlink()
    with pytest.raises(UserError) as caught:
        read_source(root)
    assert len(caught.value.problems) == 2
    assert f"{root}/game1/Clip1: has frames and no Label.csv" in str(caught.value)
    assert f"{root}/game2/Clip2/Label.csv: has no frames beside it" in str(caught.value)
    source = read_source(root, "drop")
    assert [clip.name for clip in source.clips] == ["game1/Clip2", "game2/Clip1"]
    assert len(source.warnings) == 1


def test_a_damaged_first_frame_does_not_hide_the_size(make_dataset: MakeDataset) -> None:
    root = make_dataset(frames=4)
    (root / "game1" / "Clip1" / "0000.jpg").write_bytes(b"")
    clips = read_source(root).clips
    assert clips[0].frame_size == Size(160, 90)


def test_nothing_left_is_an_error(make_dataset: MakeDataset) -> None:
    root = make_dataset(games=1, clips=1, frames=4)
    label = root / "game1" / "Clip1" / "Label.csv"
    label.write_text(label.read_text().replace(",1,", ",8,").replace(",0,,,", ",8,,,"))
    with pytest.raises(UserError, match="no labelled frame is left"):
        read_source(root, "drop")


@pytest.fixture
def one_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout that shards/SOURCES.md shows, known to the builder."""
    page = (Path(__file__).resolve().parents[2] / "shards" / "SOURCES.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setitem(LAYOUTS, "one_csv", LAYOUTS["tracknet"])  # so that it is gone after the test
    exec(example, {})


@pytest.mark.usefixtures("one_csv")
def test_the_documented_layout_builds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "root", tmp_path / "shards"
    (root / "images").mkdir(parents=True)
    rows = ["image,x,y"]
    for game, clip, number in itertools.product(("court1", "court2"), ("a", "b"), range(5)):
        name = f"{game}_{clip}_{number:03d}.png"
        cv2.imwrite(str(root / "images" / name), np.full((45, 80, 3), 10 * number, np.uint8))
        rows.append(f"{name},," if number == 2 else f"{name},{number + 20.5},30")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    assert run(root, out, "data.resize=[80,45]", "--workers", "0") == EXIT_DONE
    assert "layout one_csv (detected); one table of labels" in capsys.readouterr().out
    splits = Manifest.read(out).totals["splits"]
    assert splits["train"]["visibility"] == splits["val"]["visibility"] == {"0": 2, "1": 8}
    # Faults of labels and of frames lead to the rows of this layout's own file.
    (root / "images" / "court1_a_001.png").write_bytes(b"")
    assert run(root, out, "data.resize=[80,45]", "--workers", "0") == EXIT_FAILED
    assert f"{root}/labels.csv:3: {root}/images/court1_a_001.png is empty" in capsys.readouterr().err
    (root / "labels.csv").write_text("\n".join([*rows, "court2_b_005.png,900,1", "noname,1,1"]) + "\n")
    with pytest.raises(UserError) as caught:
        read_source(root)
    assert "labels.csv:22: (900, 1) is outside the 80x45 picture" in str(caught.value)
    assert "labels.csv:23: is not like court1_a_007.png,12.5,30" in str(caught.value)
