"""What is refused of a build before a frame of it is read: shards of other sizes, rows and labels that cannot be.

The checks raise RunError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracknet.datasets.index_file import Columns
from tracknet.datasets.manifest import Manifest, ShardEntry
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.schema import INDEX_NAME
from tracknet.utils.errors import RunError, shorten
from tracknet.utils.tar_header import BLOCK_BYTES, shown

OnLost = Callable[[str, int, str], None]
"""Takes which shards are lost, in words, how many frames they hold, and what brings them back."""
_DO_NOT_USE = "do not use this folder: its index was damaged, or made to mislead; build it again"


def check_files(folder: Path, entries: Sequence[ShardEntry], on_lost: OnLost | None, remedy: str) -> None:
    """Every shard is there and has its size; the content is checked frame by frame when it is read.

    What is wrong is told to `on_lost` with the `remedy` where there is one, else raised with it.
    """
    problems, frames = [], 0
    for entry in entries:
        path = folder / entry.name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif (size := path.stat().st_size) != entry.bytes:
            problems.append(f"{path} has {size:,} bytes, its manifest says {entry.bytes:,}: cut or replaced")
        else:
            continue
        frames += entry.frames
    # Where nothing is left it is no damage but the wrong folder.
    if problems and on_lost is not None and len(problems) < len(entries):
        on_lost(
            f"{len(problems)} of {len(entries)} shards are not what was built: {'; '.join(shorten(problems))}",
            frames,
            remedy,
        )
    elif problems:
        raise RunError(
            f"{len(problems)} of {len(entries)} shards are not what was built",
            problems=shorten(problems),
            remedy=remedy,
        )


def check_names(folder: Path | RemotePath, index: Columns, manifest: Manifest) -> None:
    """No row is of a file that the build does not have."""
    if strange := set(index["shard"]) - {entry.name for entry in manifest.shards}:
        raise RunError(
            f"{folder / INDEX_NAME} has frames of {sorted(map(repr, strange))[0]}, which is no shard of this build",
            remedy=_DO_NOT_USE,
        )


def check_places(
    folder: Path | RemotePath, index: Columns, shard_id: npt.NDArray[np.int32], entries: Sequence[ShardEntry]
) -> None:
    """Every row points to a member of its shard, `entries[shard_id]` (int32 `[N]`), that no other row points to."""
    shard_bytes = np.array([entry.bytes for entry in entries], np.int64)
    misplaced = misplaced_rows(shard_id, index["offset"], index["size"], shard_bytes)
    if misplaced:
        raise RunError(
            f"{folder / INDEX_NAME}: {len(misplaced)} frames lie where no shard has one",
            problems=shorten(
                [
                    f"{entries[shard_id[row]].name}: {shown(index['key'][row])}: {what}"
                    for row, what in misplaced.items()
                ]
            ),
            remedy=_DO_NOT_USE,
        )


def misplaced_rows(
    shard_id: npt.NDArray[np.int32],
    offset: npt.NDArray[np.int64],
    size: npt.NDArray[np.int32],
    shard_bytes: npt.NDArray[np.int64],
) -> dict[int, str]:
    """Rows of an index that point where no member's content can be: row -> why.

    A member starts at a multiple of 512, behind its header, ends within its shard, and shares no byte with
    another. So no row can make a reader allocate more than the shard has, or serve one frame as two.

    Args:
        shard_id: `[N]`, position in `shard_bytes`.
        offset: `[N]`, of the content within its shard.
        size: `[N]`, of the content, bytes.
        shard_bytes: `[S]`, the shards' sizes.
    """
    wrong: dict[int, str] = {}
    room = shard_bytes[shard_id]
    # Not `offset + size > room`, which overflows.
    outside = (size < 1) | (offset < BLOCK_BYTES) | (offset % BLOCK_BYTES != 0) | (offset > room - size)
    for row in np.flatnonzero(outside).tolist():
        wrong[row] = f"{size[row]:,} bytes at {offset[row]:,} are no member of a tar of {room[row]:,} bytes"
    inside = np.flatnonzero(~outside)
    order = inside[np.lexsort((offset[inside], shard_id[inside]))]
    before, after = order[:-1], order[1:]
    overlap = (shard_id[before] == shard_id[after]) & (
        offset[after] - BLOCK_BYTES < offset[before] + size[before]
    )
    for first, second in zip(before[overlap].tolist(), after[overlap].tolist(), strict=True):
        wrong[second] = f"its bytes at {offset[second]:,} belong to the member at {offset[first]:,}"
    return wrong


def check_labels(folder: Path | RemotePath, index: Columns) -> None:
    """A point exactly where there is a ball: anything else would train on nonsense."""
    visibility = index["visibility"]
    has_point = np.isfinite(index["x_px"]) & np.isfinite(index["y_px"])
    wrong = (visibility < 0) | (visibility > 3) | ((visibility > 0) != has_point)
    if wrong.any():
        problems = [
            f"{shown(index['key'][row])}: visibility {visibility[row]} with the point "
            f"({index['x_px'][row]:g}, {index['y_px'][row]:g})"
            for row in np.flatnonzero(wrong).tolist()
        ]
        raise RunError(
            f"{folder / INDEX_NAME}: {len(problems)} labels contradict themselves",
            problems=shorten(problems),
            remedy=_DO_NOT_USE,
        )
