"""What a model is to answer: a map for every label of a batch, and what each weighs in the loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.datasets.sample_spec import SampleSpec
from tracknet.utils.geometry import FloatArray, Size, scaling, transform_points
from tracknet.utils.heatmap import draw_gaussians


class Targets:
    """Places and weighs the targets of samples of one kind, and draws them."""

    def __init__(self, spec: SampleSpec) -> None:
        self._spec = spec
        self._class_weights = np.array(spec.class_weights, np.float32)

    def place(
        self,
        to_input: FloatArray,
        xy_px: FloatArray,
        visibility: npt.NDArray[np.int8],
        weights: npt.NDArray[np.float32],
    ) -> FloatArray:
        """Where the balls of a batch are, and what their maps weigh.

        Args:
            to_input: `[B, 3, 3]`, frame pixels to input pixels as augmented.
            xy_px: float64 `[B, M, 2]`, the labels in frame pixels; NaN where there is no ball.
            visibility: int8 `[B, M]`.
            weights: float32 `[B, M]`, written to.

        Returns:
            float64 `[B, M, 2]` in input pixels; NaN where the map is to be empty.
        """
        spec = self._spec
        points = transform_points(to_input, xy_px)
        inside = spec.input_size.contains_each(points[..., 0], points[..., 1])
        weights[:] = self._class_weights[visibility]
        # Augmentation moved the ball out of the picture: it is as absent as any.
        weights[~np.isnan(points[..., 0]) & ~inside] = spec.class_weights[0]
        points[~inside] = np.nan
        return points

    def draw(self, points: FloatArray, heatmaps: npt.NDArray[np.float16]) -> None:
        """Draws the maps `[B, M, h, w]` of what `place` gave."""
        draw_targets(points, self._spec.input_size, self._spec.sigma_cells, heatmaps)


def draw_targets(
    points: FloatArray, input_size: Size, sigma_cells: float, heatmaps: npt.NDArray[np.float16]
) -> None:
    """Draws the maps of all windows of a batch.

    Args:
        points: float64 `[B, M, 2]`, (x, y) in pixels of a picture of `input_size`; NaN for an empty map.
        input_size: of the picture.
        sigma_cells: of the gaussians.
        heatmaps: float16 `[B, M, h, w]`, written to.
    """
    heatmaps.fill(0)
    there = ~np.isnan(points[..., 0])
    to_heatmap = scaling(input_size, Size(heatmaps.shape[3], heatmaps.shape[2]))
    cells = transform_points(to_heatmap, points)[there]
    maps = [heatmaps[slot, number] for slot, number in np.argwhere(there).tolist()]
    draw_gaussians(maps, cells, sigma_cells)
