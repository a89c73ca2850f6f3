"""What a dataset is, from its index alone: counts, the ball's speed, imbalance, and signs of leakage."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.datasets.contents import Contents
from tracknet.datasets.schema import SPLITS, Status, Visibility
from tracknet.datasets.table import NO_STATUS
from tracknet.utils.naming import listed

SUSPICIOUS_SPEED = 0.25
"""Of the frame's width, from one frame to the next. The fastest of 18,791 steps in the published tennis labels is an
eighth of it, 160 px of 1280."""
_PERCENTILES = (("median", 50), ("p90", 90), ("p99", 99), ("max", 100))
_LISTED = 10


def describe(contents: Contents) -> dict[str, Any]:
    """Plain values for people and machines.

    Keys: `folder`, `build_id`, `image_size`, `made_elsewhere`, `totals`, `splits` (per split the counts of
    games, clips, frames, shards, bytes, visibility, status, source sizes, gaps, labels outside the picture,
    the ball's speed, hits and bounces), `duplicates` and `leakage`.
    """
    manifest = contents.manifest
    clips = contents.clip_ids
    present = [split for split in SPLITS if (contents["split"] == split).any()]
    bytes_of = Counter[str]()
    shards_of = Counter[str]()
    for entry in manifest.shards:
        bytes_of[entry.split] += entry.bytes
        shards_of[entry.split] += 1
    splits = {}
    for split in present:
        rows = np.flatnonzero(contents["split"] == split)
        splits[split] = {
            "shards": shards_of[split],
            "bytes": bytes_of[split],
            **_counts(contents, rows, clips),
            "ball_speed_px_per_frame": _speeds(contents, rows, clips),
        }
    return {
        "folder": str(contents.folder),
        "build_id": manifest.build_id,
        "made_elsewhere": bool(manifest.config.get("made_elsewhere")),
        "image_size": list(manifest.image_size),
        "totals": {"frames": len(contents), "bytes": sum(bytes_of.values()), "shards": len(manifest.shards)},
        "splits": splits,
        "duplicates": _exact_duplicates(contents),
        "leakage": _leakage(contents),
    }


def _counts(contents: Contents, rows: npt.NDArray[np.int64], clips: npt.NDArray[np.int64]) -> dict[str, Any]:
    visibility = Counter(contents["visibility"][rows].tolist())
    status = Counter(contents["status"][rows].tolist())
    width, height = contents["source_width"][rows], contents["source_height"][rows]
    x, y = contents["x_px"][rows], contents["y_px"][rows]
    sizes = Counter(f"{w}x{h}" for w, h in zip(width.tolist(), height.tolist(), strict=True))
    # Comparisons with NaN are false: absent balls are nowhere outside.
    outside = (x < -0.5) | (y < -0.5) | (x >= width - 0.5) | (y >= height - 0.5)
    same_clip = np.diff(clips[rows]) == 0
    flying = status[int(Status.FLYING)]
    return {
        "games": list(dict.fromkeys(contents["game"][rows].tolist())),
        "clips": len(np.unique(clips[rows])),
        "frames": len(rows),
        "visibility": {str(code.value): visibility[code.value] for code in Visibility},
        "absent_share": round(visibility[0] / len(rows), 6),
        "status": {
            **{code.name.lower(): status[code.value] for code in Status},
            "none": status[NO_STATUS],
        },
        "flying_per_hit_or_bounce": round(flying / (status[1] + status[2]), 3)
        if status[1] + status[2]
        else None,
        "source_sizes": dict(sizes.most_common()),
        "missing_frames": int((np.diff(contents["frame"][rows])[same_clip] - 1).sum()),
        "labels_outside": _some(contents, rows[outside]),
    }


def _speeds(contents: Contents, rows: npt.NDArray[np.int64], clips: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Frame pixels from a frame with a ball to the next of its clip, where that one has a ball too."""
    xy = np.stack([contents["x_px"][rows], contents["y_px"][rows]], axis=1)
    neighbours = (np.diff(clips[rows]) == 0) & (np.diff(contents["frame"][rows]) == 1)
    speed = np.linalg.norm(np.diff(xy, axis=0), axis=1)
    known = neighbours & ~np.isnan(speed)
    limit = SUSPICIOUS_SPEED * contents["source_width"][rows][1:]
    # A comparison with NaN is false.
    suspicious = known & (speed > limit)
    moving = speed[known]
    return {
        "pairs": len(moving),
        **{
            name: round(float(np.percentile(moving, q)), 2) if len(moving) else None
            for name, q in _PERCENTILES
        },
        "suspicious_share": round(float(suspicious.sum()) / max(len(moving), 1), 6),
        "suspicious": _some(contents, rows[1:][suspicious]),
    }


def _some(contents: Contents, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {"count": len(rows), "first": contents["key"][rows[:_LISTED]].tolist()}


def _exact_duplicates(contents: Contents) -> dict[str, Any]:
    """Frames made from the very same bytes, or stored as the very same bytes, by how far apart they are."""
    stored = list(zip(contents["crc32c"].tolist(), contents["size"].tolist(), strict=True))
    return {
        "same_source": _groups(contents, _source_frames(contents)),
        "same_stored_bytes": _groups(contents, stored),
    }


def _source_frames(contents: Contents) -> list[Any]:
    """What each frame was made from: a picture's content, or a video's and the frame's number in it."""
    sources = contents["source"].tolist()
    frames_of = Counter(sources)
    return [
        (sha256, frame if frames_of[source] > 1 else None)
        for sha256, source, frame in zip(
            contents["source_sha256"].tolist(), sources, contents["frame"].tolist(), strict=True
        )
    ]


def _groups(contents: Contents, identity: list[Any]) -> dict[str, Any]:
    rows_of: dict[Any, list[int]] = defaultdict(list)
    for row, value in enumerate(identity):
        rows_of[value].append(row)
    groups = [rows for rows in rows_of.values() if len(rows) > 1]
    split, game, key = contents["split"], contents["game"], contents["key"]
    across_splits = [rows for rows in groups if len({split[row] for row in rows}) > 1]
    across_games = [rows for rows in groups if len({game[row] for row in rows}) > 1]
    return {
        "frames": sum(len(rows) for rows in groups),
        "groups": len(groups),
        "groups_across_games": len(across_games),
        "groups_across_splits": len(across_splits),
        "first": [
            [key[row] for row in rows[:3]] for rows in (across_splits or across_games or groups)[:_LISTED]
        ],
    }


def _leakage(contents: Contents) -> list[str]:
    """What of one split is also in another, as sentences."""
    found = []
    for what, names in (("game", ("game",)), ("clip", ("game", "clip"))):
        splits_of: dict[str, set[str]] = defaultdict(set)
        for split, *name in zip(
            contents["split"].tolist(), *(contents[n].tolist() for n in names), strict=True
        ):
            splits_of["/".join(name)].add(split)
        shared = [name for name, splits in splits_of.items() if len(splits) > 1]
        if shared:
            found.append(f"{len(shared)} {what}(s) in more than one split: {listed(shared, _LISTED)}")
    sources = _groups(contents, contents["source_sha256"].tolist())
    if count := sources["groups_across_splits"]:
        example = " = ".join(sources["first"][0])
        found.append(f"{count:,} source picture(s) in more than one split, such as {example}")
    return found
