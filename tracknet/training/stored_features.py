"""Which stored features a model may be fed in place of running its frozen backbone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tracknet.datasets.features import FeatureSet, open_features
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import input_place
from tracknet.datasets.shard_set import ShardSet
from tracknet.models.frame_encoder import identity_of
from tracknet.models.model import TrackNet
from tracknet.utils.config import config_folders, load_config, to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.settings import Config


class FeatureOpener(Protocol):
    """Opens the features of a split."""

    def __call__(
        self, frames: ShardSet, on_lost: Callable[[str, int], None] | None = None
    ) -> FeatureSet | None:
        """The tokens of some frames; shards of them may be lost where `on_lost` (of `open_shards`) is given."""


def feature_opener(
    spec: str | None,
    model: TrackNet,
    asked_by: Callable[[], Sequence[str]],
    cache: ShardCache | None = None,
) -> FeatureOpener:
    """What opens the features of a split: `None` for every split where `spec` is `None`.

    The frames themselves come with them where the model's decoder looks at them.

    Args:
        spec: folder or URL of the features.
        model: whose backbone they must be of; its weights are hashed once.
        asked_by: what `pipelines.build_features` is to be told to compute the tokens of this model.
        cache: for features behind a URL; the usual one where not given.

    Raises:
        UserError: the model has no backbone; or, from what is returned, as `open_features` does.
    """
    if spec is None:
        return lambda frames, on_lost=None: None
    place, backbone = input_place(spec, cache), identity_of(model)

    def opened(frames: ShardSet, on_lost: Callable[[str, int], None] | None = None) -> FeatureSet | None:
        return open_features(
            place, frames, backbone, with_frames=model.sees_pixels, asked_by=asked_by, on_lost=on_lost
        )

    return opened


def builder_options(config: Config, weights: Path | None = None) -> list[str]:
    """What tells `pipelines.build_features` which backbone a training begins with.

    Args:
        config: of the training.
        weights: the model folder that it begins with, if any.

    Returns:
        That folder; else the config in configs/model that is nearest, and what of the backbone is otherwise.
    """
    if weights is not None:
        return ["--model", str(weights)]
    names = sorted({path.stem for folder in config_folders() for path in (folder / "model").glob("*.yaml")})
    found = {name: overrides for name in names if (overrides := _overrides(name, config)) is not None}
    name = min(found, key=lambda name: len(found[name]))
    return ["--model", name, *found[name]]


def _overrides(name: str, config: Config) -> list[str] | None:
    """What makes a model config's backbone that of a configuration; `None` where nothing does."""
    try:
        other = load_config(model=name)
    except UserError:
        return None
    mine, theirs = (_flat(one) for one in (config, other))
    if other.model.backbone.is_none or theirs.keys() - mine.keys():
        return None
    return [
        f"{key}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for key, value in mine.items()
        if key not in theirs or theirs[key] != value
    ]


def _flat(config: Config) -> dict[str, Any]:
    """Dotted keys and values of what a backbone begins with."""
    backbone = to_plain(config.model.backbone)
    inner = backbone.pop("config")
    # Tokens are of a frozen one in any case.
    flat = {f"model.backbone.{key}": value for key, value in backbone.items() if key != "freeze"}
    flat |= {f"model.backbone.config.{key}": value for key, value in inner.items()}
    # Of random weights; what is pretrained has none of it, and the builder's own is as good.
    seed = 0 if config.model.backbone.pretrained else config.training.seed
    return {**flat, "training.seed": seed}
