"""Finds the options that ask a command for a given model: the most similar file in configs/model, and overrides for
whatever differs from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tracknet.utils.config import config_folders, load_config
from tracknet.utils.errors import UserError
from tracknet.utils.settings import Config

Aspect = Callable[[Config], dict[str, Any]]
"""What is compared of a configuration: dotted keys and plain values."""


def nearest_model(config: Config, aspect: Aspect) -> list[str] | None:
    """`--model NAME key=value ...`: the config in configs/model that takes the fewest settings to be like this one.

    `None` where none can be made so.
    """
    names = sorted({path.stem for folder in config_folders() for path in (folder / "model").glob("*.yaml")})
    found = {
        name: settings for name in names if (settings := settings_to_be(config, name, aspect)) is not None
    }
    if not found:
        return None
    name = min(found, key=lambda name: len(found[name]))
    return ["--model", name, *found[name]]


def settings_to_be(config: Config, name: str, aspect: Aspect) -> list[str] | None:
    """The `key=value` that make a model config like a configuration; `None` where nothing does.

    Args:
        config: that is wanted.
        name: in configs/model, or the path of a file.
        aspect: what of it counts.
    """
    try:
        other = load_config(model=name)
    except UserError:
        return None
    mine, theirs = aspect(config), aspect(other)
    if other.model.backbone.is_none != config.model.backbone.is_none or theirs.keys() - mine.keys():
        return None
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in mine.items()
        if key not in theirs or theirs[key] != value
    ]
