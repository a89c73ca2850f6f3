"""What an exported file is and says of itself: written by `export_graph`, read by `exported_model`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tracknet.models.persistence import SavedModel, read_description
from tracknet.utils.config import from_plain, to_plain
from tracknet.utils.errors import UserError

EXPORT_VERSION = 1
METADATA_KEY = "tracknet"
"""Of an ONNX file's metadata; of a .pt2 the name of the extra file."""
INPUT_NAME = "frames"
OUTPUT_NAMES = ("logits", "points_px", "scores")
"""The last two where points were asked for."""
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}


@dataclass(frozen=True)
class ExportMetadata:
    """What an exported file says of itself, as JSON.

    Attributes:
        saved: the model: sizes, window, heatmap, threshold, provenance.
        batch: windows that it takes at once; `None` takes any number.
        points: whether it gives points and scores beside the logits.
        half: whether its weights are float16.
    """

    saved: SavedModel
    batch: int | None
    points: bool
    half: bool
    format: str = "tracknet-export"
    format_version: int = EXPORT_VERSION

    def to_json(self) -> str:
        """As `read_metadata` takes it."""
        return json.dumps(to_plain(self), ensure_ascii=False, default=str)


def read_metadata(text: str | None, where: str) -> ExportMetadata:
    """The checked metadata of a file named `where`. Raises UserError."""
    try:
        plain: Any = json.loads(text or "null")
    except ValueError:
        plain = None
    if not isinstance(plain, dict) or plain.get("format") != "tracknet-export":
        raise UserError(
            f"{where} was not written by this software: it says nothing of windows, heatmaps and threshold",
            remedy="python -m tracknet.scripts.export MODEL --format onnx",
        )
    version, saved = plain.get("format_version"), plain.get("saved")
    if version != EXPORT_VERSION or not isinstance(saved, dict):
        raise UserError(
            f"{where} is an export of version {version}, this software reads {EXPORT_VERSION}",
            remedy="export the model again",
        )
    read_description(saved, where)
    return from_plain(ExportMetadata, plain, where=where)
