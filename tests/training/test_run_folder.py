"""What a run's folder may not hold, and who may write there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tracknet.training.run_folder import RunFolder
from tracknet.utils.config import load_config
from tracknet.utils.environment import describe_environment
from tracknet.utils.errors import UserError
from tracknet.utils.file_lock import NO_LOCKS
from tracknet.utils.urls import has_password


@pytest.mark.parametrize(
    ("place", "secret"),
    [
        ("https://me:hush@host/shards", True),
        ("simplecache::https://me:hush@host/shards", True),
        ("https://me:hush@[::host/shards", True),
        ("https://me@host/shards", False),
        ("https://host:8080/shards", False),
        ("s3://bucket/a:b@c", False),
        ("shards/me:hush@host", False),
    ],
)
def test_which_urls_have_a_password(place: str, secret: bool) -> None:
    assert has_password(place) == secret


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.shards=https://me:hush@host/shards", "data.shards"),
        ("data.files=['https://me:hush@host/a.tar']", "data.files"),
        ("data.sources=[{shards: [here]}, {shards: ['https://me:hush@host/b']}]", "data.sources[1].shards"),
    ],
)
def test_a_password_is_not_written_into_a_runs_folder(override: str, key: str) -> None:
    RunFolder.refuse_passwords(load_config())
    with pytest.raises(UserError) as caught:
        RunFolder.refuse_passwords(load_config(overrides=[override]))
    text = str(caught.value)
    assert f"{key}: https://***@host/" in text
    assert "FSSPEC_HTTPS" in text
    assert "hush" not in text


def test_one_training_at_a_time_writes_into_a_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with run.lock(print):
        with pytest.raises(UserError, match="another training is writing there") as caught, run.lock(print):
            pass
        assert f"process {os.getpid()}, since 20" in caught.value.what
        assert f"kill {os.getpid()}" in str(caught.value.remedy)
        assert f"--resume {run.path}" in str(caught.value.remedy)
    assert list(run.path.iterdir()) == []
    with run.lock(print):
        pass


def test_a_killed_training_keeps_nobody_out(tmp_path: Path) -> None:
    """Not even while a process lives on that it had forked."""
    run = RunFolder(tmp_path / "run")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with run.lock(print):
            if os.fork() == 0:
                os.write(writer, f"{os.getpid()} ".encode())
                time.sleep(60)
                os._exit(0)
            time.sleep(60)
        os._exit(0)
    left_behind = int(os.read(reader, 100))
    with pytest.raises(UserError, match=rf"process {child}, since"), run.lock(print):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        with run.lock(print):
            pass
    finally:
        os.kill(left_behind, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_a_disk_without_locks_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(NO_LOCKS[0], os.strerror(NO_LOCKS[0]))

    monkeypatch.setattr("fcntl.flock", flock)
    said: list[str] = []
    with RunFolder(tmp_path).lock(said.append):
        pass
    assert said == [
        f"note: the disk of {tmp_path} knows no locks: see to it that no other training writes there"
    ]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.shards=https://host/shards?token=hush", "data.shards"),
        ("data.files=[https://host/shards/train-000.tar?token=hush]", "data.files"),
        ("data.sources=[{shards: https://host/a?token=hush},{shards: b}]", "data.sources[0].shards"),
    ],
)
def test_a_query_is_not_written_into_a_runs_folder_and_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, key: str
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", override])
    config = load_config(overrides=[override, f"training.log_dir={tmp_path}"])
    run = RunFolder.create(config, "run", describe_environment())
    written = [path.read_text() for path in run.path.iterdir()]
    assert len(written) == 2
    assert not any("hush" in text for text in written)
    assert all("https://host/" in text for text in written)
    _, saved = RunFolder.open(run.path)
    with pytest.raises(UserError, match="had a query") as caught:
        RunFolder.refuse_incomplete(saved, run.path)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [key]
    _, given = RunFolder.open(run.path, [override])
    assert given == config
    RunFolder.refuse_incomplete(given, run.path)
