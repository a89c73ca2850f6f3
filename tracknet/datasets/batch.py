"""What a training step gets, and how one sample of it is made from a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.augmentations import IDENTITY, draw_augmentation
from tracknet.datasets.plan import window_rng
from tracknet.datasets.reader import FrameSource
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import Windows
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.heatmap import draw_gaussian
from tracknet.utils.settings import AugmentConfig, Config, SequenceConfig


@dataclass
class Batch:
    """B windows of T frames with M target maps each.

    Attributes:
        frames: uint8 `[B, T, 3, H, W]`, RGB, not normalised (memory is channels-last).
        heatmaps: float16 `[B, M, h, w]`, gaussians with maximum about 1; all zero where there is no ball.
        weights: float32 `[B, M]`, of each map in the loss; 0 is masked.
        xy_px: float32 `[B, M, 2]`, true (x, y) in *frame* pixels, NaN where the ball is absent.
        visibility: uint8 `[B, M]`.
        to_frame: float64 `[B, 3, 3]`, input pixels (as augmented) to frame pixels.
        rows: int64 `[B, M]`, rows of the frame table that the maps stand for.
        valid: bool `[B]`, false for windows that only fill up the last batch of an evaluation.
        padded: bool `[B]`, the window repeats a frame at its clip's end.
        step: of the epoch.
    """

    frames: torch.Tensor
    heatmaps: torch.Tensor
    weights: torch.Tensor
    xy_px: torch.Tensor
    visibility: torch.Tensor
    to_frame: torch.Tensor
    rows: torch.Tensor
    valid: torch.Tensor
    padded: torch.Tensor
    step: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Batch:
        """The same batch with what the model and the loss take on a device; the rest is for the CPU."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("frames", "heatmaps", "weights")
        }
        return replace(self, **moved)

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory; the loader calls this where CUDA is."""
        pinned: dict[str, Any] = {
            f.name: getattr(self, f.name).pin_memory() for f in fields(self) if f.name != "step"
        }
        return replace(self, **pinned)

    @staticmethod
    def cat(batches: Sequence[Batch]) -> Batch:
        """Several batches as one: the `collate_fn` of a map-style loader."""
        names = [f.name for f in fields(Batch) if f.name != "step"]
        columns: dict[str, Any] = {name: torch.cat([getattr(b, name) for b in batches]) for name in names}
        return Batch(**columns, step=batches[0].step)


@dataclass(frozen=True)
class SampleSpec:
    """Everything that decides what a sample looks like, apart from the frames themselves.

    Attributes:
        sequence: length, stride and anchor of the windows.
        input_size: of the frames, input pixels.
        heatmap_size: of the targets, cells.
        sigma_cells: of the targets.
        map_frames: positions in the window that get a map: M of them.
        class_weights: loss weight of visibility 0, 1, 2, 3; 0 for absent balls that are masked.
        augment: `None` for none.
        seed: of the augmentation.
    """

    sequence: SequenceConfig
    input_size: Size
    heatmap_size: Size
    sigma_cells: float
    map_frames: tuple[int, ...]
    class_weights: tuple[float, float, float, float]
    augment: AugmentConfig | None
    seed: int

    @classmethod
    def for_training(cls, config: Config, input_size: Size) -> SampleSpec:
        """The samples that a configuration trains on."""
        sequence, loss = config.data.sequence, config.training.loss
        all_maps = config.model.head.maps == "all"
        weights = [loss.visibility_weights.get(code, 1.0) for code in range(4)]
        if loss.absent == "mask":
            weights[0] = 0.0
        return cls(
            sequence=sequence,
            input_size=input_size,
            heatmap_size=config.model.heatmap.size,
            sigma_cells=config.model.heatmap.sigma,
            map_frames=tuple(range(sequence.length)) if all_maps else (sequence.anchor_index,),
            class_weights=(weights[0], weights[1], weights[2], weights[3]),
            augment=config.data.augment if config.data.augment.enabled else None,
            seed=config.training.seed,
        )


class BatchAssembler:
    """Makes batches of windows: reads, augments, draws targets, straight into the batch's arrays."""

    def __init__(self, table: FrameTable, windows: Windows, spec: SampleSpec) -> None:
        self.table = table
        self.windows = windows
        self.spec = spec
        self._to_heatmap = scaling(spec.input_size, spec.heatmap_size)

    def assemble(
        self,
        source: FrameSource,
        window_ids: npt.NDArray[np.int64],
        *,
        epoch: int | npt.NDArray[np.int64] = 0,
        step: int = 0,
        valid: npt.NDArray[np.bool_] | None = None,
    ) -> Batch:
        """One batch.

        Args:
            source: where the frames come from.
            window_ids: int64 `[B]`.
            epoch: with the seed and the window it fixes the augmentation; one for all, or int64 `[B]`.
            step: carried along.
            valid: bool `[B]`; all true where not given.
        """
        spec, count, maps = self.spec, len(window_ids), len(self.spec.map_frames)
        epochs = np.broadcast_to(np.asarray(epoch), count)
        size, cells = spec.input_size, spec.heatmap_size
        frames = np.empty((count, spec.sequence.length, size.height, size.width, 3), np.uint8)
        heatmaps = np.zeros((count, maps, cells.height, cells.width), np.float16)
        weights = np.zeros((count, maps), np.float32)
        to_frame = np.empty((count, 3, 3), np.float64)
        window_rows = self.windows.rows(window_ids)
        map_rows = window_rows[:, list(spec.map_frames)]
        for slot, window in enumerate(window_ids):
            to_frame[slot] = self._fill(
                source,
                int(window),
                int(epochs[slot]),
                window_rows[slot],
                map_rows[slot],
                frames[slot],
                heatmaps[slot],
                weights[slot],
            )
        return Batch(
            frames=torch.from_numpy(frames).permute(0, 1, 4, 2, 3),
            heatmaps=torch.from_numpy(heatmaps),
            weights=torch.from_numpy(weights),
            xy_px=torch.from_numpy(self.table.xy_px[map_rows].astype(np.float32)),
            visibility=torch.from_numpy(self.table.visibility[map_rows].astype(np.uint8)),
            to_frame=torch.from_numpy(to_frame),
            rows=torch.from_numpy(map_rows),
            valid=torch.from_numpy(np.ones(count, np.bool_) if valid is None else valid),
            padded=torch.from_numpy(self.windows.padded(window_ids)),
            step=step,
        )

    def _fill(
        self,
        source: FrameSource,
        window: int,
        epoch: int,
        rows: npt.NDArray[np.int64],
        map_rows: npt.NDArray[np.int64],
        frames: npt.NDArray[np.uint8],
        heatmaps: npt.NDArray[np.float16],
        weights: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float64]:
        """Fills one slot of the batch; returns its `[3, 3]` map from input to frame pixels."""
        spec = self.spec
        augmentation = IDENTITY
        if spec.augment is not None:
            rng = window_rng(spec.seed, epoch, window)
            augmentation = draw_augmentation(spec.augment, spec.input_size, rng)
        for position, row in enumerate(rows):
            repeats = position > 0 and row == rows[position - 1]
            frames[position] = frames[position - 1] if repeats else augmentation.apply(source.read(int(row)))
        source_size = Size(*(int(n) for n in self.table.source_size[rows[0]]))
        to_input = augmentation.matrix @ scaling(source_size, spec.input_size)
        for number, row in enumerate(map_rows):
            weights[number] = spec.class_weights[int(self.table.visibility[row])]
            x, y = transform_points(to_input, self.table.xy_px[row])
            if np.isnan(x):
                continue
            if spec.input_size.contains(x, y):
                x_cells, y_cells = transform_points(self._to_heatmap, (x, y))
                draw_gaussian(heatmaps[number], x_cells, y_cells, spec.sigma_cells)
            else:
                # Augmentation moved the ball out of the picture: it is as absent as any.
                weights[number] = spec.class_weights[0]
        return np.asarray(np.linalg.inv(to_input), np.float64)
