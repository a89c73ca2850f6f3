"""A place to write to: the same promises of a folder and of what fsspec reaches."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import known_implementations

from pipelines import remote_lock
from pipelines.pool import StopWork
from pipelines.remote_store import SCRATCH_PREFIX, RemoteStore
from pipelines.store import LOCK_NAME, LocalStore, Store, open_store
from tests.pipelines.conftest import SMALL, contents, run
from tracknet.utils.errors import EXIT_DONE, EXIT_FAILED, EXIT_WRONG_REQUEST, RunError, UserError
from tracknet.utils.lock_record import new_record


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    places = {"folder": tmp_path / "s", "file": f"file://{tmp_path}/s", "memory": "memory://s"}
    yield open_store(places[request.param])
    fsspec.filesystem("memory").store.clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(remote_lock, "SETTLE_S", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_files_come_and_go_whole(store: Store) -> None:
    assert store.sizes() == {}
    with store.lock():
        store.put("a.json", b"old")
        store.put("a.json", b"newer")
        with store.scratch("b.tar") as path:
            path.write_bytes(b"tar")
            assert "b.tar" not in store.sizes()
            store.put_file(path, "b.tar")
        with pytest.raises(KeyError), store.scratch("c.tar") as path:
            path.write_bytes(b"half")
            raise KeyError
        assert store.sizes() == {"a.json": 5, "b.tar": 3}
        assert store.read_all(["a.json", "b.tar", "c.tar", ".build/d"]) == {
            "a.json": b"newer",
            "b.tar": b"tar",
        }
        assert store.read_all([]) == {}
        store.delete(["a.json", "c.tar"])
        assert store.sizes() == {"b.tar": 3}
    assert store.sizes("nowhere") == {}


def test_leftovers_are_no_files_and_go(store: Store) -> None:
    with store.lock():
        for name in (".b.tar.tmp-0a1b", ".build/.n.json.tmp-77", "b.tar"):
            store.put(name, b"half")
        assert store.sizes() == {"b.tar": 4}
        assert ".n.json.tmp-77" not in store.sizes(".build")
        store.remove_leftovers()
        assert store.read_all([".b.tar.tmp-0a1b", ".build/.n.json.tmp-77"]) == {}
        assert store.read_all(["b.tar"]) == {"b.tar": b"half"}


def test_the_lock_keeps_a_second_out_and_says_whose_it_is(store: Store) -> None:
    with store.lock() as lease:
        lease()
        pickle.loads(pickle.dumps(lease))()
        with pytest.raises(UserError, match=r"another build is writing there \(process \d+"), store.lock():
            pass
        lease.check()
    with pytest.raises(RunError, match="is not locked by this build"):
        lease.check()
    with store.lock() as other:
        other.check()
        with pytest.raises(RunError, match=r"is not locked by this build but by process \d+"):
            lease.check()


def test_a_lease_that_is_lost_stops_the_task_within_a_second(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("pipelines.store.time.monotonic", lambda: clock[0])
    with store.lock() as lease:
        lease()
    lease()  # looked a moment ago
    clock[0] += 1
    with pytest.raises(RunError):
        lease()

    def stop() -> None:
        raise StopWork

    monkeypatch.setattr("pipelines.store.check_stop", stop)
    with pytest.raises(StopWork):
        lease()


# ------------------------------------------------------------------ remote only


def lock_of(store: Store, **changes: Any) -> None:
    store.put(LOCK_NAME, json.dumps({**new_record(), **changes}).encode())


def test_a_lock_ends_by_itself_when_its_holder_does(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore("memory://locks")
    lock_of(store, host="other", pid=7)
    with pytest.raises(UserError, match=r"process 7 on other, seen 0 s ago") as caught, store.lock():
        pass
    assert "in 120 s, or at once when you delete memory://locks/.build/lock" in str(caught.value)
    lock_of(store, host="other", beat_s=new_record()["beat_s"] - remote_lock.STALE_S)
    with store.lock() as lease:
        lease.check()
    lock_of(store, pid=2**22 + 1)  # of this machine, and no process of that number can be
    with store.lock() as lease:
        lease.check()
    store.put(LOCK_NAME, b"{damaged")
    with store.lock() as lease:
        lease.check()
    assert store.read_all([LOCK_NAME]) == {}


def test_a_held_lock_is_renewed_and_a_lost_one_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_lock, "BEAT_S", 0.005)
    store = RemoteStore("memory://beats")

    def beat_s() -> float:
        return float(json.loads(store.read_all([LOCK_NAME])[LOCK_NAME])["beat_s"])

    with store.lock() as lease:
        first_s = beat_s()
        while beat_s() == first_s:
            pass
        lease.check()
        lock_of(store, token="thief")
        with pytest.raises(RunError):
            lease.check()
    assert json.loads(store.read_all([LOCK_NAME])[LOCK_NAME])["token"] == "thief"


def test_what_the_server_keeps_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore("memory://short")
    pipe = store._fs.pipe_file
    monkeypatch.setattr(store._fs, "pipe_file", lambda path, data: pipe(path, data[:-1]))
    with pytest.raises(RunError, match=r"a\.json has 3 bytes there after 4 were sent"):
        store.put("a.json", b"1234")


def test_a_server_that_renames_onto_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore(f"file://{tmp_path}/s")
    move = store._fs.mv

    def refusing(source: str, target: str) -> None:
        if Path(target).exists():
            raise FileExistsError(target)
        move(source, target)

    monkeypatch.setattr(store._fs, "mv", refusing)
    with store.lock():
        store.put("a.json", b"old")
        store.put("a.json", b"new")
    assert store.read_all(["a.json"]) == {"a.json": b"new"}
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [".build", "a.json"]


def test_failures_of_any_library_are_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentials(Exception):
        pass

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentials("who are you?")

    store = RemoteStore("memory://denied")
    for name in ("ls", "pipe_file", "cat", "rm_file"):
        monkeypatch.setattr(store._fs, name, refuse)
    for call in (
        store.sizes,
        lambda: store.put("a", b""),
        lambda: store.read_all(["a"]),
        store.remove_leftovers,
    ):
        with pytest.raises(RunError, match="memory://denied: NoCredentials: who are you"):
            call()


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("nonsense://x", ["Protocol not known: nonsense", "s3://bucket/path"]),
        ("memory://x", ["lost when the command ends", "give a folder"]),
        ("mys3://x", ["the package for mys3:// is not installed", "pip install absent_s3fs"]),
    ],
)
def test_urls_that_cannot_be(
    root: Path,
    out: str,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        known_implementations, "mys3", {"class": "absent_s3fs.core.FileSystem", "err": "install it"}
    )
    assert run(root, out) == EXIT_WRONG_REQUEST
    message = capsys.readouterr().err
    assert all(word in message for word in words)
    assert "Traceback" not in message


# ------------------------------------------------------------------ builds


def test_a_build_behind_a_url_has_the_same_bytes_and_is_reused(
    root: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a size in whole patches, for which a training command is advised.
    sized = ("data.resize=[64,32]", *SMALL[1:])
    run(root, out, *sized)
    url, far = f"file://{tmp_path}/far", tmp_path / "far"
    assert run(root, url, *sized[:-1], "2") == EXIT_DONE
    assert contents(far) == contents(out)
    assert f"next: python -m tracknet.train {url}/train-{{000..002}}.tar" in capsys.readouterr().out
    assert not list(tmp_path.glob(f"{SCRATCH_PREFIX}*"))

    read, asked = RemoteStore.read_all, list[str]()
    monkeypatch.setattr(RemoteStore, "read_all", lambda s, names: asked.extend(names) or read(s, names))
    monkeypatch.setattr("pipelines.build.write_shard", None)
    assert run(root, url, *sized) == EXIT_DONE
    assert "nothing to do" in capsys.readouterr().out
    assert not [name for name in asked if name.endswith(".tar")]
    assert run(root, url, *sized, "data.jpeg_quality=90") == EXIT_WRONG_REQUEST
    assert "jpeg_quality: 95 there, 90 asked for" in capsys.readouterr().err


def test_a_build_that_lost_its_lock_writes_no_manifest(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / "far"
    put = RemoteStore.put

    def put_and_lose(store: RemoteStore, name: str, data: bytes) -> None:
        put(store, name, data)
        if name == ".build/val-001.json":
            lock_of(store, host="thief")

    monkeypatch.setattr(RemoteStore, "put", put_and_lose)
    assert run(root, f"file://{far}") == EXIT_FAILED
    assert "is not locked by this build but by process" in capsys.readouterr().err
    assert not (far / "manifest.json").exists()


def test_a_folder_is_a_store_here(tmp_path: Path) -> None:
    assert isinstance(open_store(tmp_path), LocalStore)


def test_a_store_is_named_without_its_password() -> None:
    assert str(open_store("memory://me:secret@host/shards")) == "memory://***@host/shards"
