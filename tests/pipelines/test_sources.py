"""Finding clips, and saying where they are when the root is not the right one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.sources import find_clip_folders, read_clips
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size

MakeDataset = Callable[..., Path]


def test_clips_come_in_natural_order_with_their_size(make_dataset: MakeDataset) -> None:
    root = make_dataset(games=1, clips=1, frames=5)
    for name in ("Clip10", "Clip2"):
        shutil.copytree(root / "game1" / "Clip1", root / "game1" / name)
    shutil.copytree(root / "game1", root / "game10")
    shutil.copytree(root / "game1", root / "game2")
    clips, warnings = read_clips(root)
    assert not warnings
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
    clips, _ = read_clips(root)
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
        find_clip_folders(tmp_path / given)
    assert words.format(root=root) in str(caught.value)


def test_folders_without_labels_or_frames_are_faults(make_dataset: MakeDataset) -> None:
    root = make_dataset(frames=4)
    (root / "game1" / "Clip1" / "Label.csv").unlink()
    for frame in (root / "game2" / "Clip2").glob("*.jpg"):
        frame.unlink()
    with pytest.raises(UserError) as caught:
        read_clips(root)
    assert len(caught.value.problems) == 2
    assert f"{root}/game1/Clip1: has frames and no Label.csv" in str(caught.value)
    assert f"{root}/game2/Clip2/Label.csv: has no frames beside it" in str(caught.value)
    clips, warnings = read_clips(root, "drop")
    assert [clip.name for clip in clips] == ["game1/Clip2", "game2/Clip1"]
    assert len(warnings) == 1


def test_a_damaged_first_frame_does_not_hide_the_size(make_dataset: MakeDataset) -> None:
    root = make_dataset(frames=4)
    (root / "game1" / "Clip1" / "0000.jpg").write_bytes(b"")
    clips, _ = read_clips(root)
    assert clips[0].frame_size == Size(160, 90)


def test_nothing_left_is_an_error(make_dataset: MakeDataset) -> None:
    root = make_dataset(games=1, clips=1, frames=4)
    label = root / "game1" / "Clip1" / "Label.csv"
    label.write_text(label.read_text().replace(",1,", ",8,").replace(",0,,,", ",8,,,"))
    with pytest.raises(UserError, match="no labelled frame is left"):
        read_clips(root, "drop")
