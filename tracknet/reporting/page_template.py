"""A page as one HTML file: a template of `assets/`, what it shows, and the only style and script that it may use."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files


def filled_page(
    template: str, parts: Mapping[str, str], *, styles: Sequence[str], scripts: Sequence[str]
) -> str:
    """The page, whose content security policy admits these styles and scripts alone, and pictures that it holds.

    Args:
        template: name in `assets/`; `{{name}}` marks where a part comes, and where `style`, `script` and `policy` do.
        parts: name -> ready markup. Parts are put in once and never searched for further marks.
        styles: in order, their text.
        scripts: names in `assets/`, in order; they are one scope.
    """
    style = "".join(styles)
    script = "\n".join(['"use strict";', *map(asset, scripts)])
    script = f"(() => {{\n{script}}})();\n"
    whole = {
        **parts,
        "style": style,
        "script": script,
        "policy": escape(
            f"default-src 'none'; script-src {_content_hash(script)}; style-src {_content_hash(style)}; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: whole[mark[1]], asset(template))


def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return (files("tracknet.reporting") / "assets" / name).read_text("utf-8")


def _content_hash(text: str) -> str:
    """By which a content security policy admits one inline script or style: `'sha256-...'`."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
