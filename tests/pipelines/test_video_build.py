"""Builds from annotated video, by the command: every frame once, in its place, whatever happens meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import build as build_module
from pipelines import staging
from pipelines.build import build
from pipelines.request import BuildRequest, prepare
from tests.pipelines.conftest import contents, run
from tests.videos import pictures, place, write_match, write_video
from tracknet.datasets.index import open_split
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, RunError
from tracknet.utils.geometry import Size

OPTIONS = ("data.resize=[160,90]", "data.segment_frames=5", "--num-shards", "3", "--workers", "0")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for match in (1, 2, 3):
        for clip in (1, 2):
            write_match(folder, f"match{match}", f"0000{clip}", seed=5 * match + clip)
    return folder


def stage_count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The videos that are decoded from here on."""
    staged: list[str] = []
    inner = staging._stage

    def note(path: Path, *rest: object) -> object:
        staged.append(f"{path.parent.parent.name}/{path.stem}")
        return inner(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(staging, "_stage", note)
    return staged


def test_every_frame_is_stored_with_its_own_label(
    videos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, out, *OPTIONS) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "72 frames in 6 clips of 3 games" in printed
    assert "layout video (detected); coordinates pixel (detected in 6 label files)" in printed
    rows = pq.read_table(out / "index.parquet").to_pylist()
    assert len(rows) == 72
    for row in rows:
        with (out / row["shard"]).open("rb") as file:
            file.seek(row["offset"])
            picture = cv2.imdecode(np.frombuffer(file.read(row["size"]), np.uint8), cv2.IMREAD_GRAYSCALE)
        y, x = np.unravel_index(np.argmax(cv2.GaussianBlur(picture, (0, 0), 2)), picture.shape)
        # The dot moves 5 px a frame: the neighbour's label would be beyond this.
        assert (x, y) == pytest.approx(place(row["frame"]), abs=2)
        assert (row["x_px"] is None) == (row["visibility"] == 0) == (row["frame"] == 3)
        assert row["status"] is None
        assert row["source"] == f"{row['game']}/video/{row['clip']}.mp4"
        assert row["source_sha256"] == hashlib.sha256((videos / row["source"]).read_bytes()).hexdigest()
    assert not (out / ".build" / "staged").exists()
    table = open_split(out, "train").table
    assert set(table.status.tolist()) == {-1}


def test_any_number_of_workers_gives_the_same_bytes(videos: Path, out: Path, tmp_path: Path) -> None:
    run(videos, out, *OPTIONS)
    staging = tmp_path / "staging"
    (staging / "mine").mkdir(parents=True)
    assert run(videos, tmp_path / "two", *OPTIONS[:-1], "2", "--staging", str(staging)) == EXIT_DONE
    assert contents(tmp_path / "two") == contents(out)
    assert [path.name for path in staging.iterdir()] == ["mine"], "only what the build made there is removed"


def test_behind_a_url_videos_are_staged_in_the_temporary_folder(
    videos: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(videos, out, *OPTIONS)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    url = f"file://{tmp_path}/far"
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "write_shard", None)
        with pytest.raises(TypeError):  # as good as killed between staging and the first shard
            run(videos, url, *OPTIONS)
    (folder,) = (tmp_path / "temporary").iterdir()
    assert len(list(folder.glob("*.json"))) == 6
    staged = stage_count(monkeypatch)
    assert run(videos, url, *OPTIONS) == EXIT_DONE
    assert staged == []
    assert contents(tmp_path / "far") == contents(out)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_disk_that_is_full_of_staged_frames(
    videos: Path,
    out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        inner, calls = staging.encode_jpeg, iter(range(30))

        def fill(*arguments: object) -> bytes:
            if next(calls, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return inner(*arguments)  # type: ignore[arg-type]

        patch.setattr(staging, "encode_jpeg", fill)
        assert run(videos, out, *OPTIONS, "--staging", str(tmp_path / "small")) == EXIT_FAILED
    message = capsys.readouterr().err
    (folder,) = (tmp_path / "small").iterdir()
    assert re.search(rf"{folder}/match\S+\.jpegs: the disk is full: [\d.,]+ [MG]B free", message)
    assert "choose another disk (--staging DIR); the same command goes on from there" in message
    assert len(list(folder.iterdir())) == 4, "two whole videos, and nothing of the third"
    assert run(videos, out, *OPTIONS, "--staging", str(tmp_path / "large")) == EXIT_DONE
    run(videos, tmp_path / "fresh", *OPTIONS)
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_video_that_goes_after_its_labels_were_read(videos: Path, out: Path) -> None:
    request = BuildRequest(videos, out, Size(160, 90), 95, 5, 3, None, 0)
    path = videos / "match1" / "video" / "00001.mp4"
    gone = prepare(request)
    path.unlink()
    with pytest.raises(RunError, match="1 video of 6 cannot be stored") as failure:
        build(gone)
    assert f"{path}: cannot be read: No such file" in str(failure.value)


def test_a_killed_build_decodes_no_video_twice(
    videos: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        inner, calls = staging.encode_jpeg, iter(range(30))

        def die(*arguments: object) -> bytes:
            if next(calls, None) is None:
                raise RuntimeError("killed")
            return inner(*arguments)  # type: ignore[arg-type]

        patch.setattr(staging, "encode_jpeg", die)
        with pytest.raises(RuntimeError):
            run(videos, out, *OPTIONS)
    assert len(list((out / ".build" / "staged").glob("*.json"))) == 2
    assert not (out / "manifest.json").exists()
    staged = stage_count(monkeypatch)
    assert run(videos, out, *OPTIONS) == EXIT_DONE
    assert len(staged) == 4
    run(videos, tmp_path / "undisturbed", *OPTIONS)
    assert contents(out) == contents(tmp_path / "undisturbed")


def test_another_label_decodes_only_the_videos_of_its_shard(
    videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(videos, out, *OPTIONS)
    staged = stage_count(monkeypatch)
    assert run(videos, out, *OPTIONS) == EXIT_DONE
    assert "nothing to do" in capsys.readouterr().out
    assert staged == []
    labels = videos / "match3" / "csv" / "00002_ball.csv"
    labels.write_text(labels.read_text().replace("\n0,1,10.0,", "\n0,1,12.5,"))
    assert run(videos, out, *OPTIONS) == EXIT_DONE
    rows = {row["key"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}
    changed = rows["match3_00002_0000"]
    assert changed["x_px"] == 12.5
    beside = {f"{row['game']}/{row['clip']}" for row in rows.values() if row["shard"] == changed["shard"]}
    assert sorted(staged) == sorted(beside)
    assert {name.split("/")[0] for name in staged} == {"match3"}


def test_labels_only_decodes_no_video(videos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(videos, out, *OPTIONS)
    staged = stage_count(monkeypatch)
    labels = videos / "match3" / "csv" / "00002_ball.csv"
    labels.write_text(labels.read_text().replace("\n0,1,10.0,", "\n0,1,12.5,"))
    assert run(videos, out, *OPTIONS, "--labels-only") == EXIT_DONE
    rows = {row["key"]: row for row in pq.read_table(out / "index.parquet").to_pylist()}
    assert rows["match3_00002_0000"]["x_px"] == 12.5
    assert staged == []


def cut(path: Path) -> None:
    """Makes the header of a video claim more frames than follow it, in a file of full length."""
    write_video(path, pictures(60), options={"bf": "0"})
    data = path.read_bytes()
    keep = len(data) * 2 // 3
    path.write_bytes(data[:keep] + bytes(len(data) - keep))


def test_what_decodes_is_held_against_the_labels_once_more(
    videos: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, labels = videos / "match1" / "video" / "00001.mp4", videos / "match1" / "csv" / "00001_ball.csv"
    cut(path)
    labels.write_text("Frame,Visibility,X,Y\n" + "".join(f"{n},1,50,50\n" for n in range(60)))
    assert run(videos, out, *OPTIONS) == EXIT_FAILED
    message = capsys.readouterr().err
    assert "1 video of 6 cannot be stored; the others are decoded and kept" in message
    assert f"{path}: is damaged " in message
    assert f"{labels} has 60 rows" in message
    assert not (out / "manifest.json").exists()
    # Whole segments of it are gone, which a longer segment forgives.
    options = ("data.segment_frames=60", *OPTIONS[2:], "data.resize=[160,90]", "--on-bad-label", "drop")
    assert run(videos, out, *options, "--overwrite") == EXIT_DONE
    assert "has no sound frame 59: is damaged " in capsys.readouterr().err
    assert 100 > Manifest.read(out).totals["frames"] > 60


def test_a_video_replaced_by_another_is_built_again(
    videos: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(videos, out, *OPTIONS)
    write_match(videos, "match2", "00001", seed=33)
    assert run(videos, out, *OPTIONS) == EXIT_DONE
    run(videos, tmp_path / "fresh", *OPTIONS)
    assert contents(out) == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--layout", "tracknet"), "there are clips in the layout video: --layout video"),
        (("--layout", "folder"), "the layouts are auto, tracknet, video"),
        (("--coordinates", "percent"), "'percent' is none of auto, pixel, normalised"),
    ],
)
def test_wrong_requests(
    videos: Path, out: Path, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(videos, out, *OPTIONS, *options) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_cluster_and_a_url_need_a_folder_for_videos(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dask = ("--executor", "dask", "--scheduler", "tcp://127.0.0.1:9")
    assert run(videos, f"file://{tmp_path}/far", *OPTIONS[:-2], *dask) == 2
    assert "--staging DIR, a folder that this machine and all workers see" in capsys.readouterr().err
    assert not (tmp_path / "far").exists()


def test_frames_of_a_video_are_not_read_one_by_one(videos: Path) -> None:
    from pipelines.sources import read_source
    from tracknet.datasets.frames import RawFrameReader
    from tracknet.utils.errors import UserError

    with pytest.raises(UserError, match="can be read in order only"):
        RawFrameReader(read_source(videos).clips, Size(160, 90))


def test_real_rallies(shared_data: Path, out: Path, tmp_path: Path) -> None:
    root = tmp_path / "badminton"
    for match, clip in (("match4", "00029"), ("match2", "00039")):
        for name in (f"video/{clip}.mp4", f"csv/{clip}_ball.csv"):
            (root / match / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(shared_data / "data" / "badminton" / match / name, root / match / name)
    assert run(root, out, "data.resize=[256,144]", "--val-games", "2", "--workers", "0") == EXIT_DONE
    splits = Manifest.read(out).totals["splits"]
    assert (splits["train"]["frames"], splits["val"]["frames"]) == (146, 91)
