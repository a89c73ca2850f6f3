"""A feature build as a function: the frames' index -> tasks -> feature shards -> index and manifest.

Knows no network and reads no frame: who encodes, and where the frames come from, is handed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.build_folder import BuildFolder, FinishedShard
from pipelines.feature_writer import Encode, FeatureTask, write_feature_shard
from pipelines.publish import index_bytes, make_manifest, sort_rows
from pipelines.room import full_disk_explained
from pipelines.store import open_store
from pipelines.wording import megabytes
from pipelines.workers import HeldInterrupts
from tracknet.datasets.feature_format import FeatureInfo, frames_digest
from tracknet.datasets.manifest import Manifest
from tracknet.utils.errors import UserError
from tracknet.utils.progress import Progress

Rows = Sequence[dict[str, Any]]
FramesOf = Callable[[FeatureTask, Callable[[], None]], Iterable[npt.NDArray[np.uint8]]]
# A tar's headers and the rounding up to its blocks.
_TAR_BYTES = 1024
_PLACE = ("offset", "size", "crc32c")


@dataclass(frozen=True)
class FeatureRequest:
    """What to compute.

    Attributes:
        source: how a person names the frames' build.
        frames: its manifest.
        rows: of its index, in order.
        info: whose tokens, and how they are stored.
        out: a folder, or an fsspec URL.
        model: how the command was told the backbone.
        overwrite: rebuild a folder of another configuration.
    """

    source: str
    frames: Manifest
    rows: Rows
    info: FeatureInfo
    out: Path | str
    model: str
    overwrite: bool = False

    def config(self) -> dict[str, Any]:
        """What the features depend on beside their frames."""
        return {
            "dtype": self.info.dtype,
            "amp": self.info.computed_in,
            "weights": self.info.backbone.weights_sha256,
        }

    def owner(self) -> dict[str, Any]:
        """What the output folder belongs to: a configuration, and a build of frames."""
        return {**self.config(), "holds": "features", "shards": self.source, "model": self.model}

    def tasks(self) -> list[FeatureTask]:
        """One task per shard of frames."""
        rows = _by_shard(self.rows)
        return [
            FeatureTask(
                entry.name,
                entry.split,
                self.out.resolve() if isinstance(self.out, Path) else self.out,
                self.info,
                tuple(rows[entry.name]),
            )
            for entry in self.frames.shards
        ]


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """What a build did: its manifest, shards and frames written now, whether anything changed, and the time."""

    manifest: Manifest
    written: int
    frames_written: int
    changed: bool
    seconds: float


def digests(rows: Rows) -> dict[str, str]:
    """Shard -> `frames_digest`, of the rows of an index in their order."""
    return {
        name: frames_digest(
            [row["key"] for row in mine],
            np.array([row["size"] for row in mine], np.int64),
            np.array([row["crc32c"] for row in mine], np.uint32),
        )
        for name, mine in _by_shard(rows).items()
    }


def _by_shard(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    of_shard: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_shard.setdefault(row["shard"], []).append(row)
    return of_shard


def build_features(request: FeatureRequest, frames_of: FramesOf, encode: Encode) -> FeatureReport:
    """Writes what is not written yet, then index and manifest.

    Args:
        request: what to compute.
        frames_of: a shard's frames uint8 RGB `[n, H, W, 3]`, in the order of its task. Calls what it is given while
            it waits for one: it raises to stop the work.
        encode: makes tokens float16 `[n, Hp, Wp, C]` of them.

    Raises:
        UserError: the output folder belongs to another build, or has no room.
        RunError: a frame is damaged, or tokens cannot be stored. Finished shards stay.
        Interrupted: by Ctrl-C or SIGTERM; finished shards stay.

    """
    start_s = time.monotonic()
    folder = BuildFolder(request.out, asked_by=_argument)
    if not request.overwrite:
        folder.check(
            request.owner()
        )  # before the lock, whose notes would be a change to the folder of another
    with folder.lock() as lease:
        if not request.overwrite:
            folder.check(request.owner())
        folder.claim(request.owner())
        tasks = request.tasks()
        done = folder.finished(tasks)
        to_do = [task for task in tasks if task.name not in done]
        if to_do:
            _check_room(request, to_do)
            folder.begin(to_do)
            frames = sum(len(task.frames) for task in to_do)
            with (
                full_disk_explained(folder.store, tasks, done),
                HeldInterrupts() as interrupts,
                Progress("computing features", frames, "frames") as progress,
            ):

                def check_stop() -> None:
                    interrupts.check()
                    lease()

                written = (
                    (
                        task,
                        write_feature_shard(
                            task, frames_of(task, check_stop), encode, progress.advance, check_stop
                        ),
                    )
                    for task in to_do
                )
                folder.record(written, done, len(tasks))
        rows = sort_rows(_with_labels(request.rows, done))
        index = index_bytes(rows)
        manifest = replace(
            make_manifest(
                config={**request.config(), "frames": request.info.frames},
                image_size=request.frames.image_size,
                games=request.frames.games,
                shards=[shard.entry for shard in done.values()],
                rows=rows,
                index=index,
            ),
            features=request.info.to_plain(),
        )
        lease.check()
        with full_disk_explained(folder.store, tasks, done):
            changed = folder.publish(done.keys(), index, manifest.to_json()) or bool(to_do)
    return FeatureReport(
        manifest=manifest,
        written=len(to_do),
        frames_written=sum(len(task.frames) for task in to_do),
        changed=changed,
        seconds=time.monotonic() - start_s,
    )


def bytes_needed(info: FeatureInfo, frames: int) -> int:
    """On disk, for so many frames."""
    return frames * (info.stored_bytes + _TAR_BYTES)


def _with_labels(rows: Rows, done: Mapping[str, FinishedShard]) -> list[dict[str, Any]]:
    """The rows of the frames' index, each pointing at its tokens."""
    place = {row["key"]: row for shard in done.values() for row in shard.rows}
    return [{**row, **{name: place[row["key"]][name] for name in _PLACE}} for row in rows]


def _check_room(request: FeatureRequest, to_do: Sequence[FeatureTask]) -> None:
    """Told now, not when an hour's work has filled the disk."""
    store = open_store(request.out)
    needed, free = bytes_needed(request.info, sum(len(task.frames) for task in to_do)), store.free_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"--out {store}: the features need about {megabytes(needed)}, {megabytes(free)} are free",
            remedy="make room, choose another disk, or store half as much with --dtype int8",
        )


def _argument(key: str, value: Any) -> str:
    """How the command line asks for a value of the notes."""
    if key == "shards":
        return str(value)
    return "" if key == "weights" else f"--{key} {value}"
