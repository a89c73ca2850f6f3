"""Videos decoded into stored frames: the writer's own bytes, whole or absent, once."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from pipelines import staging
from pipelines.staging import StagedFrames, StageTask, clear_staged, read_staged, stage_video, stage_videos
from tests.videos import pictures, write_match, write_video
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import encode_jpeg, resize_frame
from tracknet.utils.video import Video
from tracknet.utils.video_container import VideoError


@pytest.fixture
def task(tmp_path: Path) -> StageTask:
    video, _ = write_match(tmp_path / "videos")
    (tmp_path / "staged").mkdir()
    status = video.stat()
    return StageTask(
        "match1/video/00001.mp4",
        "match1",
        "00001",
        tmp_path / "videos",
        tmp_path / "staged",
        Size(96, 48),
        95,
        status.st_size,
        status.st_mtime_ns,
    )


def test_staged_frames_are_those_that_the_writer_makes_of_images(task: StageTask) -> None:
    result = stage_video(task).video
    assert result is not None
    assert (result.decoded, len(result.sizes), result.damage) == (12, 12, None)
    video = task.root / task.source
    assert result.sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
    with Video(video) as opened, StagedFrames(task.folder) as frames:
        for frame in opened:
            expected = encode_jpeg(resize_frame(frame.image(), Size(96, 48)), 95)
            assert frames.read(task.name, frame.index) == (expected, result.sha256)
        with pytest.raises(VideoError, match="has no sound frame 12: holds 12 frames"):
            frames.read(task.name, 12)
    assert sorted(path.name for path in task.folder.iterdir()) == [f"{task.name}.jpegs", f"{task.name}.json"]


def test_what_is_staged_is_not_staged_again(task: StageTask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stage_video(task)
    with monkeypatch.context() as patch:
        patch.setattr(staging, "Video", None)
        assert stage_video(task) == first
    os.truncate(task.folder / f"{task.name}.jpegs", 100)
    assert read_staged(task.folder, task.name) is None
    assert stage_video(task) == first
    (task.folder / f"{task.name}.json").write_text("{")
    assert read_staged(task.folder, task.name) is None
    assert stage_video(task) == first


def test_the_name_changes_with_all_that_the_bytes_depend_on(task: StageTask) -> None:
    others = [
        replace(task, size=Size(48, 96)),
        replace(task, jpeg_quality=90),
        replace(task, bytes=1),
        replace(task, mtime_ns=1),
        replace(task, source="match1/video/00001.mkv"),
    ]
    assert len({task.name, *(other.name for other in others)}) == 6
    assert replace(task, root=Path("/elsewhere")).name == task.name


def test_a_stop_leaves_nothing_half_written(task: StageTask) -> None:
    calls = iter(range(5))

    def stop() -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage_video(task, stop)
    assert not list(task.folder.iterdir())
    with pytest.raises(KeyboardInterrupt):  # a lost lock ends the work in this process too
        list(stage_videos([task], None, stop))


def test_frames_behind_the_first_damage_are_not_staged(task: StageTask) -> None:
    path = write_video(task.root / task.source, pictures(60, size=(320, 180)))
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    result = stage_video(task).video
    assert result is not None
    assert result.damage is not None
    assert 0 < len(result.sizes) < result.decoded <= 60
    assert result.damage.endswith(f"in frame {len(result.sizes)}")


def test_a_video_that_cannot_be_read_is_the_result(task: StageTask) -> None:
    path = task.root / task.source
    path.write_text("no video")
    assert isinstance(stage_video(task).error, VideoError)
    path.unlink()
    assert isinstance(stage_video(task).error, FileNotFoundError)
    assert not list(task.folder.iterdir())


def test_a_video_that_changes_under_the_build_is_refused(
    task: StageTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, inner = task.root / task.source, staging.hash_stream

    def hash_and_change(file: BinaryIO) -> str:
        os.utime(path, ns=(1, 1))
        return inner(file)

    monkeypatch.setattr(staging, "hash_stream", hash_and_change)
    assert str(stage_video(task).error) == "was changed while it was read"
    assert not list(task.folder.iterdir())


def test_a_full_disk_is_no_fault_of_the_video(task: StageTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging, "encode_jpeg", fail)
    with pytest.raises(OSError, match="No space left"):
        stage_video(task)
    assert not list(task.folder.iterdir())


def test_what_does_not_read_back_is_refused(task: StageTask) -> None:
    result = stage_video(task).video
    assert result is not None
    path = task.folder / f"{task.name}.jpegs"
    data = bytearray(path.read_bytes())
    data[result.sizes[0] + 50] ^= 1
    path.write_bytes(data)
    with StagedFrames(task.folder) as frames:
        frames.read(task.name, 0)
        with pytest.raises(RunError, match="frame 1 does not read back"):
            frames.read(task.name, 1)
    path.unlink()
    with StagedFrames(task.folder) as frames, pytest.raises(RunError, match="is gone or cut short"):
        frames.read(task.name, 0)


def test_clearing_keeps_what_is_wanted(task: StageTask) -> None:
    stage_video(task)
    for name in ("other-1.jpegs", "other-1.json", ".other-2.jpegs.tmp-7"):
        (task.folder / name).write_bytes(b"")
    clear_staged(task.folder, keep={task.name})
    assert sorted(path.name for path in task.folder.iterdir()) == [f"{task.name}.jpegs", f"{task.name}.json"]
    clear_staged(task.folder)
    assert not task.folder.exists()
    clear_staged(task.folder)
