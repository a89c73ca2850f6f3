"""The field's networks, our own code of what was published, to be measured against on the same data.

They are whole: pixels of a window in, a map of the input's size out. Adding one is one file, one line here and its
name in `settings.ModelConfig.architecture`.
"""

from __future__ import annotations

from tracknet.models.baselines.tracknet_v2 import TrackNetV2
from tracknet.models.baselines.wasb import WASBNet

Baseline = TrackNetV2 | WASBNet
BASELINES: dict[str, type[TrackNetV2] | type[WASBNet]] = {"tracknet_v2": TrackNetV2, "wasb": WASBNet}

__all__ = ["BASELINES", "Baseline"]
