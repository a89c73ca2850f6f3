"""Which stored features a model may be fed in place of running its frozen backbone."""

from __future__ import annotations

from collections.abc import Callable

from tracknet.datasets.features import FeatureSet, open_features
from tracknet.datasets.index import ShardSet
from tracknet.datasets.shard_cache import ShardCache
from tracknet.datasets.shard_names import place_of
from tracknet.models.frame_encoder import identity_of
from tracknet.models.model import TrackNet


def feature_opener(
    spec: str | None, model: TrackNet, cache: ShardCache | None = None
) -> Callable[[ShardSet], FeatureSet | None]:
    """What opens the features of a split: `None` for every split where `spec` is `None`.

    The frames themselves come with them where the model's decoder looks at them.

    Args:
        spec: folder or URL of the features.
        model: whose backbone they must be of; its weights are hashed once.
        cache: for features behind a URL; the usual one where not given.

    Raises:
        UserError: the model has no backbone; or, from what is returned, as `open_features` does.
    """
    if spec is None:
        return lambda frames: None
    place, backbone = place_of(spec, cache), identity_of(model)

    def opened(frames: ShardSet) -> FeatureSet | None:
        return open_features(place, frames, backbone, with_frames=model.sees_pixels)

    return opened
