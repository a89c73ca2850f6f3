"""Files on an HTTP server, and a cache that gives up soon."""

from __future__ import annotations

import hashlib
import os

from tests.datasets.http_server import Site
from tracknet.datasets.remote_file import Patience, RemoteFile
from tracknet.datasets.shard_cache import ShardCache

QUICK = Patience(attempts=3, timeout_s=0.3, pause_s=0.01)


def put(site: Site, name: str, size: int = 2500) -> RemoteFile:
    content = hashlib.shake_256(name.encode()).digest(size)
    site.files[f"/{name}"] = content
    return RemoteFile(f"{site.url}/{name}", size, hashlib.sha256(content).hexdigest())


def read(cache: ShardCache, file: RemoteFile) -> bytes:
    descriptor = cache.open(file)
    try:
        return os.pread(descriptor, file.bytes + 1, 0)
    finally:
        os.close(descriptor)
