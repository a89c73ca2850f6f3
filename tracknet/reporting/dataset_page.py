"""A page of a dataset's frames to look through: one file, no network, no scripts but its own."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from tracknet.reporting.sample_sheet import ShownFrame


def dataset_page(title: str, summary: str, warnings: Sequence[str], frames: Sequence[ShownFrame]) -> str:
    """The page as HTML. Frames can be filtered by split, game and visibility, and looked at one by one.

    Args:
        title: of the page.
        summary: figures, as `dataset_text` gives them.
        warnings: as `dataset_warnings` gives them.
        frames: to show, with their labels drawn over them by the browser.
    """
    template = files("tracknet.reporting").joinpath("dataset_page.html").read_text(encoding="utf-8")
    data = json.dumps({"frames": [_plain(frame) for frame in frames]})
    # Names come from the data set, which is not trusted: none may end the element.
    values = {
        "TITLE": html.escape(title),
        "SUMMARY": html.escape(summary),
        "WARNINGS": "".join(f"<li>{html.escape(warning)}</li>" for warning in warnings),
        "DATA": data.replace("<", "\\u003c").replace("&", "\\u0026"),
    }
    head, *parts = template.split("{{")
    return head + "".join(values[name] + rest for name, _, rest in (part.partition("}}") for part in parts))


def _plain(frame: ShownFrame) -> Mapping[str, Any]:
    height, width = frame.image.shape[:2]
    kind = "jpeg" if frame.file.startswith(b"\xff\xd8") else "png"
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
        "src": f"data:image/{kind};base64,{base64.b64encode(frame.file).decode()}",
    }
