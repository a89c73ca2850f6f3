"""One shard: its bytes, its rows, and nothing half-written when something goes wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

from pipelines.request import BuildRequest, prepare
from pipelines.shard_writer import ShardTask, write_shard
from pipelines.tar_file import Member, TarWriter
from tracknet.datasets.label_faults import FaultKind
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import decode_image, read_image, resize_frame

MakeDataset = Callable[..., Path]


@pytest.fixture
def task(make_dataset: MakeDataset, tmp_path: Path) -> ShardTask:
    root, out = make_dataset(frames=8), tmp_path / "out"
    out.mkdir()
    request = BuildRequest(root, out, Size(128, 72), 95, 64, 1, ("2",), 0)
    return prepare(request).tasks()[0]


def test_tar_rows_and_frames_agree(task: ShardTask) -> None:
    result = write_shard(task)
    path = task.out / task.name
    data = path.read_bytes()
    assert result.entry is not None
    assert (result.entry.frames, result.entry.bytes) == (16, len(data))
    assert result.entry.sha256 == hashlib.sha256(data).hexdigest()
    with tarfile.open(path) as tar:
        infos = tar.getmembers()
        labels = {i.name[:-5]: json.load(tar.extractfile(i)) for i in infos if i.name.endswith(".json")}  # type: ignore[arg-type]
    assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode) for i in infos} == {(0, 0, 0, "", "", 0o644)}
    assert [i.name for i in infos[:2]] == ["game1_Clip1_0000.jpg", "game1_Clip1_0000.json"]
    assert data[257:263] == b"ustar\0"
    assert [row["key"] for row in result.rows] == [i.name[:-4] for i in infos[::2]]
    for row, frame in zip(result.rows, task.frames, strict=True):
        jpeg = data[row["offset"] : row["offset"] + row["size"]]
        assert google_crc32c.value(jpeg) == row["crc32c"]
        source = task.root / row["source"]
        assert hashlib.sha256(source.read_bytes()).hexdigest() == row["source_sha256"]
        expected = resize_frame(read_image(source), task.size).astype(np.float64)
        stored = decode_image(jpeg)
        assert stored.shape == (72, 128, 3)
        assert 10 * np.log10(255**2 / np.mean((stored - expected) ** 2)) > 33
        label = labels[row["key"]]
        assert label["xy_px"] == (None if frame.xy_px is None else list(frame.xy_px))
        assert (label["visibility"], label["source_size"]) == (frame.visibility, [160, 90])


def test_the_same_task_gives_the_same_bytes(task: ShardTask, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert write_shard(task) == write_shard(replace(task, out=other))
    assert (task.out / task.name).read_bytes() == (other / task.name).read_bytes()


def test_all_damaged_frames_are_named_and_nothing_is_written(task: ShardTask) -> None:
    cut, gone, other = (task.root / task.frames[n].source for n in (2, 5, 7))
    cut.write_bytes(cut.read_bytes()[:-300])
    gone.unlink()
    other.write_bytes(b"no picture")
    result = write_shard(task)
    assert result.entry is None
    assert [(fault.file, fault.message.split(" (")[0]) for fault in result.faults] == [
        (cut, "is cut short"),
        (gone, "cannot be read: No such file or directory"),
        (other, "cannot be decoded"),
    ]
    assert list(task.out.iterdir()) == []


def test_a_frame_of_another_size_is_a_fault(task: ShardTask) -> None:
    tasks = replace(task, frames=(replace(task.frames[0], frame_size=Size(320, 180)), *task.frames[1:]))
    (fault,) = write_shard(tasks).faults
    assert fault.message == "is 160x90, the other frames of its clip are 320x180"


def test_keep_going_leaves_damaged_frames_out(task: ShardTask) -> None:
    (task.root / task.frames[2].source).write_bytes(b"")
    result = write_shard(replace(task, keep_going=True))
    assert result.entry is not None
    assert result.entry.frames == 15
    assert len(result.faults) == 1
    assert task.frames[2].key not in [row["key"] for row in result.rows]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_a_frame_that_the_system_refuses_is_never_left_out(
    task: ShardTask, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refused, read_bytes = task.root / task.frames[2].source, Path.read_bytes
    (task.root / task.frames[5].source).write_bytes(b"")

    def read(path: Path) -> bytes:
        if path == refused:
            raise OSError(number, os.strerror(number), str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    result = write_shard(replace(task, keep_going=True))
    assert result.entry is None
    assert [fault.kind for fault in result.faults] == [FaultKind.FILE, FaultKind.STRUCTURE]
    assert list(task.out.iterdir()) == []


def test_keep_going_leaves_a_vanished_frame_out_by_name(task: ShardTask) -> None:
    gone = task.root / task.frames[2].source
    gone.unlink()
    result = write_shard(replace(task, keep_going=True))
    assert result.entry is not None
    assert [str(fault) for fault in result.faults] == [f"{gone}: cannot be read: No such file or directory"]


def test_an_exception_in_the_middle_leaves_the_old_shard_and_no_temporary(task: ShardTask) -> None:
    write_shard(task)
    before = (task.out / task.name).read_bytes()
    calls = iter(range(100))

    def stop() -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(task, stop)
    assert [path.name for path in task.out.iterdir()] == [task.name]
    assert (task.out / task.name).read_bytes() == before


def test_what_does_not_read_back_the_same_is_not_kept(
    task: ShardTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, fsync = TarWriter.add, os.fsync
    places = {}

    def note(tar: TarWriter, name: str, data: bytes) -> Member:
        places[name] = add(tar, name, data)
        return places[name]

    def damage(handle: int) -> None:
        fsync(handle)
        os.pwrite(handle, b"?", places["game1_Clip1_0003.jpg"].offset + 100)

    monkeypatch.setattr(TarWriter, "add", note)
    monkeypatch.setattr(os, "fsync", damage)
    with pytest.raises(RunError, match=r"does not read back the same, from game1_Clip1_0003\.jpg on"):
        write_shard(task)
    assert list(task.out.iterdir()) == []


def test_fingerprint_follows_what_the_bytes_depend_on(task: ShardTask, tmp_path: Path) -> None:
    same = [replace(task, root=tmp_path), replace(task, out=tmp_path), replace(task, keep_going=True)]
    assert {other.fingerprint() for other in same} == {task.fingerprint()}
    first = task.frames[0]
    changed = [
        replace(task, size=Size(64, 36)),
        replace(task, jpeg_quality=90),
        replace(task, decode="scaled"),
        *(
            replace(task, frames=(frame, *task.frames[1:]))
            for frame in (
                replace(first, mtime_ns=1),
                replace(first, bytes=1),
                replace(first, xy_px=(1.0, 2.0)),
                replace(first, visibility=2),
            )
        ),
    ]
    assert len({task.fingerprint(), *(other.fingerprint() for other in changed)}) == 8
