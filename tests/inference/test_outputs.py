"""Which sources are meant, and names of results that never meet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracknet.inference.outputs import ENDINGS, find_jobs
from tracknet.utils.errors import UserError


def touch(*paths: Path) -> list[str]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [str(path) for path in paths]


def names(specs: list[str]) -> list[str]:
    return [job.name for job in find_jobs(specs).jobs]


def test_names_are_as_short_as_can_be_told_apart(tmp_path: Path):
    assert names(touch(tmp_path / "a" / "x.mp4", tmp_path / "b" / "y.final.mp4")) == ["x", "y.final"]
    assert names(touch(tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4")) == ["a_x", "b_x"]
    assert names(touch(tmp_path / "a" / "x.mp4", tmp_path / "a" / "X.avi", tmp_path / "z.mp4"))[2] == "z"
    both = names(touch(tmp_path / "c" / "x.mp4", tmp_path / "c" / "x.avi"))
    assert both == ["x-mp4", "x-avi"]
    assert names(["rtsp://me:secret@10.0.0.7/court?key=1"]) == ["court"]
    assert names(["-"]) == ["stdin"]
    assert names(["0"]) == ["camera0"]


FOLDERS = st.lists(st.sampled_from(["a", "A", "b", "a_b", "a b"]), max_size=2)
FILES = st.sampled_from(["x.mp4", "x.avi", "X.mp4", "b_x.mp4", "x.MP4"])


@given(
    st.lists(st.tuples(FOLDERS, FILES), min_size=1, max_size=8, unique_by=lambda at: (tuple(at[0]), at[1]))
)
def test_no_two_results_meet(tmp_path_factory: pytest.TempPathFactory, places: list[tuple[list[str], str]]):
    root = tmp_path_factory.mktemp("many")
    jobs = find_jobs(touch(*(root.joinpath(*folders, name) for folders, name in places))).jobs
    files = [str(job.file(root, form)).lower() for job in jobs for form in ENDINGS]
    files += [str(job.partial(root)).lower() for job in jobs]
    assert len(set(files)) == len(jobs) * (len(ENDINGS) + 1)
    assert {os.path.dirname(file) for file in files} == {str(root).lower()}  # noqa: PTH120


def test_folders_of_videos_of_pictures_and_of_such_folders(tmp_path: Path):
    touch(*(tmp_path / "match1" / f"{n}.mp4" for n in (10, 9)), tmp_path / "match1" / "notes.txt")
    touch(tmp_path / "game1" / "Clip1" / "0.jpg", tmp_path / "game1" / "Clip2" / "0.png")
    assert names([str(tmp_path / "match1")]) == ["9", "10"]
    assert names([str(tmp_path / "game1" / "Clip1")]) == ["Clip1"]
    assert names([str(tmp_path)]) == ["Clip1", "Clip2", "9", "10"]
    one = str(tmp_path / "match1" / "9.mp4")
    assert names([one, str(tmp_path / "match1"), one]) == ["9", "10"]


def test_overlays_are_sources_only_where_they_are_named(tmp_path: Path):
    (drawn,) = touch(tmp_path / "y.Overlay.mp4")
    with pytest.raises(UserError, match="nothing was predicted"):
        find_jobs([str(tmp_path)])
    touch(tmp_path / "y.mp4")
    assert names([str(tmp_path)]) == ["y"]
    assert names([drawn]) == ["y.Overlay"]


def test_what_of_a_folder_is_left_out_is_said(tmp_path: Path):
    mixed = tmp_path / "mixed"
    touch(mixed / "x.mp4", mixed / "sub" / "deep" / "two.mp4", mixed / "3.jpg", mixed / "4.jpg")
    touch(mixed / "notes" / "score.txt", mixed / ".cache" / "old.mp4", mixed / "shots" / "1.png")
    found = find_jobs([str(mixed)])
    assert [job.name for job in found.jobs] == ["x"]
    (said,) = found.left_out
    assert "the 1 video in it is taken, and not 2 pictures, folder shots, folder sub: name" in said
    # What is named besides is not left out.
    (said,) = find_jobs([str(mixed), str(mixed / "sub"), str(mixed / "shots")]).left_out
    assert "and not 2 pictures: name" in said
    (said,) = find_jobs([str(tmp_path)]).left_out
    assert said.startswith(f"{mixed}: ")
    touch(tmp_path / "clip" / "0.png", tmp_path / "clip" / "1.png", tmp_path / "clip" / "more" / "0.png")
    (said,) = find_jobs([str(tmp_path / "clip")]).left_out
    assert "the 2 pictures in it are taken, and not folder more: name" in said
    assert find_jobs([str(tmp_path / "clip" / "more"), str(mixed / "x.mp4")]).left_out == ()


def test_a_folder_named_by_its_whole_path_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    touch(tmp_path / "x.mp4", tmp_path / "sub" / "y.mp4")
    monkeypatch.chdir(tmp_path)
    assert find_jobs([".", str(tmp_path / "sub")]).left_out == ()
    assert find_jobs([str(tmp_path), "sub"]).left_out == ()


def test_overlays_of_an_earlier_run_are_no_sources_left_out(tmp_path: Path):
    touch(tmp_path / "x.mp4", tmp_path / "predictions" / "x.overlay.mp4", tmp_path / "predictions" / "x.csv")
    assert find_jobs([str(tmp_path)]).left_out == ()
    touch(tmp_path / "predictions" / "y.mp4")
    (said,) = find_jobs([str(tmp_path)]).left_out
    assert "and not folder predictions" in said


def test_everything_that_is_not_there_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as wrong:
        find_jobs([str(tmp_path / "none.mp4"), str(tmp_path / "empty"), str(tmp_path / "gone")])
    assert len(wrong.value.problems) == 3
    with pytest.raises(UserError, match="one of several"):
        find_jobs(["-", *touch(tmp_path / "a.mp4")])
    with pytest.raises(UserError, match="one of several"):
        find_jobs(["0", *touch(tmp_path / "a.mp4")])


def test_files_of_two_sources_never_meet(tmp_path: Path):
    with pytest.raises(UserError, match="one name") as wrong:
        find_jobs(touch(tmp_path / "match.mp4", tmp_path / "match_ball.mp4"))
    (problem,) = wrong.value.problems
    assert problem.endswith("match_ball.mp4: match_ball.csv")
    with pytest.raises(UserError, match="one name"):
        find_jobs(touch(tmp_path / "x.mp4", tmp_path / "x.partial.mp4"))
    assert names(touch(tmp_path / "a.mp4", tmp_path / "ab.mp4")) == ["a", "ab"]


def test_a_file_that_is_named_like_a_camera_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path / "0", tmp_path / "a.mp4")
    assert names(["0", "a.mp4"]) == ["0", "a"]
    assert names(["1"]) == ["camera1"]
