"""Runs a model over a split: every frame once, as predictions in frame pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.batch import Batch
from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.models.mirrored import mirrored_average
from tracknet.models.model import TrackNet
from tracknet.models.precision import Precision
from tracknet.models.window_overlap import FrameMaps, resolve_overlap
from tracknet.training.distributed import Ranks
from tracknet.training.evaluation_parts import EvaluationParts
from tracknet.training.metrics.predictions import Predictions
from tracknet.utils.geometry import cells_to_frames, scaling
from tracknet.utils.heatmap import DECODERS, blob_score, peak_score

A = TypeVar("A", bound=npt.NDArray[np.generic])
OnBatch = Callable[[int, Batch, torch.Tensor], None]
OnMaps = Callable[[npt.NDArray[np.int64], torch.Tensor], None]


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
def points_in_frame(model: TrackNet, batch: Batch, logits: torch.Tensor, decoder: str) -> torch.Tensor:
    """Where a decoder finds the ball: logits `[B, M, h, w]` to (x, y) in frame pixels, float64 `[B, M, 2]`, on the CPU.

    Args:
        model: whose heatmaps they are.
        batch: what the logits were computed from; brings the map back to the frame, augmentation included.
        logits: on any device.
        decoder: name of a decoder.
    """
    cells = DECODERS[decoder](logits, model.config.heatmap.sigma).cpu()
    return cells_in_frame(model, batch.to_frame, cells)


def cells_in_frame(model: TrackNet, to_frame: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """Heatmap cells (x, y) `[B, M, 2]` to frame pixels, float64 `[B, M, 2]`; all on the CPU.

    Args:
        model: whose heatmaps they are of.
        to_frame: float64 `[B, 3, 3]` of their batch.
        cells: any float dtype.
    """
    # Two numbers a map: float64 is had on the CPU everywhere, and on some devices not at all.
    matrix = to_frame @ torch.as_tensor(scaling(model.config.heatmap.size, model.input_size))
    return torch.einsum("bij,bmj->bmi", matrix[:, :2, :2], cells.double()) + matrix[:, None, :2, 2]


@torch.no_grad()
def predict_split(
    model: TrackNet,
    loader: StreamLoader,
    precision: Precision,
    *,
    decoders: Sequence[str],
    overlap: str | None = None,
    flip: bool = False,
    on_batch: OnBatch | None = None,
    on_maps: OnMaps | None = None,
    ranks: Ranks | None = None,
    parts: EvaluationParts | None = None,
) -> dict[str, Predictions]:
    """Predictions for every frame of an evaluation stream.

    Of several ranks each answers for a part of the frames, and runs the windows of its neighbours that see them too.
    A rank's batches are those of one process with its batch size, so that the predictions are the same numbers.

    Args:
        model: put into evaluation mode, and back.
        loader: of an evaluation stream, or of this rank's part of it.
        precision: device and arithmetic.
        decoders: names; the model runs once whatever their number.
        overlap: how the maps of all windows that see a frame become one; `None` is the model's default
            (`window_overlap.resolve_overlap`).
        flip: average with the mirror image; the model runs twice.
        on_batch: called with (step, batch on the CPU, logits of its windows) after each batch; may raise to stop.
        on_maps: called with (rows of the stream's table `[n]`, logits `[n, h, w]`): what points are read from.
        ranks: who else predicts parts of the split; all get the whole.
        parts: how batches are cut for the model, and what is said if memory runs out; `None` takes them whole.

    Returns:
        Decoder name -> predictions.

    Raises:
        UserError: windows are to be combined that have one map each.
        RunError: a part of a batch does not fit into memory (with `parts`).
    """
    ranks = ranks or Ranks()
    combined = FrameMaps(resolve_overlap(overlap, model.num_maps), model.sequence, model.map_frames)
    table, heatmap = loader.stream.table, model.config.heatmap
    rows: list[npt.NDArray[np.int64]] = []
    scores: list[npt.NDArray[np.float64]] = []
    blobs: list[npt.NDArray[np.float64]] = []
    points: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in decoders}

    first, end = loader.stream.own_rows()

    def read(found: npt.NDArray[np.int64], maps: torch.Tensor) -> None:
        mine = (found >= first) & (found < end)
        if not mine.all():
            found, maps = found[mine], maps[torch.from_numpy(mine).to(maps.device)]
        if not len(found):
            return
        if on_maps is not None:
            on_maps(found, maps)
        rows.append(found)
        scores.append(peak_score(maps).double().cpu().numpy())
        blobs.append(blob_score(maps))
        for name in decoders:
            cells = DECODERS[name](maps, heatmap.sigma).cpu().numpy()
            points[name].append(cells_to_frames(cells, heatmap.size, table.source_size[found]))

    def forward(part: Batch) -> torch.Tensor:
        moved = part.to(precision.device)
        with precision.autocast():
            made = mirrored_average(model, moved.frames) if flip else model(moved.frames, moved.features)
        return cast(torch.Tensor, made)

    was_training, logits = model.training, None
    model.eval()
    try:
        batches = loader.epoch()
        for step in range(loader.num_steps):
            batch = ranks.agreed(lambda: next(batches))
            logits = forward(batch) if parts is None else ranks.agreed(partial(parts.logits, batch, forward))
            if on_batch is not None:
                on_batch(step, batch, logits)
            keep = batch.valid.numpy()
            read(*combined.add(batch.rows.numpy()[keep], logits[batch.valid.to(logits.device)]))
        if logits is not None:
            read(*combined.rest(logits))
    finally:
        model.train(was_training)
    rows, scores, blobs = _of_all(ranks, rows), _of_all(ranks, scores), _of_all(ranks, blobs)
    points = {name: _of_all(ranks, own) for name, own in points.items()}
    return {name: Predictions.of_rows(table, rows, points[name], scores, blobs) for name in decoders}


def own_frames(loader: StreamLoader, batch: Batch) -> int:
    """How many frames of a batch this rank answers for: over all batches and ranks, every frame once."""
    spec = loader.stream.spec
    rows = batch.rows[:, spec.map_frames.index(spec.sequence.anchor_index)]
    first, end = loader.stream.own_rows()
    return int((batch.valid & (rows >= first) & (rows < end)).sum())


def _of_all(ranks: Ranks, mine: list[A]) -> list[A]:
    """Every rank's arrays, in the order of the ranks, which is that of the split."""
    return [array for part in ranks.objects(mine) for array in part]
