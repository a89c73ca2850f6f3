"""Overlay pictures of a few validation frames, the same ones after every epoch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.batch import Batch
from tracknet.datasets.loader import StreamLoader
from tracknet.models.model import TrackNet
from tracknet.reporting.overlays import overlay
from tracknet.training.distributed import Ranks
from tracknet.training.evaluation import points_in_frame
from tracknet.utils.geometry import transform_points
from tracknet.utils.spacing import evenly_spaced


class OverlayCollector:
    """Draws evenly spread frames of an evaluation while it runs."""

    def __init__(self, model: TrackNet, loader: StreamLoader, count: int) -> None:
        """Chooses the frames.

        Args:
            model: whose predictions to draw.
            loader: of the evaluation.
            count: frames to draw; 0 for none.
        """
        stream = loader.stream
        self._model = model
        self._table = stream.table
        self._open_source = stream.open_source
        self._position = model.sequence.anchor_index
        self._column = model.map_frames.index(self._position)
        # Only frames with a ball: an empty one shows nothing of what was learned.
        rows = np.flatnonzero(stream.table.visibility > 0)
        self._chosen = set(evenly_spaced(rows.tolist(), count))
        self._images: dict[int, npt.NDArray[np.uint8]] = {}

    def take(self, step: int, batch: Batch, logits: torch.Tensor) -> None:
        """Draws the chosen frames of a batch."""
        del step
        rows = batch.rows[:, self._column].tolist()
        slots = [slot for slot, row in enumerate(rows) if row in self._chosen and row not in self._images]
        if not slots:
            return
        points = points_in_frame(self._model, batch, logits, self._model.config.heatmap.decode)
        to_input = torch.linalg.inv(batch.to_frame)
        probability = logits.sigmoid().float().cpu().numpy()
        for slot in slots:
            matrix = to_input[slot].numpy()
            self._images[rows[slot]] = overlay(
                self._picture(batch, slot, rows[slot]),
                target=batch.heatmaps[slot, self._column].float().numpy(),
                prediction=probability[slot, self._column],
                true_xy_px=_moved(matrix, batch.xy_px[slot, self._column]),
                predicted_xy_px=_moved(matrix, points[slot, self._column]),
                caption=f"{self._table.keys[rows[slot]]}  score {probability[slot, self._column].max():.2f}",
            )

    def _picture(self, batch: Batch, slot: int, row: int) -> npt.NDArray[np.uint8]:
        """A window's anchor frame, uint8 RGB `[H, W, 3]`; read by itself where batches hold features alone."""
        frame = batch.frames[slot, self._position]
        if not frame.numel():
            return self._open_source().read(row)
        return np.ascontiguousarray(frame.permute(1, 2, 0).numpy())

    def images(self, ranks: Ranks | None = None) -> list[npt.NDArray[np.uint8]]:
        """The pictures drawn, of all ranks, in the frames' order: uint8 RGB `[H, W + 3 H, 3]`."""
        images = {
            row: image for part in (ranks or Ranks()).objects(self._images) for row, image in part.items()
        }
        return [images[row] for row in sorted(images)]


def _moved(matrix: npt.NDArray[np.float64], xy: torch.Tensor) -> tuple[float, float]:
    x, y = transform_points(matrix, xy.numpy())
    return float(x), float(y)
