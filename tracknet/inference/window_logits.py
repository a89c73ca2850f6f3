"""The logits of every frame's window, from frames that come a few at a time.

Windows of T frames overlap in all but one, and the backbone sees each frame by itself: its features are computed once
per frame and kept for as long as a later window needs them. There is one window per frame, its anchor; at a run's
ends the frame there repeats, as in `tracknet.datasets.windows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch

from tracknet.inference.heatmap_model import HeatmapModel, SplitModel
from tracknet.models.mirrored import average_of_mirrored
from tracknet.models.precision import Precision
from tracknet.models.window_overlap import Rows


class WindowLogits:
    """One run of consecutive frames, numbered 0, 1, 2, ... as they are added."""

    def __init__(self, model: HeatmapModel, precision: Precision, *, flip: bool, batch_size: int) -> None:
        """Begins a run.

        Args:
            model: in evaluation mode, on the device.
            precision: device and arithmetic.
            flip: average with the mirror image.
            batch_size: most windows at once.
        """
        self._model, self._precision, self._flip = model, precision, flip
        self._batch_size = batch_size
        sequence = model.sequence
        self._offsets = (np.arange(sequence.length) - sequence.anchor_index) * sequence.stride
        self._map_columns = list(model.map_frames)
        self._split = model if isinstance(model, SplitModel) else None
        self._count = self._next = self._kept_from = 0
        self._frames: torch.Tensor | None = None
        self._features: list[torch.Tensor] = []  # of the frames, and of their mirror images

    def add(self, frames: torch.Tensor) -> Iterator[tuple[Rows, torch.Tensor]]:
        """Takes the next frames, uint8 `[N, 3, H, W]` on the CPU; gives the windows that they complete.

        Yields:
            The numbers of the frames that the maps are about, int64 `[B, M]`, windows in order; logits `[B, M, h, w]`
            on the device.
        """
        frames = frames.to(self._precision.device, non_blocking=True)
        features = self._encode(frames)
        if self._frames is not None:
            frames = torch.cat([self._frames, frames])
            features = [torch.cat(pair) for pair in zip(self._features, features, strict=True)]
        self._frames, self._features = frames, features
        self._count = self._kept_from + len(frames)
        yield from self._windows(self._count - int(self._offsets[-1]))
        # A later window reaches no further back than the next one.
        drop = max(self._next + int(self._offsets[0]), 0) - self._kept_from
        if drop > 0:
            # Copies: a view would keep all of the frames that it is a part of.
            self._frames = frames[drop:].clone()
            self._features = [part[drop:].clone() for part in features]
            self._kept_from += drop

    def finish(self) -> Iterator[tuple[Rows, torch.Tensor]]:
        """The windows that reach past the last frame; otherwise as `add`."""
        yield from self._windows(self._count)

    def _windows(self, end: int) -> Iterator[tuple[Rows, torch.Tensor]]:
        """The windows anchored at the frames up to `end` that have not been given yet."""
        while self._next < end:
            anchors = np.arange(self._next, min(self._next + self._batch_size, end))
            rows = np.clip(anchors[:, None] + self._offsets, 0, self._count - 1)
            yield rows[:, self._map_columns], self._logits(torch.as_tensor(rows - self._kept_from))
            self._next = int(anchors[-1]) + 1

    @torch.no_grad()
    def _encode(self, frames: torch.Tensor) -> list[torch.Tensor]:
        if self._split is None:
            return []
        views = [frames, frames.flip(-1)] if self._flip else [frames]
        with self._precision.autocast():
            return [self._split.encode_frames(view) for view in views]

    @torch.no_grad()
    def _logits(self, places: torch.Tensor) -> torch.Tensor:
        """Of windows whose frames lie at places `[B, T]` of what is kept."""
        kept = cast(torch.Tensor, self._frames)
        places = places.to(kept.device)
        frames = kept[places]
        views = [frames, frames.flip(-1)] if self._flip else [frames]
        with self._precision.autocast():
            if self._split is None:
                made = [self._model(view) for view in views]
            else:
                made = [
                    self._split.decode_features(features[places], view)
                    for features, view in zip(self._features, views, strict=True)
                ]
        return average_of_mirrored(made[0], made[1].flip(-1)) if self._flip else made[0]
