"""A closer look at a window: the picture about its ball, magnified, in place of one of another size.

The fallback for training at several input sizes: a batch, its buffers and the model have one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracknet.datasets.augmentations import Augmentation
from tracknet.utils.geometry import FloatArray, Size
from tracknet.utils.settings import ZoomConfig


def zoomed(
    augmentation: Augmentation, config: ZoomConfig, size: Size, points: FloatArray, rng: np.random.Generator
) -> Augmentation:
    """The transform after a magnification, or the very same where none is drawn.

    Args:
        augmentation: what is done to the picture otherwise.
        config: how often, and by how much.
        size: of the pictures.
        points: `[n, 2]`, the window's balls in input pixels. Their middle stays where it is in the picture, so that
            no crop loses them; without one a point of the picture does.
        rng: the window's own.
    """
    chance, factor, x, y = rng.random(4)
    if not chance < config.prob:
        return augmentation
    balls = points[~np.isnan(points[:, 0])]
    still = balls.mean(axis=0) if len(balls) else np.array([x, y]) * size - 0.5
    scale = float(config.most**factor)
    about = np.diag([scale, scale, 1.0])
    about[:2, 2] = (1.0 - scale) * np.clip(still, -0.5, np.array(size) - 0.5)
    return replace(augmentation, matrix=augmentation.matrix @ about, only_flip=False)
