"""Balls drawn into a heatmap that may hold others already."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tracknet.utils.heatmap import draw_gaussians


def draw_gaussian(heatmap: npt.NDArray[Any], x_cells: float, y_cells: float, sigma_cells: float) -> None:
    """One more gaussian into `heatmap` `[h, w]`, in place, by maximum."""
    drawn = np.zeros_like(heatmap)
    draw_gaussians([drawn], np.array([[x_cells, y_cells]]), sigma_cells)
    np.maximum(heatmap, drawn, out=heatmap)
