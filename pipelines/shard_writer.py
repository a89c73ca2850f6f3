"""Writes one shard: read, decode, resize, encode, write under a temporary name, verify, rename.

A `ShardTask` is plain data and `write_shard` a plain function, so that any executor can run it anywhere the
paths are valid. The same task gives the same bytes everywhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c

from pipelines.sources import frame_fault
from tracknet.datasets.label_csv import FaultKind, LabelFault
from tracknet.datasets.schema import ShardEntry, frame_key, sample_json
from tracknet.utils.errors import RunError
from tracknet.utils.files import hash_stream, sync_folder
from tracknet.utils.geometry import Size
from tracknet.utils.images import ImageError, RGBImage, decode_image, encode_jpeg, resize_frame

# Raise it when the bytes of a shard change for the same task: finished shards of older builds are then redone.
WRITER_VERSION = 1
TAR_HEADER_BYTES = 512


@dataclass(frozen=True, slots=True)
class FrameTask:
    """One frame to store. `source` is the file relative to the data set's root, with forward slashes."""

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

    @property
    def key(self) -> str:
        """The sample's key in the tar."""
        return frame_key(self.game, self.clip, self.number)


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to write."""

    name: str
    split: str
    root: Path
    out: Path
    size: Size
    jpeg_quality: int
    keep_going: bool
    """Leave out frames that are damaged or gone, instead of writing nothing."""
    frames: tuple[FrameTask, ...]

    def fingerprint(self) -> str:
        """Changes with everything that the shard's bytes depend on: settings, labels, sizes and times."""
        body = {
            "writer": WRITER_VERSION,
            "name": self.name,
            "split": self.split,
            "size": self.size,
            "jpeg_quality": self.jpeg_quality,
            "frames": [asdict(frame) for frame in self.frames],
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


@dataclass(frozen=True, slots=True)
class _Member:
    """What was put into the tar, to hold against what is read back."""

    name: str
    offset: int
    crc32c: int


def write_shard(task: ShardTask, check_stop: Callable[[], None] = lambda: None) -> ShardResult:
    """Writes one shard, or nothing: all its faults are found, and no temporary file is left behind.

    Args:
        task: what to write.
        check_stop: called before every frame; may raise to stop the work.

    """
    final = task.out / task.name
    temporary = task.out / f".{task.name}.tmp-{os.getpid()}"
    rows: list[dict[str, Any]] = []
    members: list[_Member] = []
    faults: list[LabelFault] = []
    try:
        with temporary.open("wb") as file:
            tar = tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            for frame in task.frames:
                check_stop()
                try:
                    data, image = _load(task.root / frame.source, frame.frame_size)
                except (ImageError, OSError) as error:
                    faults.append(frame_fault(task.root / frame.source, error))
                    continue
                if _forbid(faults, task):
                    continue  # nothing will be written; what is left to do is to find the other faults
                jpeg = encode_jpeg(resize_frame(image, task.size), task.jpeg_quality)
                member = _add(tar, f"{frame.key}.jpg", jpeg)
                members += [member, _add(tar, f"{frame.key}.json", _label_bytes(frame))]
                rows.append(_row(task, frame, member, len(jpeg), hashlib.sha256(data).hexdigest()))
            tar.close()
            file.flush()
            os.fsync(file.fileno())
        if _forbid(faults, task) or not rows:
            return ShardResult(None, (), tuple(faults))
        with temporary.open("rb") as file:
            sha256 = _verify(file, members, final)
        size = temporary.stat().st_size
        check_stop()
        temporary.replace(final)
        sync_folder(task.out)
    finally:
        temporary.unlink(missing_ok=True)
    return ShardResult(ShardEntry(task.name, task.split, len(rows), size, sha256), tuple(rows), tuple(faults))


def _load(path: Path, expected: Size) -> tuple[bytes, RGBImage]:
    data = path.read_bytes()
    image = decode_image(data)
    found = Size(image.shape[1], image.shape[0])
    if found != expected:
        raise ImageError(f"is {found}, the other frames of its clip are {expected}")
    return data, image


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


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> _Member:
    # A fresh TarInfo has mtime 0, uid and gid 0, no names and mode 0644: nothing of this machine or hour.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    offset = tar.offset + TAR_HEADER_BYTES
    tar.addfile(info, io.BytesIO(data))
    return _Member(name, offset, google_crc32c.value(data))


def _row(task: ShardTask, frame: FrameTask, member: _Member, size: int, sha256: str) -> dict[str, Any]:
    x_px, y_px = (None, None) if frame.xy_px is None else frame.xy_px
    return {
        "key": frame.key,
        "split": task.split,
        "game": frame.game,
        "clip": frame.clip,
        "frame": frame.number,
        "segment": frame.segment,
        "shard": task.name,
        "offset": member.offset,
        "size": size,
        "crc32c": member.crc32c,
        "x_px": x_px,
        "y_px": y_px,
        "visibility": frame.visibility,
        "status": frame.status,
        "width": task.size.width,
        "height": task.size.height,
        "source_width": frame.frame_size.width,
        "source_height": frame.frame_size.height,
        "source": frame.source,
        "source_sha256": sha256,
    }


def _verify(file: BinaryIO, members: list[_Member], final: Path) -> str:
    """Reads a written tar back against what went into it; returns the hash of its bytes."""
    found = []
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info in tar:
            content = tar.extractfile(info)
            data = b"" if content is None else content.read()
            found.append(_Member(info.name, info.offset_data, google_crc32c.value(data)))
    if found != members:
        differing = next((m.name for m, f in zip(members, found, strict=False) if m != f), "its end")
        raise RunError(
            f"{final}: what was written does not read back the same, from {differing} on",
            remedy="the disk or its memory is failing: check it, or build on another one",
        )
    file.seek(0)
    return hash_stream(file)
