"""Writes one shard: read, decode, resize, encode, write to a temporary file, verify, put in its place.

A `ShardTask` is plain data and `write_shard` a plain function, so that any executor can run it anywhere the
paths are valid. The same task gives the same bytes everywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from pipelines.reading import read_fault
from pipelines.staging import StagedFrames
from pipelines.store import open_store
from pipelines.tar_file import Member, TarWriter, read_back
from tracknet.datasets.label_faults import FaultKind, LabelFault
from tracknet.datasets.manifest import ShardEntry
from tracknet.datasets.schema import frame_key, sample_json
from tracknet.utils.errors import RunError
from tracknet.utils.geometry import Size
from tracknet.utils.images import Decode, ImageError, stored_jpeg
from tracknet.utils.memory import keep_freed_memory
from tracknet.utils.video_container import VideoError

# Raise it when the bytes of a shard change for the same task: finished shards of older builds are then redone.
WRITER_VERSION = 1


@dataclass(frozen=True, slots=True)
class FrameTask:
    """One frame to store.

    `source` is the file relative to the data set's root, with forward slashes. `staged` names the staged video
    that a frame is copied from (see `staging`); `None` for a frame that is an image file.
    """

    source: str
    game: str
    clip: str
    segment: int
    number: int
    frame_size: Size
    visibility: int
    xy_px: tuple[float, float] | None
    status: int | None
    bytes: int
    mtime_ns: int
    staged: str | None = None

    @property
    def key(self) -> str:
        """The sample's key in the tar."""
        return frame_key(self.game, self.clip, self.number)


_LABELS = ("visibility", "xy_px", "status")
_FRAME_VALUES = attrgetter(*(field.name for field in fields(FrameTask)))
_UNLABELLED_VALUES = attrgetter(*(field.name for field in fields(FrameTask) if field.name not in _LABELS))


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to write."""

    name: str
    split: str
    root: Path
    out: Path | str
    """A folder, or an fsspec URL."""
    size: Size
    jpeg_quality: int
    keep_going: bool
    """Leave out frames that are damaged or gone, instead of writing nothing."""
    frames: tuple[FrameTask, ...]
    decode: Decode = "full"
    staging: Path = Path()
    """Where videos are staged."""

    def fingerprint(self) -> str:
        """Changes with everything that the shard's bytes depend on: settings, labels, sizes and times."""
        return self._hash(_FRAME_VALUES)

    def frames_fingerprint(self) -> str:
        """The fingerprint without the labels."""
        return self._hash(_UNLABELLED_VALUES)

    def _hash(self, values: attrgetter[Any]) -> str:
        body = {
            "writer": WRITER_VERSION,
            "name": self.name,
            "split": self.split,
            "size": self.size,
            "jpeg_quality": self.jpeg_quality,
            "decode": self.decode,
            "frames": [values(frame) for frame in self.frames],
        }
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What became of a task.

    Attributes:
        entry: the shard as the manifest lists it; `None` when faults kept it from being written, or left
            nothing to write.
        rows: the shard's rows of the index, in the order of the tar.
        faults: frames that could not be stored.

    """

    entry: ShardEntry | None
    rows: tuple[dict[str, Any], ...]
    faults: tuple[LabelFault, ...]


def write_shard(task: ShardTask, check_stop: Callable[[], None] = lambda: None) -> ShardResult:
    """Writes one shard, or nothing: all its faults are found, and no temporary file is left behind.

    Args:
        task: what to write.
        check_stop: called before every frame; may raise to stop the work.

    """
    store = open_store(task.out)
    rows: list[dict[str, Any]] = []
    faults: list[LabelFault] = []
    keep_freed_memory()
    with store.scratch(task.name) as temporary:
        with temporary.open("wb") as file, StagedFrames(task.staging) as staged:
            tar = TarWriter(file)
            for frame in task.frames:
                check_stop()
                source = task.root / frame.source
                try:
                    jpeg, sha256 = _stored(task, frame, staged)
                except (ImageError, VideoError, OSError) as error:
                    faults.append(read_fault(source, error))
                    continue
                if _forbid(faults, task):
                    continue  # nothing will be written; what is left to do is to find the other faults
                member = tar.add(f"{frame.key}.jpg", jpeg)
                tar.add(f"{frame.key}.json", _label_bytes(frame))
                rows.append(index_row(task, frame, member, sha256))
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        if _forbid(faults, task) or not rows:
            return ShardResult(None, (), tuple(faults))
        sha256 = verify_written(temporary, tar, f"{store}/{task.name}")
        size = temporary.stat().st_size
        check_stop()
        store.put_file(temporary, task.name)
    return ShardResult(ShardEntry(task.name, task.split, len(rows), size, sha256), tuple(rows), tuple(faults))


def _stored(task: ShardTask, frame: FrameTask, staged: StagedFrames) -> tuple[bytes, str]:
    """The JPEG to store, and the hash of the file that it comes from."""
    if frame.staged is not None:
        return staged.read(frame.staged, frame.number)
    data = (task.root / frame.source).read_bytes()
    jpeg = stored_jpeg(data, frame.frame_size, task.size, task.jpeg_quality, task.decode)
    return jpeg, hashlib.sha256(data).hexdigest()


def _forbid(faults: list[LabelFault], task: ShardTask) -> bool:
    return any(fault.kind is FaultKind.FILE or not task.keep_going for fault in faults)


def _label_bytes(frame: FrameTask) -> bytes:
    return sample_json(
        game=frame.game,
        clip=frame.clip,
        frame=frame.number,
        xy_px=frame.xy_px,
        visibility=frame.visibility,
        status=frame.status,
        source_size=frame.frame_size,
    )


def label_columns(frame: FrameTask) -> dict[str, Any]:
    """The columns of the index that hold a frame's label."""
    x_px, y_px = (None, None) if frame.xy_px is None else frame.xy_px
    return {"x_px": x_px, "y_px": y_px, "visibility": frame.visibility, "status": frame.status}


def index_row(task: ShardTask, frame: FrameTask, member: Member, sha256: str) -> dict[str, Any]:
    """The index's row of a frame that was written; `sha256` is its source's."""
    return {
        "key": frame.key,
        "split": task.split,
        "game": frame.game,
        "clip": frame.clip,
        "frame": frame.number,
        "segment": frame.segment,
        "shard": task.name,
        "offset": member.offset,
        "size": member.size,
        "crc32c": member.crc32c,
        **label_columns(frame),
        "width": task.size.width,
        "height": task.size.height,
        "source_width": frame.frame_size.width,
        "source_height": frame.frame_size.height,
        "source": frame.source,
        "source_sha256": sha256,
    }


def verify_written(temporary: Path, tar: TarWriter, final: str) -> str:
    """Reads a written tar back against what went into it; returns the hash of its bytes."""
    with temporary.open("rb") as file:
        sha256, fault = read_back(file, tar)
    if fault is not None:
        raise RunError(
            f"{final}: what was written does not read back the same, from {fault} on",
            remedy="the disk or its memory is failing: check it, or build on another one",
        )
    return sha256
