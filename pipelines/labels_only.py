"""New labels for old tars: rewrites index and manifest of a finished build, and encodes no picture.

The index has authority over the labels, so that is enough for every reader of this software. The tars keep the
`KEY.json` of the build that wrote them; the manifest's `labels` says which build that was and how many of each
shard's frames it concerns. The builder's notes stay those of the tars: a later build without `--labels-only`
writes the shards concerned anew, and one with the old labels restored finds nothing to write.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.build import BuildReport
from pipelines.build_folder import BuildFolder, NotedShard
from pipelines.publish import build_id, index_bytes, make_manifest, sort_rows
from pipelines.request import Prepared
from pipelines.shard_writer import ShardTask, label_columns
from tracknet.utils.errors import UserError, shorten
from tracknet.utils.files import hash_stream
from tracknet.utils.naming import counted

_LISTED = 20


def rewrite_labels(prepared: Prepared) -> BuildReport:
    """Puts the labels as they are now into the index of a finished build, under a build id of its own.

    Killed at any moment it leaves the build as it was, or no manifest and hence no dataset; the same command, or
    a build, then goes on.

    Raises:
        UserError: the folder holds no finished build of this request, or the frames are not those in the tars;
            all that differ are named.

    """
    start_s = time.monotonic()
    request, plan = prepared.request, prepared.plan
    folder = BuildFolder(request.out)
    config = request.config(plan)
    owner = prepared.owner()
    folder.check(owner)
    if not folder.exists():
        raise _no_build(prepared)
    with folder.lock() as lease:
        folder.check(owner)  # again, for what another build claimed since
        tasks = prepared.tasks()
        noted = folder.noted([task.name for task in tasks])
        missing = [task.name for task in tasks if task.name not in noted]
        if len(missing) == len(tasks):
            raise _no_build(prepared)
        differing = [f"{name} is missing, or not what was built" for name in missing]
        strangers = folder.shard_names() - {task.name for task in tasks}
        differing += [f"{name} is no part of the plan any more" for name in sorted(strangers)]
        differing += [
            line for task in tasks if task.name in noted for line in _differing(task, noted[task.name])
        ]
        if differing:
            raise _other_frames(prepared, differing)
        old = sort_rows(row for shard in noted.values() for row in shard.shard.rows)
        labels = {frame.key: label_columns(frame) for task in tasks for frame in task.frames}
        new = [{**row, **labels[row["key"]]} for row in old]
        overruled = Counter(was["shard"] for was, now in zip(old, new, strict=True) if was != now)
        index = index_bytes(new)
        manifest = make_manifest(
            config=config,
            image_size=request.size,
            games=plan.games,
            shards=[shard.shard.entry for shard in noted.values()],
            rows=new,
            index=index,
        )
        if overruled:
            of_tars = build_id(config, old)
            manifest = replace(
                manifest,
                build_id=build_id({**config, "tar_json_from": of_tars}, new),
                labels={"tar_json_from": of_tars, "frames": dict(sorted(overruled.items()))},
            )
        lease.check()
        changed = folder.publish(noted.keys(), index, manifest.to_json())
    return BuildReport(
        manifest=manifest,
        written=0,
        frames_written=0,
        changed=changed,
        left_out=tuple(line for shard in noted.values() for line in shard.shard.left_out),
        seconds=time.monotonic() - start_s,
    )


def _differing(task: ShardTask, noted: NotedShard) -> Iterator[str]:
    """What is not as it was when the shard was written; the labels do not count."""
    if noted.frames_fingerprint == task.frames_fingerprint():
        return
    rows = {row["key"]: row for row in noted.shard.rows}
    hashes: dict[str, str | None] = {}  # of sources; many frames may be of one file
    for frame in task.frames:
        row = rows.pop(frame.key, None)
        place = {"source": frame.source, "segment": frame.segment, "source_size": frame.frame_size}
        if row is None:
            yield f"{frame.source} is not in {task.name}"
        elif place != _place(row):
            yield f"{frame.source} is in {task.name} as another frame, or of another size"
        else:
            # Copied or touched: only its content tells.
            if frame.source not in hashes:
                hashes[frame.source] = _hash(task.root / frame.source)
            if hashes[frame.source] is None:
                yield f"{frame.source} cannot be read"
            elif hashes[frame.source] != row["source_sha256"]:
                yield f"{frame.source} has changed since {task.name} was written"
    for row in rows.values():
        yield f"{row['source']} is in {task.name} and has no label there any more"


def _hash(path: Path) -> str | None:
    """Of the file's bytes; `None` where it cannot be read, as when it went since its labels were read."""
    try:
        with path.open("rb") as file:
            return hash_stream(file)
    except OSError:
        return None


def _place(row: dict[str, Any]) -> dict[str, Any]:
    size = (row["source_width"], row["source_height"])
    return {"source": row["source"], "segment": row["segment"], "source_size": size}


def _no_build(prepared: Prepared) -> UserError:
    return UserError(
        f"--labels-only: --out {prepared.request.shown_out} is no finished build: no frames are there to be labelled",
        remedy="run the same command without --labels-only",
    )


def _other_frames(prepared: Prepared, differing: list[str]) -> UserError:
    return UserError(
        f"--labels-only: the frames are not those in {prepared.request.shown_out} "
        f"({counted(len(differing), 'difference')}), and only labels may differ",
        problems=shorten(differing, _LISTED),
        remedy="run the same command without --labels-only: it writes the shards that these touch, "
        "and the new labels with them",
    )
