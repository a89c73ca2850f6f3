"""Runs a model over a split: every frame once, as predictions in frame pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.batch import Batch, SampleSpec
from tracknet.datasets.loader import StreamLoader
from tracknet.models.model import TrackNet
from tracknet.training.metrics.predictions import Predictions
from tracknet.training.precision import Precision
from tracknet.utils.geometry import scaling
from tracknet.utils.heatmap import DECODERS, blob_score, peak_score

OnBatch = Callable[[int, Batch, torch.Tensor], None]


def evaluation_spec(model: TrackNet) -> SampleSpec:
    """The samples that a model is evaluated on: its own windows, sizes and targets, without augmentation."""
    heatmap = model.config.heatmap
    return SampleSpec(
        sequence=model.sequence,
        input_size=model.input_size,
        heatmap_size=heatmap.size,
        sigma_cells=heatmap.sigma,
        map_frames=model.map_frames,
        class_weights=(0.0, 1.0, 1.0, 1.0),
        augment=None,
        seed=0,
    )


@torch.no_grad()
def points_in_frame(model: TrackNet, batch: Batch, logits: torch.Tensor, decode: str) -> torch.Tensor:
    """Where a decoder finds the ball: logits `[B, M, h, w]` to (x, y) in frame pixels, float64 `[B, M, 2]`, on the CPU.

    Args:
        model: whose heatmaps they are.
        batch: what the logits were computed from; brings the map back to the frame, augmentation included.
        logits: on any device.
        decode: name of a decoder.
    """
    heatmap = model.config.heatmap
    # Two numbers a map: float64 is had on the CPU everywhere, and on some devices not at all.
    cells = DECODERS[decode](logits, heatmap.sigma).cpu().double()
    matrix = batch.to_frame @ torch.as_tensor(scaling(heatmap.size, model.input_size))
    return torch.einsum("bij,bmj->bmi", matrix[:, :2, :2], cells) + matrix[:, None, :2, 2]


@torch.no_grad()
def predict_split(
    model: TrackNet,
    loader: StreamLoader,
    precision: Precision,
    *,
    decoders: Sequence[str],
    on_batch: OnBatch | None = None,
) -> dict[str, Predictions]:
    """Predictions for every frame of an evaluation stream, each from the window that it anchors.

    Args:
        model: put into evaluation mode, and back.
        loader: of an evaluation stream.
        precision: device and arithmetic.
        decoders: names; the model runs once whatever their number.
        on_batch: called with (step, batch on the CPU, logits) after each batch; may raise to stop.

    Returns:
        Decoder name -> predictions.
    """
    was_training = model.training
    model.eval()
    column = model.map_frames.index(model.sequence.anchor_index)
    rows, scores, blobs = [], [], []
    points: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in decoders}
    try:
        for step, batch in enumerate(loader.epoch()):
            with precision.autocast():
                logits = model(batch.frames.to(precision.device))
            if on_batch is not None:
                on_batch(step, batch, logits)
            keep = batch.valid.numpy()
            rows.append(batch.rows[:, column].numpy()[keep])
            scores.append(peak_score(logits[:, column]).double().cpu().numpy()[keep])
            blobs.append(blob_score(logits[:, column])[keep])
            for name in decoders:
                xy_px = points_in_frame(model, batch, logits, name)
                points[name].append(xy_px[:, column].numpy()[keep])
    finally:
        model.train(was_training)
    table = loader.stream.table
    return {name: Predictions.of_rows(table, rows, points[name], scores, blobs) for name in decoders}
