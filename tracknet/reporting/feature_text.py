"""A feature build in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def feature_text(folder: str, figures: Mapping[str, Any]) -> str:
    """What a person reads of a feature build.

    Args:
        folder: of the build.
        figures: `build_id`, `features` (as its manifest has them, and `bytes_per_frame`) and `totals`.
    """
    features, totals = figures["features"], figures["totals"]
    backbone = features["backbone"]
    (width, height), (columns, rows) = backbone["image_size"], backbone["grid"]
    lines = [
        f"{folder}: features of {totals['frames']:,} frames of {width}x{height}, {totals['bytes'] / 1e6:,.1f} MB "
        f"(build {figures['build_id'][:12]})",
        f"  backbone  {backbone['name']}, weights {backbone['weights_sha256'][:12]}, run in {features['computed_in']}",
        f"  tokens    {columns}x{rows} of {backbone['channels']} channels in {features['dtype']}, "
        f"{features['bytes_per_frame'] / 1e3:,.1f} kB a frame",
        f"  frames    of build {features['frames_build'][:12]}",
    ]
    lines += [
        f"  {split:8}  {part['frames']:,} frames of {part['clips']:,} clips in {part['shards']:,} shards"
        for split, part in totals["splits"].items()
    ]
    return "\n".join(lines)
