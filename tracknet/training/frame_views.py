"""Chosen frames with what the model saw in them, for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.loader import StreamLoader
from tracknet.datasets.reader import ShardReader
from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.shard_streams import evaluation_stream
from tracknet.datasets.table import FrameTable
from tracknet.training.evaluation import evaluation_spec, predict_split
from tracknet.training.metrics import Predictions
from tracknet.training.model_evaluation import ModelRun
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.progress import Progress
from tracknet.utils.settings import LoaderConfig


@dataclass(frozen=True)
class FrameView:
    """One frame of a split.

    Attributes:
        key: of the sample.
        frame: uint8 RGB `[H, W, 3]`, as stored.
        heatmap: float32 `[h, w]`, 0..1; `None` without a model.
        true_xy_px: (x, y) in pixels of `frame`; NaN where the ball is absent.
        predicted_xy_px: (x, y) in pixels of `frame`; NaN where no guess was made.
    """

    key: str
    frame: npt.NDArray[np.uint8]
    heatmap: npt.NDArray[np.float32] | None
    true_xy_px: tuple[float, float]
    predicted_xy_px: tuple[float, float]


def frame_views(
    shards: ShardSet,
    predictions: Predictions,
    rows: Sequence[int],
    made: ModelRun | None = None,
    *,
    workers: int = 0,
) -> list[FrameView]:
    """Reads some frames, and runs the model again on what it needs for their heatmaps and no more.

    Args:
        shards: the whole split.
        predictions: of that split's frames, in its order.
        rows: of `predictions`, the frames wanted.
        made: the model, whose batch size fits into memory; without one there are no heatmaps.
        workers: loading processes.

    Raises:
        RunError: a shard is damaged.
    """
    heatmaps = {} if made is None or not rows else _heatmaps(shards, rows, made, workers)
    reader, views = ShardReader(shards), []
    for row in rows:
        frame = reader.read(row)
        source = Size(*shards.table.source_size[row].tolist())
        to_stored = scaling(source, Size(frame.shape[1], frame.shape[0]))
        true, predicted = (
            transform_points(to_stored, points[row]) for points in (shards.table.xy_px, predictions.xy_px)
        )
        views.append(
            FrameView(
                key=shards.table.keys[row],
                frame=frame,
                heatmap=heatmaps.get(row),
                true_xy_px=(float(true[0]), float(true[1])),
                predicted_xy_px=(float(predicted[0]), float(predicted[1])),
            )
        )
    reader.close()
    return views


def _heatmaps(
    shards: ShardSet, rows: Sequence[int], made: ModelRun, workers: int
) -> dict[int, npt.NDArray[np.float32]]:
    model = made.model
    needed = _with_neighbours(shards.table, rows, (model.sequence.length - 1) * model.sequence.stride)
    stream = evaluation_stream(shards.take(needed), evaluation_spec(model), batch_size=made.batch_size)
    wanted = set(rows)
    found: dict[int, npt.NDArray[np.float32]] = {}

    with Progress("heatmaps", len(needed), "frames") as progress:

        def keep(subset_rows: npt.NDArray[np.int64], logits: torch.Tensor) -> None:
            progress.advance(len(subset_rows))
            for slot, row in enumerate(needed[subset_rows].tolist()):
                if row in wanted:
                    found[row] = logits[slot].sigmoid().cpu().numpy()

        loader = StreamLoader(stream, LoaderConfig(workers=workers))
        try:
            predict_split(
                model,
                loader,
                made.precision,
                decoders=[],
                overlap=made.origin.overlap,
                flip=made.origin.flip,
                on_maps=keep,
            )
        finally:
            loader.close()
    return found


def _with_neighbours(table: FrameTable, rows: Sequence[int], reach: int) -> npt.NDArray[np.int64]:
    """The rows and all within `reach` rows of them in the same clip, ascending: a window holds no others."""
    near = np.asarray(rows, np.int64)[:, None] + np.arange(-reach, reach + 1)
    inside = (near >= 0) & (near < len(table))
    near_in = np.clip(near, 0, len(table) - 1)
    same_clip = table.clip_id[near_in] == table.clip_id[np.asarray(rows, np.int64)][:, None]
    return np.unique(near[inside & same_clip])
