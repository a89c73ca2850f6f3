"""Writes one feature shard: frames in batches, tokens, a temporary file, verify, put in its place."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.shard_writer import ShardResult, verify_written
from pipelines.store import open_store
from pipelines.tar_file import TarWriter
from tracknet.datasets.feature_format import SUFFIX, FeatureInfo, encode_tokens
from tracknet.datasets.manifest import ShardEntry
from tracknet.utils.errors import RunError

# Raise it when the bytes of a shard change for the same task: finished shards of older builds are then redone.
WRITER_VERSION = 1

Encode = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float16]]


@dataclass(frozen=True, slots=True)
class FeatureTask:
    """One shard to write.

    Attributes:
        name: of the shard, and of that whose frames it is of.
        split: of both.
        out: a folder, or an fsspec URL.
        info: whose tokens, and how they are stored.
        frames: the frames' rows of the index of their own build, in its order.
    """

    name: str
    split: str
    out: Path | str
    info: FeatureInfo
    frames: tuple[dict[str, Any], ...]
    keep_going: bool = False

    def fingerprint(self) -> str:
        """Changes with everything that the shard's bytes depend on; labels are not among it."""
        body = {
            "writer": WRITER_VERSION,
            "name": self.name,
            "split": self.split,
            "backbone": {**asdict(self.info.backbone), "name": None},
            "dtype": self.info.dtype,
            "computed_in": self.info.computed_in,
            "frames": self.info.frames[self.name],
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def frames_fingerprint(self) -> str:
        """The same: no label goes in."""
        return self.fingerprint()


def write_feature_shard(
    task: FeatureTask,
    batches: Iterable[npt.NDArray[np.uint8]],
    encode: Encode,
    on_frames: Callable[[int], None] = lambda count: None,
    check_stop: Callable[[], None] = lambda: None,
) -> ShardResult:
    """Writes one shard, or nothing.

    Args:
        task: what to write.
        batches: its frames uint8 RGB `[n, H, W, 3]`, in order.
        encode: makes tokens float16 `[n, Hp, Wp, C]` of them.
        on_frames: told how many frames were done, again and again.
        check_stop: called after every batch; may raise to stop the work.

    Raises:
        RunError: tokens that float16 cannot hold, by key; or a disk that gives back other bytes.

    """
    store = open_store(task.out)
    rows: list[dict[str, Any]] = []
    with store.scratch(task.name) as temporary:
        with temporary.open("wb") as file:
            tar = TarWriter(file)
            for frames in batches:
                for tokens in encode(frames):
                    row = task.frames[len(rows)]
                    _check(tokens, task, row)
                    member = tar.add(f"{row['key']}{SUFFIX}", encode_tokens(tokens, task.info.dtype))
                    place = {"offset": member.offset, "size": member.size, "crc32c": member.crc32c}
                    rows.append({**row, **place})
                on_frames(len(frames))
                check_stop()
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        sha256 = verify_written(temporary, tar, f"{store}/{task.name}")
        size = temporary.stat().st_size
        check_stop()
        store.put_file(temporary, task.name)
    return ShardResult(ShardEntry(task.name, task.split, len(rows), size, sha256), tuple(rows), ())


def _check(tokens: npt.NDArray[np.float16], task: FeatureTask, row: dict[str, Any]) -> None:
    if tokens.shape != task.info.shape:
        raise RunError(f"{row['key']}: the backbone gave {tokens.shape}, not {task.info.shape}")
    if not np.isfinite(tokens).all():
        raise RunError(
            f"{row['key']}: its tokens are no numbers, or beyond the 65,504 of float16",
            remedy="features of this backbone cannot be stored: train it online (data.features=null)",
        )
