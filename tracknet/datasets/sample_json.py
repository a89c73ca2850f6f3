"""Reads a sample's `KEY.json`, our own or one made elsewhere; `schema.sample_json` writes it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tracknet.datasets.schema import Visibility
from tracknet.utils.geometry import Size

MOST_JSON_BYTES = 64 << 10
IMAGE_SUFFIX = re.compile(r"\.(jpg|jpeg|png)", re.IGNORECASE)


def split_name(name: str) -> tuple[str, str]:
    """A member's key and suffix, as WebDataset splits them but for folders: at the file name's first dot."""
    file = name.rpartition("/")[2]
    key, dot, suffix = file.partition(".")
    return key, dot + suffix


@dataclass(frozen=True, slots=True)
class SampleLabel:
    """What a `KEY.json` says of its frame; the fields are those of the index."""

    game: str
    clip: str
    frame: int
    xy_px: tuple[float, float] | None
    visibility: int
    status: int | None
    source_size: Size


def read_sample_json(content: bytes, *, key: str, stored: Size) -> SampleLabel:
    """The label in a sample's `KEY.json`, also one made elsewhere, which may leave fields out.

    Only `xy_px` must be there. `visibility` is then 1 where there is a point and 0 where there is none,
    `status` null, `source_size` the stored picture's size; `game`, `clip` and `frame` come from a key such as
    `game1_Clip3_0042`.

    Args:
        content: the member's bytes.
        key: the sample's key.
        stored: size of the stored picture.

    Raises:
        ValueError: says every field that is wrong, without the member's name.
    """
    if len(content) > MOST_JSON_BYTES:
        raise ValueError(f"has {len(content):,} bytes, more than the {MOST_JSON_BYTES:,} of any label")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from None
    if not isinstance(body, dict):
        raise ValueError("is no JSON object")
    wrong = []
    xy = body.get("xy_px")
    if "xy_px" not in body or not (xy is None or _are_numbers(xy)):
        wrong.append(
            f"xy_px is {_brief(xy) if 'xy_px' in body else 'missing'}: give [x, y] in pixels, or null"
        )
        xy = None
    visibility = body.get("visibility", int(xy is not None))
    if not (_is_int(visibility) and 0 <= visibility <= 3):
        wrong.append(f"visibility is {_brief(visibility)}: give 0, 1, 2 or 3")
    elif not wrong and (visibility == Visibility.ABSENT) != (xy is None):
        wrong.append(
            f"visibility is {visibility} and xy_px {_brief(xy)}: there is no point exactly where it is 0"
        )
    status = body.get("status")
    if not (status is None or (_is_int(status) and 0 <= status <= 2)):
        wrong.append(f"status is {_brief(status)}: give 0, 1, 2 or null")
    size = body.get("source_size", list(stored))
    if not (isinstance(size, list) and len(size) == 2 and all(_is_int(n) and 0 < n < 2**16 for n in size)):
        wrong.append(f"source_size is {_brief(size)}: give [width, height]")
    named = re.fullmatch(r"(.+)_(.+)_(\d{1,9})", key)
    game: Any
    clip: Any
    frame: Any
    game, clip, frame = (
        body.get(name, named[number] if named else None)
        for number, name in enumerate(("game", "clip", "frame"), 1)
    )
    frame = int(frame) if "frame" not in body and isinstance(frame, str) else frame
    for name, value in (("game", game), ("clip", clip)):
        if not (isinstance(value, str) and value.isprintable() and 0 < len(value) <= 200 and _is_name(value)):
            wrong.append(f"{name} is {_brief(value)}: give a name, or a key such as game1_Clip3_0042")
    if not (_is_int(frame) and 0 <= frame < 2**31):
        wrong.append(f"frame is {_brief(frame)}: give its number, or a key such as game1_Clip3_0042")
    if wrong:
        raise ValueError("; ".join(wrong))
    return SampleLabel(
        game=game,
        clip=clip,
        frame=frame,
        xy_px=None if xy is None else (float(xy[0]), float(xy[1])),
        visibility=visibility,
        status=status,
        source_size=Size(*size),
    )


def _is_name(value: str) -> bool:
    """Whether it could be a folder's name, which is where names of games and clips come from."""
    return not any(char in value for char in "/\\") and value not in (".", "..")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    """Whether this is a point; pictures have no more than 65,535 pixels a side, so nothing is beyond a million."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < 1e6 for n in value)
    )


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:50]}..."
