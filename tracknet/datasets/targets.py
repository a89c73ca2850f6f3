"""What a model is to answer: a map for every label of a batch, and what each weighs in the loss."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tracknet.datasets.sample_spec import SampleSpec
from tracknet.utils.geometry import FloatArray, scaling, transform_points
from tracknet.utils.heatmap import draw_gaussians


class Targets:
    """Draws the target maps of samples of one kind."""

    def __init__(self, spec: SampleSpec) -> None:
        self._spec = spec
        self._to_heatmap = scaling(spec.input_size, spec.heatmap_size)
        self._class_weights = np.array(spec.class_weights, np.float32)

    def draw(
        self,
        to_input: FloatArray,
        xy_px: FloatArray,
        visibility: npt.NDArray[np.int8],
        heatmaps: npt.NDArray[np.float16],
        weights: npt.NDArray[np.float32],
    ) -> None:
        """Draws the maps of all windows of a batch, and sets their weights.

        Args:
            to_input: `[B, 3, 3]`, frame pixels to input pixels as augmented.
            xy_px: float64 `[B, M, 2]`, the labels in frame pixels; NaN where there is no ball.
            visibility: int8 `[B, M]`.
            heatmaps: float16 `[B, M, h, w]`, written to.
            weights: float32 `[B, M]`, written to.
        """
        spec = self._spec
        points = transform_points(to_input, xy_px)
        inside = spec.input_size.contains_each(points[..., 0], points[..., 1])
        weights[:] = self._class_weights[visibility]
        # Augmentation moved the ball out of the picture: it is as absent as any.
        weights[~np.isnan(points[..., 0]) & ~inside] = spec.class_weights[0]
        heatmaps.fill(0)
        cells = transform_points(self._to_heatmap, points)[inside]
        maps = [heatmaps[slot, number] for slot, number in np.argwhere(inside).tolist()]
        draw_gaussians(maps, cells, spec.sigma_cells)
