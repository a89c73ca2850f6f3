"""Blur along a line: what an exposure makes of a straight motion at constant speed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.float32]
# Of the line, so that no sample is further than this from the next, in pixels.
_SAMPLE_PX = 0.2


def line_kernel(dx: float, dy: float, *, trailing: bool = False) -> Kernel:
    """The kernel, for `cv2.filter2D`, of a motion by (dx, dy) pixels during the exposure.

    Args:
        dx: columns, to the right.
        dy: rows, downwards.
        trailing: what is seen lies between the old place and `(-dx, -dy)` from it: the old place is where the motion
            ends. Otherwise the old place is its middle, and the centroid of a picture stays to the last digit.

    Returns:
        float32 `[k, k]`, k odd, of sum 1.
    """
    along = np.linspace(0.0, 1.0, max(2, math.ceil(math.hypot(dx, dy) / _SAMPLE_PX) + 1))
    if not trailing:
        along = along - 0.5
    reach = math.ceil(max(abs(dx), abs(dy)) * (1.0 if trailing else 0.5)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    # filter2D correlates: a weight at +v brings what is at +v to the middle, so it moves things by -v.
    x, y = reach + along * dx, reach + along * dy
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for column, of_x in ((left, left + 1 - x), (left + 1, x - left)):
        for row, of_y in ((top, top + 1 - y), (top + 1, y - top)):
            inside = (column < len(kernel)) & (row < len(kernel))
            np.add.at(kernel, (row[inside], column[inside]), (of_x * of_y)[inside])
    return np.asarray(kernel / kernel.sum(), np.float32)
