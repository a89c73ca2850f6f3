"""Which stored features a model may be fed in place of running its frozen backbone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tracknet.datasets.features import AskedBy, FeatureSet, open_features
from tracknet.datasets.index_checks import OnLost
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import input_place
from tracknet.datasets.shard_set import ShardSet
from tracknet.models.frame_encoder import identity_of
from tracknet.models.model import TrackNet
from tracknet.utils.config import leaves, to_plain
from tracknet.utils.nearest_config import nearest_model, settings_to_be
from tracknet.utils.settings import Config


class FeatureOpener(Protocol):
    """Opens the features of a split."""

    def __call__(self, frames: ShardSet, on_lost: OnLost | None = None) -> FeatureSet | None:
        """The tokens of some frames; shards of them may be lost where `on_lost` (of `open_shards`) is given."""


def feature_opener(
    spec: str | None,
    model: TrackNet,
    asked_by: AskedBy,
    cache: ShardCache | None = None,
) -> FeatureOpener:
    """What opens the features of a split: `None` for every split where `spec` is `None`.

    The frames themselves come with them where the model's decoder looks at them.

    Args:
        spec: folder or URL of the features.
        model: whose backbone they must be of; its weights are hashed once.
        asked_by: of `open_features`.
        cache: for features behind a URL; the usual one where not given.

    Raises:
        UserError: the model has no backbone; or, from what is returned, as `open_features` does.
    """
    if spec is None:
        return lambda frames, on_lost=None: None
    place, backbone = input_place(spec, cache), identity_of(model)

    def opened(frames: ShardSet, on_lost: OnLost | None = None) -> FeatureSet | None:
        return open_features(
            place, frames, backbone, with_frames=model.sees_pixels, asked_by=asked_by, on_lost=on_lost
        )

    return opened


def builder_options(config: Config, weights: Path | None = None, noted: str | None = None) -> list[str]:
    """What tells `pipelines.build_features` which backbone a training begins with.

    Args:
        config: of the training.
        weights: the model folder that it begins with, if any.
        noted: the `--model` that tokens of this backbone were computed by, where that is known.

    Returns:
        What they were computed by, where the configuration says all of it; else that folder; else the config in
        configs/model that is nearest, and what of the backbone is otherwise; where none is, the name is left open.
    """
    # A random backbone of other weights than the configuration begins with has a seed that it does not say.
    begun_elsewhere = config.training.init_from is not None and not config.model.backbone.pretrained
    if noted is not None and (Path(noted).is_dir() or not begun_elsewhere):
        settings = [] if Path(noted).is_dir() else settings_to_be(config, noted, _of_the_backbone)
        if settings is not None:
            return ["--model", noted, *settings]
    if weights is not None:
        return ["--model", str(weights)]
    return nearest_model(config, _of_the_backbone) or ["--model", "MODEL"]


def _of_the_backbone(config: Config) -> dict[str, Any]:
    """Dotted keys and values of what a backbone begins with."""
    # Tokens are of a frozen one in any case.
    flat = leaves(to_plain(replace(config.model.backbone, freeze=False)), "model.backbone")
    # Of random weights; what is pretrained has none of it, and the builder's own is as good.
    seed = 0 if config.model.backbone.pretrained else config.training.seed
    return {**flat, "training.seed": seed}
