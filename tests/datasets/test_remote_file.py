"""One file from a server that does everything a server can do wrong."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import pytest

from tests.datasets import http_server
from tests.datasets.cached_files import QUICK, put, read
from tests.datasets.http_server import Fault, Site
from tracknet.datasets import remote_file
from tracknet.datasets.remote_file import Patience, RemoteFile
from tracknet.datasets.shard_cache import ShardCache
from tracknet.utils.errors import Interrupted, RunError

pytestmark = pytest.mark.usefixtures("small_parts")


@pytest.mark.parametrize("fault", ["stall", "cut", "503", "wrong", "no range", "close", "page"])
@pytest.mark.parametrize("good_before", [0, 1])
def test_one_fault_of_a_server_is_outlived(
    site: Site, tmp_path: Path, fault: Fault, good_before: int
) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["none"] * good_before + [fault]
    assert read(ShardCache(tmp_path, 10_000, QUICK), file) == site.files["/a.tar"]
    # Three parts; one more for the fault, or three where only the hash of the whole tells; one where all came at once;
    # and no more where half came, for that half is kept.
    again = {"wrong": 3, "no range": -2 + good_before, "cut": 0}.get(fault, 1)
    assert site.asked_for("/a.tar") == 3 + again


def test_bytes_that_stay_wrong_are_never_used(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    site.files["/a.tar"] = site.files["/a.tar"][:-1] + b"?"
    found = hashlib.sha256(site.files["/a.tar"]).hexdigest()
    with pytest.raises(RunError, match=rf"a\.tar: has the hash {found}, its manifest says {file.sha256}"):
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".tar", ".part")] == []
    assert site.asked_for("/a.tar") == 9  # three parts, as often as there are attempts


@pytest.mark.parametrize("size", [1200, 900, 3000])
def test_a_file_of_another_size_is_refused(site: Site, tmp_path: Path, size: int) -> None:
    file = put(site, "a.tar")
    site.files["/a.tar"] = bytes(size)
    with pytest.raises(RunError, match=r"a\.tar: "):
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert not list(tmp_path.rglob("*.tar"))


def test_faults_that_do_not_end_are_named_with_the_attempts(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["503"] * 9
    with pytest.raises(RunError, match=r"a\.tar: 3 attempts failed, the last with .*503") as error:
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert "data.cache.attempts" in str(error.value)
    assert site.asked_for("/a.tar") == 3
    assert "attempt 2 of 3 in 0.01 s" in capsys.readouterr().err
    with pytest.raises(RunError, match=r"b\.tar: there is no such file"):
        ShardCache(tmp_path, 10_000, QUICK).open(RemoteFile(f"{site.url}/b.tar", 5, "0" * 64))


@pytest.mark.parametrize("status", ["401", "403", "410"])
def test_what_a_server_refuses_is_not_asked_for_again(site: Site, tmp_path: Path, status: Fault) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = [status] * 4
    for ask in (
        lambda: ShardCache(tmp_path, 10_000, QUICK).open(file),
        lambda: remote_file.read_whole(file.url, QUICK),
    ):
        before = site.asked_for("/a.tar")
        with pytest.raises(RunError, match=rf"a\.tar: ClientResponseError: {status}") as caught:
            ask()
        assert site.asked_for("/a.tar") == before + 1
        assert "check your credentials" in str(caught.value.remedy)
        assert "signed URL may have run out" in str(caught.value.remedy)


@pytest.mark.parametrize("fault", ["cut", "drip"])
def test_bytes_that_came_are_kept_and_count(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Fault,
) -> None:
    """More faults than attempts, each with half of what was asked for; and a server that is slow."""
    monkeypatch.setattr(remote_file, "PART_BYTES", 10_000)
    monkeypatch.setattr(remote_file, "_SECONDS_BEFORE_A_WORD", 0.0)
    file = put(site, "a.tar")
    site.faults["/a.tar"] = [fault] * (5 if fault == "cut" else 1)
    assert read(ShardCache(tmp_path, 10_000, QUICK), file) == site.files["/a.tar"]
    said = capsys.readouterr().err
    if fault == "cut":
        starts = ["0", "1250", "1875", "2187", "2343", "2421"]
        assert [request.range for request in site.requests] == [f"bytes={start}-2499" for start in starts]
        assert "a.tar: the answer broke off after 1,250 bytes, which are kept; goes on in 0.01 s" in said
    else:
        # How fast it is depends on the machine.
        words = r"a\.tar: 0\.00\d+ of 0\.0025 MB are there after [\d.]+ s: \S+ kB/s, about [\d.]+ s more"
        assert re.search(words, said)


def test_a_server_that_ends_early_for_good_leaves_what_came(site: Site, tmp_path: Path) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["cut", *["503"] * 3]
    with pytest.raises(RunError, match=r"3 attempts failed, the last with .*503") as error:
        ShardCache(tmp_path, 10_000, QUICK).open(file)
    assert "500 bytes of it are kept" in str(error.value)
    assert [path.stat().st_size for path in tmp_path.rglob("*.part")] == [500]


@pytest.mark.parametrize("left", [b"", b"left by another process"])
def test_wrong_bytes_are_fetched_again_as_often_as_there_are_attempts(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    left: bytes,
) -> None:
    monkeypatch.setattr(remote_file, "PART_BYTES", 10_000)
    file, cache = put(site, "a.tar"), ShardCache(tmp_path, 10_000, QUICK)
    part = cache.path_of(file).with_suffix(f".{file.bytes}.part")
    part.parent.mkdir()
    part.write_bytes(left)
    # What another process left counts for no attempt.
    site.faults["/a.tar"] = ["none" if left else "wrong", "wrong"]
    site.faults["/a.tar"] += ["wrong"] if left else []
    assert read(cache, file) == site.files["/a.tar"]
    assert "fetched anew, attempt 3 of 3 in 0.02 s" in capsys.readouterr().err
    other = put(site, "b.tar")
    site.faults["/b.tar"] = ["wrong"] * 3
    with pytest.raises(RunError, match=rf"its manifest says {other.sha256}, 3 times in a row"):
        cache.open(other)


def test_the_room_stays_claimed_while_wrong_bytes_are_fetched_again(site: Site, tmp_path: Path) -> None:
    file, cache = put(site, "a.tar", 900), ShardCache(tmp_path, 10_000, QUICK)
    site.faults["/a.tar"] = ["wrong", "wrong"]
    part = tmp_path / "a.part"
    sizes: list[int] = []
    remote_file.fetch(
        file, part, cache.patience, on_trouble=lambda message: sizes.append(part.stat().st_size)
    )
    assert sizes == [0, 0]
    assert part.read_bytes() == site.files["/a.tar"]


def test_silence_is_called_that(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = put(site, "a.tar")
    site.faults["/a.tar"] = ["stall"]
    read(ShardCache(tmp_path, 10_000, Patience(attempts=4, timeout_s=1.0, pause_s=0.01)), file)
    assert "a.tar: silent for 1 s; attempt 2 of 4 in 0.01 s" in capsys.readouterr().err


def test_a_hash_that_is_a_path_is_refused() -> None:
    with pytest.raises(RunError, match=r"gives it the hash '\.\./x'"):
        RemoteFile("http://h/a.tar", 5, "../x")


def test_a_stop_does_not_wait_for_a_silent_server_nor_for_a_pause(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "STALL_S", 60.0)
    started = time.monotonic()

    def stop() -> None:
        if time.monotonic() > started + 0.5:
            raise Interrupted("enough")

    for fault, patience in (
        ("stall", Patience(attempts=3, timeout_s=60.0)),
        ("503", Patience(attempts=3, timeout_s=60.0, pause_s=60.0)),
    ):
        file = put(site, f"{fault}.tar")
        site.faults[f"/{fault}.tar"] = [fault]  # type: ignore[list-item]
        with pytest.raises(Interrupted):
            ShardCache(tmp_path, 10_000, patience).open(file, stop)
    # Far below a timeout or a pause; not a measurement.
    assert time.monotonic() - started < 30
