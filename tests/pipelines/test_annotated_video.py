"""Videos and their label files as clips: what belongs together, and whether it agrees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines import annotated_video
from pipelines.sources import read_source
from tests.videos import pictures, place, turn, write_match, write_video
from tracknet.datasets.schema import Visibility
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    write_match(folder, "match1", "00001")
    write_match(folder, "match1", "00010", seed=5)
    write_match(folder, "match2", "00002", seed=9)
    return folder


def refusal(root: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        read_source(root, **options)  # type: ignore[arg-type]
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_videos_become_clips(root: Path) -> None:
    source = read_source(root)
    assert source.layout == "video"
    assert source.notes == ("layout video (detected)", "coordinates pixel (detected in 3 label files)")
    assert [clip.name for clip in source.clips] == ["match1/00001", "match1/00010", "match2/00002"]
    clip = source.clips[0]
    assert (clip.frame_size, clip.label_file) == (Size(160, 90), root / "match1" / "csv" / "00001_ball.csv")
    assert [frame.number for frame in clip.frames] == list(range(12))
    assert clip.frames[3].visibility is Visibility.ABSENT
    assert clip.frames[4].visibility is Visibility.CLEAR
    assert (clip.frames[3].xy_px, clip.frames[4].xy_px) == (None, place(4))
    assert {frame.status for frame in clip.frames} == {None}
    assert {frame.path for frame in clip.frames} == {root / "match1" / "video" / "00001.mp4"}
    assert clip.frames[4].row == 6


def test_frames_are_not_decoded_while_headers_agree(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotated_video, "count_packets", None)
    monkeypatch.setattr(annotated_video, "count_frames", None)
    assert len(read_source(root).clips) == 3


@pytest.mark.parametrize("asked", ["auto", "normalised"])
def test_fractions_become_pixels(root: Path, asked: str) -> None:
    for path in root.glob("*/csv/*.csv"):
        path.write_text("frame_num,visible,x,y\n" + "".join(f"{n},1,0.25,{n / 20}\n" for n in range(12)))
    source = read_source(root, coordinates=asked)  # type: ignore[arg-type]
    assert any(note.startswith("coordinates normalised") for note in source.notes)
    assert source.clips[0].frames[10].xy_px == (40.0, 45.0)
    # Taken for pixels, as one may insist.
    assert read_source(root, coordinates="pixel").clips[0].frames[10].xy_px == (0.25, 0.5)
    told = read_source(root, coordinates="pixel").notes
    assert "coordinates pixel, though all points lie between 0 and 1 as fractions do" in told


def test_other_counts_are_all_named_with_both_numbers(root: Path) -> None:
    one, ten, two = sorted(root.glob("*/csv/*.csv"))
    one.write_text(one.read_text().rsplit("\n", 2)[0] + "\n")
    ten.write_text(ten.read_text() + "12,0,0,0\n13,0,0,0\n")
    edit(two, "\n5,", "\n20,")
    message = refusal(root)
    assert (
        f"{one}: has 11 rows, {root}/match1/video/00001.mp4 holds 12 frames; no row for frame 11" in message
    )
    assert (
        f"{ten}: has 14 rows, {root}/match1/video/00010.mp4 holds 12 frames; no frame for row 12-13"
        in message
    )
    assert "--on-bad-label drop" in message
    source = read_source(root, "drop")
    assert [len(clip.frames) for clip in source.clips] == [11, 12, 5]
    assert "has 11 rows" in source.warnings[0]


def test_frames_counted_from_1_are_refused_under_every_policy(root: Path) -> None:
    path = root / "match1" / "csv" / "00001_ball.csv"
    path.write_text("Frame,Visibility,X,Y\n" + "".join(f"{n},1,50,50\n" for n in range(1, 13)))
    for policy in ("error", "drop"):
        assert "seem to be counted from 1, and must be from 0" in refusal(root, policy=policy)


def test_faults_name_file_and_row_and_drop_leaves_them_out(root: Path) -> None:
    edit(root / "match1" / "csv" / "00001_ball.csv", "\n5,1,", "\n5,9,")
    edit(root / "match2" / "csv" / "00002_ball.csv", "\n6,1,40.0,", "\n6,1,400.0,")
    message = refusal(root)
    assert "00001_ball.csv:7: visibility '9' is none of 0, 1, 2, 3" in message
    assert "00002_ball.csv:8: (400, 45) is outside the 160x90 picture by 241 px" in message
    assert "rows" not in message.splitlines()[1], "a faulty row is a row: the counts agree"
    clips = read_source(root, "drop").clips
    assert [frame.number for frame in clips[0].frames] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    (root / "match1" / "csv" / "00001_ball.csv").write_text("x,y\n")
    assert "it must be like 'Frame,Visibility,X,Y'" in refusal(root, policy="drop")


def test_what_lacks_its_half_or_has_two_is_named(root: Path) -> None:
    (root / "match1" / "video" / "00001.mp4").unlink()
    (root / "match1" / "csv" / "00010_ball.csv").unlink()
    shutil.copy(root / "match2" / "video" / "00002.mp4", root / "match2" / "video" / "00002.mkv")
    message = refusal(root)
    assert f"00001_ball.csv: has no video {root}/match1/video/00001.mp4" in message
    assert f"00010.mp4: has no label file {root}/match1/csv/00010_ball.csv" in message
    assert "00002.mkv and 00002.mp4 are of one clip" in message


def test_names_of_label_files_and_corrections(root: Path) -> None:
    csv = root / "match1" / "csv"
    (csv / "00001_ball.csv").rename(csv / "00001.csv")
    corrected = root / "match2" / "corrected_csv"
    corrected.mkdir()
    text = (root / "match2" / "csv" / "00002_ball.csv").read_text()
    (corrected / "00002_ball.csv").write_text(text.replace("\n0,1,10.0,", "\n0,1,11.0,"))
    source = read_source(root)
    assert len(source.clips) == 3
    assert source.clips[2].frames[0].xy_px == (11.0, 45.0)
    assert "1 label file taken from corrected_csv/" in source.notes


def test_videos_that_cannot_be_read_are_named(root: Path) -> None:
    (root / "match1" / "video" / "00001.mp4").write_bytes(b"")
    (root / "match1" / "video" / "00010.mp4").write_text("no video")
    message = refusal(root)
    assert "00001.mp4: is empty (0 bytes)" in message
    assert "00010.mp4: is no video" in message
    assert [clip.name for clip in read_source(root, "drop").clips] == ["match2/00002"]


def test_a_turned_video_has_the_size_that_is_seen(root: Path) -> None:
    turn(root / "match1" / "video" / "00001.mp4", 90)
    source = read_source(root, "clip")
    assert [clip.frame_size for clip in source.clips] == [Size(90, 160), Size(160, 90), Size(160, 90)]


def test_a_video_whose_header_overstates_is_counted(root: Path) -> None:
    path = write_video(root / "match3" / "video" / "00009.mp4", pictures(60), options={"bf": "0"})
    labels = root / "match3" / "csv" / "00009_ball.csv"
    labels.parent.mkdir()
    labels.write_text("Frame,Visibility,X,Y\n" + "".join(f"{n},1,50,50\n" for n in range(60)))
    assert len(read_source(root).clips) == 4
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert f"{labels}: has 60 rows, {path} holds " in refusal(root)


@pytest.mark.parametrize(
    ("given", "layout", "words"),
    [
        ("videos/match1", "auto", "this is one match; give the data set's folder: --root {root}"),
        (
            "videos/match1/video",
            "auto",
            "this is the video folder of a match; give the data set's: --root {root}",
        ),
        (".", "auto", "the clips are one level deeper: --root {root}"),
        ("videos", "tracknet", "there are clips in the layout video: --layout video"),
        ("empty", "video", "lay the data out as ROOT/match1/video/ID.mp4"),
        ("videos", "vidoe", "there is no such layout (did you mean video?)"),
    ],
)
def test_a_wrong_root_or_layout_says_where_to_look(
    root: Path, tmp_path: Path, given: str, layout: str, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert words.format(root=root) in refusal(tmp_path / given, layout=layout)


def test_a_root_of_two_layouts_needs_a_decision(root: Path, make_dataset) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(make_dataset(games=1, clips=1), root, dirs_exist_ok=True)
    message = refusal(root)
    assert "holds clips in 2 layouts: tracknet, video" in message
    assert "--layout tracknet or --layout video" in message
    assert [clip.name for clip in read_source(root, layout="tracknet").clips] == ["game1/Clip1"]
    assert len(read_source(root, layout="video").clips) == 3
