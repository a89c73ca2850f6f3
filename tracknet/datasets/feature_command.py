"""The command that computes features: what a person runs where some are missing or damaged."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from tracknet.datasets.feature_format import DTYPES
from tracknet.datasets.remote_path import RemotePath
from tracknet.datasets.schema import OWNER_NAME

_AMP = {"fp32": "off"}


def feature_command(
    frames: object, out: object, options: Sequence[str], alike: tuple[str, str] | None = None
) -> str:
    """`python -m pipelines.build_features ...`.

    Args:
        frames: the build that they are of.
        out: the folder for them.
        options: whose tokens: `--model` and settings.
        alike: how what is in that folder already was computed and stored: `computed_in` and `dtype` of `FeatureInfo`.
    """
    how = []
    if alike is not None:
        computed_in, dtype = alike
        how = ["--amp", _AMP.get(computed_in, computed_in)]
        how += ["--dtype", dtype] if dtype != DTYPES[0] else []
    return shlex.join(
        ["python", "-m", "pipelines.build_features", str(frames), "--out", str(out), *options, *how]
    )


def noted_request(folder: Path | RemotePath) -> dict[str, str]:
    """What the builder noted of its command line: `shards`, `model`, `amp` (as `computed_in` of `FeatureInfo`) and
    `dtype`; empty where no notes are at hand.
    """
    if isinstance(folder, RemotePath):
        return {}
    try:
        notes = json.loads((folder / OWNER_NAME).read_text())
        return {key: str(notes[key]) for key in ("shards", "model", "amp", "dtype")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
