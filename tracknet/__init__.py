"""Find the ball in sports video.

Names are loaded when first used, so that `import tracknet` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracknet.inference.api import predict as predict
    from tracknet.inference.api import track as track
    from tracknet.inference.predictions import Predictions as Predictions
    from tracknet.models.model import TrackNet as TrackNet

__version__ = "0.1.0"

_LAZY = {
    "Predictions": "tracknet.inference.predictions",
    "TrackNet": "tracknet.models.model",
    "predict": "tracknet.inference.api",
    "track": "tracknet.inference.api",
}

__all__ = ["Predictions", "TrackNet", "__version__", "predict", "track"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
