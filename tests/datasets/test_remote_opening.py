"""Shards behind URLs are named, opened and checked as those of folders are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets.conftest import STORED
from tests.datasets.http_server import Site
from tests.datasets.remote_shards import QUICK, remote
from tracknet.datasets.index import open_shards
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.remote_file import Patience
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import expand_shards
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.sources import open_sources
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.settings import CacheConfig, DataConfig

pytestmark = pytest.mark.usefixtures("uploaded")


@pytest.mark.parametrize(
    "spec", ["", "/", "/manifest.json", "/train-{000..005}.tar", "/train-<000..005>.tar", "/train-*.tar"]
)
def test_urls_name_what_paths_name(site: Site, tmp_path: Path, local: ShardSet, spec: str) -> None:
    cache = ShardCache(tmp_path, 10**9, QUICK)
    shards = open_shards(expand_shards([f"{site.url}/shards{spec}"], cache))
    assert (shards.shard_names, shards.table.keys) == (local.shard_names, local.table.keys)
    assert shards.origin(0) == f"{site.url}/shards/{local.origin(0).rpartition('/')[2]}"
    assert shards.describe() == local.describe()
    assert not list(tmp_path.iterdir())  # no shard is fetched before it is read


def test_a_configuration_names_urls_and_validation_finds_its_own(site: Site, tmp_path: Path) -> None:
    cache = CacheConfig(dir=str(tmp_path), max_gb=0.5, timeout_s=2.0)
    sources = open_sources(DataConfig(shards=f"{site.url}/shards", cache=cache))
    assert len(sources.train) == 128
    val = sources.open_val()
    assert val is not None
    assert [str(folder) for folder in val.folders()] == [f"{site.url}/shards"]
    assert val.cache is not None
    assert (val.cache.folder, val.cache.max_bytes) == (tmp_path, 5 * 10**8)
    assert val.cache.patience == Patience(attempts=6, timeout_s=2.0)
    assert ShardReader(val).read(11).shape == (STORED.height, STORED.width, 3)


def test_the_usual_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ShardCache.of(CacheConfig()).folder == tmp_path / "tracknet" / "shards"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ShardCache.of(CacheConfig()).folder == tmp_path / ".cache" / "tracknet" / "shards"


def test_what_a_server_gives_is_checked_before_it_is_used(site: Site, tmp_path: Path) -> None:
    whole = site.files["/shards/index.parquet"]
    site.files["/shards/index.parquet"] = whole[:-9] + bytes(9)
    with pytest.raises(
        RunError, match=r"/shards/index\.parquet is not the index that its manifest"
    ) as caught:
        remote(site, tmp_path)
    again = "try again; if it stays so, have the whole folder of the build uploaded anew, its manifest last"
    assert caught.value.remedy == again
    del site.files["/shards/index.parquet"]
    with pytest.raises(RunError, match=r"/shards/index\.parquet is missing"):
        remote(site, tmp_path)
    manifest = site.files["/shards/manifest.json"].decode()
    for wrong, said in (
        (manifest[:40], "is damaged"),
        (manifest.replace("build_id", "b"), "lacks or garbles"),
    ):
        site.files["/shards/manifest.json"] = wrong.encode()
        with pytest.raises(UserError, match=said) as refused:
            remote(site, tmp_path)
        assert refused.value.remedy == again
    site.files["/shards/manifest.json"] = manifest.replace('"sha256": "', '"sha256": "../', 1).encode()
    with pytest.raises(RunError, match=r"its manifest gives it the hash '\.\./"):
        remote(site, tmp_path)
    site.files["/shards/manifest.json"] = manifest.replace("train-000.tar", "../evil.tar").encode()
    with pytest.raises(UserError, match=r"manifest\.json lists 1 shards that no build has"):
        remote(site, tmp_path)
    del site.files["/shards/manifest.json"]
    with pytest.raises(UserError, match=r"/shards has no manifest\.json"):
        remote(site, tmp_path)


def test_wrong_urls_are_named_without_their_secrets(site: Site, tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 10**9, QUICK)
    with pytest.raises(UserError, match="runs a command to read data, which is refused"):
        expand_shards(["pipe:curl https://host/shards"], cache)
    with pytest.raises(UserError) as caught:
        expand_shards([f"{site.url}/shards/test-*.tar"], cache)
    assert caught.value.problems == (f"{site.url}/shards/test-*.tar: matches no file",)
    secret = site.url.replace("http://", "http://me:hush@") + "/nowhere?token=hush"
    with pytest.raises(UserError, match="has no manifest") as caught:
        expand_shards([secret], cache)
    assert "hush" not in str(caught.value)
    with pytest.raises(UserError, match=r"does not know train-009\.tar"):
        open_shards(expand_shards([f"{site.url}/shards/train-009.tar"], cache))


def test_a_librarys_message_is_told_without_the_query(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.faults["/shards/manifest.json?token=hush"] = ["503"] * 9
    with pytest.raises(
        RunError, match=r"3 attempts failed, the last with ClientResponseError: 503"
    ) as caught:
        expand_shards([f"{site.url}/shards?token=hush"], ShardCache(tmp_path, 10**9, QUICK))
    assert f"{site.url}/shards/manifest.json?***" in str(caught.value)
    assert "hush" not in str(caught.value) + capsys.readouterr().err


def test_a_query_goes_with_every_file(tmp_path: Path) -> None:
    folder = RemotePath("https://host/shards/?sig=a/b", ShardCache(tmp_path, 1, QUICK))
    assert (folder / "x.tar").url == "https://host/shards/x.tar?sig=a/b"
    assert (folder / "x.tar").parent.url == "https://host/shards?sig=a/b"
    assert (folder.name, str(folder / "x.tar")) == ("shards", "https://host/shards/x.tar?***")
