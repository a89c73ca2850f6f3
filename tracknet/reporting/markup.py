"""HTML from data: everything that comes from a file is escaped here, on its way into the page."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from tracknet.utils.files import finite_or_none

DASH = "–"


def number(value: Any, *, digits: int = 3) -> str:
    """A figure for a reader: whole numbers with thousands marks, others with fixed digits, a dash for none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return DASH
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}"


def real(value: Any) -> float | None:
    """A finite number as float; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def count(value: Any) -> str:
    """A number of frames, given as int or float; a dash for none."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{round(value):,}" if known else DASH


def interval(ends: Any, *, digits: int = 3) -> str:
    """`[0.812, 0.894]`, or nothing where an end is missing."""
    if not isinstance(ends, Sequence) or len(ends) != 2:
        return ""
    low, high = (number(float(end) if isinstance(end, int) else end, digits=digits) for end in ends)
    return "" if DASH in (low, high) else f"[{low}, {high}]"


def tag(name: str, content: str = "", **attributes: str | None) -> str:
    """An element around ready markup; attribute values are escaped, `class_` is `class`, `data_x` is `data-x`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>"


def plain(value: Any) -> str:
    """Any value as escaped text; lists joined by commas, a dash for nothing."""
    if value is None or value in ("", [], {}):
        return DASH
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, float):
        return escape(f"{value:.6g}") if math.isfinite(value) else DASH
    return escape(str(value))


def sentence(text: Any) -> str:
    """Words of a file as an escaped sentence, with a capital and a full stop; nothing for nothing."""
    words = str(text or "").strip()
    return escape(words[:1].upper() + words[1:].rstrip(".") + "." * bool(words))


def optimism_mark(report: Mapping[str, Any]) -> str:
    """The dagger beside figures that depend on a threshold chosen on the reported games themselves, else nothing."""
    reasons = report.get("optimistic_because")
    is_marked = report.get("optimistic") and (reasons is None or "threshold" in reasons)
    return (
        '<sup class="flag" title="the threshold was chosen on these very games">†</sup>' if is_marked else ""
    )


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """A definition list of names and values; dictionaries become lists inside lists."""
    rows = []
    for name, value in pairs:
        inner = facts(value.items()) if isinstance(value, dict) and value else plain(value)
        rows.append(f"<div><dt>{escape(str(name))}</dt><dd>{inner}</dd></div>")
    return f'<dl class="facts">{"".join(rows)}</dl>'


def json_block(identity: str, value: Any) -> str:
    """Data for the page's script: JSON in which no text can end the element or begin another."""
    text = json.dumps(finite_or_none(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{escape(identity)}">{text}</script>'


def data_uri(picture: bytes) -> str:
    """A JPEG or PNG file as an address that holds it."""
    kind = "jpeg" if picture.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
