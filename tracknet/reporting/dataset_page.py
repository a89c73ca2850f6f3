"""A page of a dataset's frames to look through: one file, no network, no scripts but its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tracknet.reporting.markup import data_uri, json_block
from tracknet.reporting.page_template import asset, filled_page
from tracknet.reporting.sample_sheet import ShownFrame


def dataset_page(title: str, summary: str, warnings: Sequence[str], frames: Sequence[ShownFrame]) -> str:
    """The page as HTML. Frames can be filtered by split, game and visibility, and looked at one by one.

    Args:
        title: of the page.
        summary: figures, as `dataset_text` gives them.
        warnings: as `dataset_warnings` gives them.
        frames: to show, with their labels drawn over them by the browser.
    """
    parts = {
        "title": escape(title),
        "summary": escape(summary),
        "warnings": "".join(f"<li>{escape(warning)}</li>" for warning in warnings),
        "data": json_block("data", {"frames": [_plain(frame) for frame in frames]}),
    }
    return filled_page("dataset.html", parts, styles=[asset("dataset.css")], scripts=["dataset.js"])


def _plain(frame: ShownFrame) -> Mapping[str, Any]:
    height, width = frame.image.shape[:2]
    return {
        "key": frame.key,
        "split": frame.split,
        "game": frame.game,
        "clip": frame.clip,
        "visibility": frame.visibility,
        "status": frame.status,
        "xy": frame.xy_px,
        "frameXy": frame.frame_xy_px,
        "width": width,
        "height": height,
        "src": data_uri(frame.file),
    }
