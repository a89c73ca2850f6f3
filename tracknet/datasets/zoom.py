"""A closer look at a window: the picture about its ball, magnified, in place of one of another size.

The fallback for training at several input sizes: a batch, its buffers and the model have one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tracknet.datasets.augmentations import Augmentation
from tracknet.utils.geometry import FloatArray, Size, transform_points
from tracknet.utils.settings import ZoomConfig


def zoomed(
    augmentation: Augmentation, config: ZoomConfig, size: Size, points: FloatArray, rng: np.random.Generator
) -> Augmentation:
    """The transform after a magnification, or the very same where none is drawn.

    Args:
        augmentation: what is done to the picture otherwise.
        config: how often, and by how much.
        size: of the pictures.
        points: `[n, 2]`, the window's balls in input pixels. Their middle stays where it is in the picture, and the
            factor ends where one of them would leave it; without one a point of the picture stays.
        rng: the window's own.
    """
    chance, factor, x, y = rng.random(4)
    if not chance < config.prob:
        return augmentation
    balls = points[~np.isnan(points[:, 0])]
    still = balls.mean(axis=0) if len(balls) else np.array([x, y]) * size - 0.5
    still = np.clip(still, -0.5, np.array(size) - 0.5)
    scale = min(float(config.most**factor), _most_that_keeps(balls, still, size, augmentation.matrix))
    about = np.diag([scale, scale, 1.0])
    about[:2, 2] = (1.0 - scale) * still
    return replace(augmentation, matrix=augmentation.matrix @ about, whole=None)


def _most_that_keeps(balls: FloatArray, still: FloatArray, size: Size, matrix: FloatArray) -> float:
    """The largest factor about a point with which no ball leaves the picture that the transform alone leaves there.

    Of the outermost pixels' centres, not of the border, where rounding would decide.
    """
    centre, plain = transform_points(matrix, still), transform_points(matrix, balls)
    last = np.array(size) - 1.0
    plain = plain[((plain >= -0.5) & (plain < last + 0.5)).all(axis=1)]
    outwards = plain - centre
    room = np.where(outwards > 0, last - centre, -centre)
    # A ball at the point itself stays there.
    moves = np.abs(outwards) > 1e-9
    return max(1.0, float((room[moves] / outwards[moves]).min(initial=np.inf)))
