"""What differs between two plans of a stream, in the words of the settings that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_NOT_STATED = "not stated"
_AUGMENT = "sample.augment."
# The plan's words -> the settings that they come from.
_SETTING_OF = {
    "seed": "training.seed",
    "batch_size": "training.batch_size",
    "lanes": "data.loader.lanes",
    "run_length": "data.loader.run_length",
    "weights": "the weights of data.sources",
    "windows": "the number of windows",
    "windows_of_sources": "the number of windows of each source",
    "order": "the version of the order's rules",
    "shards": "the list of shards",
    "build_id": "the build of the shards",
    "builds": "the list of builds",
    "validation_frames": "the number of validation frames",
    "blocks": "the number of blocks of shards",
    "cache_bytes": "data.cache.max_gb, in bytes,",
    "features": "the build of data.features",
}


def plan_differences(now: dict[str, Any], then: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What differs between two plans, in words or as the setting that it comes from, with both values."""
    return ((_setting_of(key), one, other) for key, one, other in _differences(now, then))


def _differences(
    now: dict[str, Any], then: dict[str, Any], where: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys of what differs, with both values: of groups of settings only the keys that do."""
    for key in sorted({*now, *then}):
        pair = now.get(key, _NOT_STATED), then.get(key, _NOT_STATED)
        if now.get(key) == then.get(key):
            continue
        if _NOT_STATED in pair and where == _AUGMENT:
            # A plan leaves out parts that are off, and the ball's size with the last part that needs it.
            if key == "ball_px":
                continue
            if key == "warp_prob":
                mine, theirs = (1.0 if one == _NOT_STATED else one for one in pair)
                yield f"{where}{key}", mine, theirs
                continue
            if any(isinstance(one, dict) and "prob" in one for one in pair):
                mine, theirs = (one["prob"] if isinstance(one, dict) else 0.0 for one in pair)
                yield f"{where}{key}.prob", mine, theirs
                continue
        if key == "sample.sizes" and _NOT_STATED in pair:
            # A plan leaves them out where there are none.
            mine, theirs = ([] if one == _NOT_STATED else one["factors"] for one in pair)
            yield f"{key}.factors", mine, theirs
        elif any(isinstance(one, dict) and one.get("enabled") for one in pair) and None in pair:
            # The whole group is off on one side.
            yield f"{where}{key}.enabled", pair[0] is not None, pair[1] is not None
        elif isinstance(pair[0], dict) and isinstance(pair[1], dict):
            yield from _differences(*pair, f"{where}{key}.")
        else:
            yield f"{where}{key}", *pair


def _setting_of(key: str) -> str:
    if key.startswith("filter."):
        return f"data.{key}"
    if key.startswith("sample.sizes."):
        return f"training.{key.removeprefix('sample.')}"
    if key.startswith((_AUGMENT, "sample.sequence.")):
        return f"data.{key.removeprefix('sample.')}"
    return _SETTING_OF.get(key, key)
