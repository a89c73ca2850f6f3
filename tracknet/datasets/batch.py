"""What a training step gets: windows of frames with their target maps, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from tracknet.datasets.faults import FrameFault
from tracknet.datasets.late_transforms import is_identity, transform_frames
from tracknet.datasets.layout import BatchLayout


@dataclass
class Batch:
    """B windows of T frames with M target maps each.

    Attributes:
        frames: uint8 `[B, T, 3, H, W]`, RGB, not normalised (memory is channels-last); `[B, T, 3, 0, 0]` where the
            features are all that is wanted of them.
        heatmaps: float16 `[B, M, h, w]`, gaussians with maximum about 1; all zero where there is no ball. Of no cells
            until they are drawn, where steps are trained at several sizes (`sized_batches.at_size`).
        weights: float32 `[B, M]`, of each map in the loss; 0 is masked.
        xy_px: float32 `[B, M, 2]`, true (x, y) in *frame* pixels, NaN where the ball is absent. Of the picture as it
            is: where `data.augment` moved or hid the ball, so are these; of two mixed windows, the larger share's.
        visibility: uint8 `[B, M]`, 0 to 3, of the picture as it is.
        to_frame: float64 `[B, 3, 3]`, input pixels (as augmented) to frame pixels.
        late_matrix: float64 `[B, 3, 3]`, what `to` will do to the frames: where their pixels go; the identity where the
            workers have augmented them.
        late_colour: float64 `[B, 3, 4]`, what `to` will do to the colours: what becomes of (R, G, B, 1), 0..255; the
            identity where the workers have augmented them.
        rows: int64 `[B, M]`, rows of the frame table that the maps stand for.
        valid: bool `[B]`, false for windows that only fill up the last batch of an evaluation, or lack a frame.
        padded: bool `[B]`, the window repeats a frame at its clip's end.
        features: float16 `[B, T, C, Hp, Wp]` of the frames (memory is channels-last), where they are streamed.
        balls: float64 `[B, M, 3]` where the heatmaps are still to be drawn: (x, y) in input pixels, NaN for an empty
            map, and the map's weight as it was before windows were mixed.
        mix: float64 `[B]` where the heatmaps are still to be drawn: of the first window of a pair that is mixed the
            larger share, else 0.
        step: of the epoch.
        faults: frames that could not be had (their windows are masked: `weights` 0, `valid` false, empty
            heatmaps, the frame itself grey) or were slow to come.
    """

    frames: torch.Tensor
    heatmaps: torch.Tensor
    weights: torch.Tensor
    xy_px: torch.Tensor
    visibility: torch.Tensor
    to_frame: torch.Tensor
    late_matrix: torch.Tensor
    late_colour: torch.Tensor
    rows: torch.Tensor
    valid: torch.Tensor
    padded: torch.Tensor
    features: torch.Tensor | None = None
    balls: torch.Tensor | None = None
    mix: torch.Tensor | None = None
    step: int = 0
    faults: tuple[FrameFault, ...] = ()

    @classmethod
    def over(
        cls, buffer: torch.Tensor, layout: BatchLayout, *, step: int, faults: tuple[FrameFault, ...] = ()
    ) -> Batch:
        """The batch that lies in a uint8 buffer; its tensors are views of it."""
        parts = layout.tensors(buffer)
        for name in ("frames", "features"):
            if name in parts:
                parts[name] = parts[name].permute(0, 1, 4, 2, 3)
        return cls(**parts, step=step, faults=faults)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Batch:
        """The same batch with what the model and the loss take on a device; the rest is for the CPU.

        Frames that the workers left as they were are augmented there.
        """
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in self._names("frames", "features", "heatmaps", "weights")
        }
        if not is_identity(self.late_matrix, self.late_colour):
            moved["frames"] = transform_frames(moved["frames"], self.late_matrix, self.late_colour)
            moved["late_matrix"] = torch.eye(3, dtype=torch.float64).repeat(len(self), 1, 1)
            moved["late_colour"] = torch.eye(3, 4, dtype=torch.float64).repeat(len(self), 1, 1)
        return replace(self, **moved)

    def part(self, start: int, stop: int) -> Batch:
        """The windows `start` to `stop` as a batch of views; its faults stay with the whole."""
        names = self._names(*TENSORS, *_OPTIONAL)
        return replace(self, faults=(), **{name: getattr(self, name)[start:stop] for name in names})

    def pin_memory(self) -> Batch:
        """The same batch in pinned memory."""
        return replace(
            self, **{name: getattr(self, name).pin_memory() for name in self._names(*TENSORS, *_OPTIONAL)}
        )

    @staticmethod
    def cat(batches: Sequence[Batch]) -> Batch:
        """Several batches as one: the `collate_fn` of a map-style loader."""
        names = batches[0]._names(*TENSORS, *_OPTIONAL)
        columns: dict[str, Any] = {name: torch.cat([getattr(b, name) for b in batches]) for name in names}
        faults = tuple(fault for batch in batches for fault in batch.faults)
        return Batch(**columns, step=batches[0].step, faults=faults)

    def _names(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]


_OPTIONAL = ("features", "balls", "mix")
TENSORS = tuple(f.name for f in fields(Batch) if f.name not in (*_OPTIONAL, "step", "faults"))
"""What every batch has."""
