"""Where a build lies that is behind a URL: as much of pathlib as opening one takes, and the cache for its shards."""

from __future__ import annotations

from dataclasses import dataclass, field

from tracknet.datasets.manifest import Manifest, NoBuild, ShardEntry
from tracknet.datasets.remote_file import RemoteFile, read_whole
from tracknet.datasets.schema import MANIFEST_NAME
from tracknet.datasets.shard_cache import ShardCache
from tracknet.utils.urls import shown

UPLOAD_AGAIN = (
    "try again; if it stays so, have the whole folder of the build uploaded anew, its manifest last"
)


@dataclass(frozen=True)
class RemotePath:
    """A folder or file behind a URL. `str` names it without credentials.

    A query, such as a signature, is that of the folder and of every file in it.
    """

    url: str
    cache: ShardCache = field(compare=False, repr=False)

    def __str__(self) -> str:
        return shown(self.url)

    def __truediv__(self, name: str) -> RemotePath:
        path, mark, query = self.url.partition("?")
        return RemotePath(f"{path.rstrip('/')}/{name}{mark}{query}", self.cache)

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def parent(self) -> RemotePath:
        """What it lies in."""
        path, mark, query = self.url.partition("?")
        return RemotePath(path.rstrip("/").rpartition("/")[0] + mark + query, self.cache)

    def read_bytes(self) -> bytes:
        """The whole file. Raises FileNotFoundError where there is none, RunError where it does not come."""
        return read_whole(self.url, self.cache.patience)

    def shard(self, entry: ShardEntry) -> RemoteFile:
        """A shard of the build in this folder. Raises RunError where its hash is none."""
        return RemoteFile((self / entry.name).url, entry.bytes, entry.sha256)

    def read_manifest(self) -> Manifest:
        """The manifest of the build in this folder. Raises as `Manifest.read` does, or RunError: it does not come."""
        path = self / MANIFEST_NAME
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise NoBuild(
                f"{self} has no {MANIFEST_NAME}: it holds no finished build",
                remedy="check the address, and upload the whole folder of a build: shards, index and manifest",
            ) from None
        return Manifest.parse(content, str(path), remedy=UPLOAD_AGAIN)
