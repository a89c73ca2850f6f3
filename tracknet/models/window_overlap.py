"""One heatmap per frame from all the windows that see it: the temporal ensemble of models with a map per frame.

With T frames in and T maps out, window after window, every frame has up to T maps: one from each window that
holds it, at another position each. What several windows agree on stands out from what one of them imagines.
Source: Chen and Wang, "TrackNetV3" (MMAsia 2023), its temporal ensemble: `mean` and `weighted` are their `average`
and `weight`.

    none       the map of the window that the frame anchors, in which it is the middle one (or the last)
    mean       the average of the probabilities; the default
    max        the highest probability of each cell: finds more, and more that is no ball
    weighted   an average in which the window's middle counts most: weights 1 2 1 of three frames, 1 2 3 2 1 of
               five, 1 2 2 1 of four. A frame there has neighbours before and after it to be told apart from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tracknet.utils.errors import UserError
from tracknet.utils.heatmap import logits_of
from tracknet.utils.settings import SequenceConfig

OVERLAPS = ("mean", "max", "weighted", "none")

Rows = npt.NDArray[np.int64]


def resolve_overlap(asked: str | None, num_maps: int) -> str:
    """The name in `OVERLAPS` to use: `mean` where windows have several maps and nothing is asked for.

    Args:
        asked: a name, or `None`.
        num_maps: M, maps that the model makes of one window.

    Raises:
        UserError: windows are to be combined that have one map each.
    """
    if asked is None:
        return "mean" if num_maps > 1 else "none"
    if num_maps == 1 and asked != "none":
        raise UserError(
            f"--overlap {asked} combines several windows' maps of one frame, and this model makes one map a window: "
            "every frame is seen once",
            remedy="leave --overlap out, or train a model with a map per frame: model.head.maps=all",
        )
    return asked


def position_weights(how: str, length: int) -> tuple[float, ...]:
    """How much a window's map of its n-th frame counts: T numbers above 0."""
    if how != "weighted":
        return (1.0,) * length
    return tuple(float(min(position + 1, length - position)) for position in range(length))


@dataclass
class _Pending:
    """A frame's maps so far: their weighted sum (or maximum) `[h, w]` and the sum of the weights."""

    map: torch.Tensor
    weight: float


class FrameMaps:
    """Combines windows that arrive in canonical order, and gives each frame's map out once all have arrived.

    Kept are only frames that a later window can still see: no more than `(T - 1) * stride` of them between two
    batches. What a frame's map is does not depend on how the windows are cut into batches.
    """

    def __init__(self, how: str, sequence: SequenceConfig, map_frames: tuple[int, ...]) -> None:
        """Begins a stream of windows.

        Args:
            how: of `OVERLAPS`.
            sequence: of the windows.
            map_frames: the positions in a window that its M maps are about.
        """
        self._how = how
        self._anchor_column = map_frames.index(sequence.anchor_index)
        every = position_weights(how, sequence.length)
        self._weights = [every[position] for position in map_frames]
        self._offsets = (np.array(map_frames) - sequence.anchor_index) * sequence.stride
        # Windows up to this many after the one that a frame anchors can hold it.
        self._reach = -int(self._offsets.min())
        self._pending: dict[int, _Pending] = {}
        self._first: int | None = None
        self._last = -1

    def add(self, rows: Rows, logits: torch.Tensor) -> tuple[Rows, torch.Tensor]:
        """Takes windows; returns the frames that no later window sees.

        Args:
            rows: int64 `[B, M]`, of the frame table, the windows in ascending order of the frames they anchor.
            logits: `[B, M, h, w]`, on any device.

        Returns:
            Rows int64 `[n]`, ascending, and their logits float32 `[n, h, w]` on the same device.
        """
        anchors = rows[:, self._anchor_column]
        if self._how == "none":
            return anchors, logits[:, self._anchor_column].float()
        if len(anchors) and (anchors[0] <= self._last or (np.diff(anchors) <= 0).any()):
            raise ValueError("windows must come in ascending order of the frames that they anchor")
        if self._first is None and len(anchors):
            self._first = int(anchors[0])
        probability = logits.float().sigmoid()
        # Where a window reaches past its clip's end a frame is repeated: only the copy in its true place counts.
        seen = rows == anchors[:, None] + self._offsets
        for window, column in np.argwhere(seen):
            self._merge(int(rows[window, column]), probability[window, column], self._weights[column])
        self._last = int(anchors[-1]) if len(anchors) else self._last
        return self._take(self._last - self._reach, logits)

    def rest(self, like: torch.Tensor) -> tuple[Rows, torch.Tensor]:
        """The frames still waiting, after the last window; otherwise as `add`.

        Args:
            like: `[.., h, w]`, says shape and device where none are waiting.
        """
        return self._take(self._last, like)

    def _merge(self, row: int, probability: torch.Tensor, weight: float) -> None:
        pending = self._pending.get(row)
        if pending is None:
            self._pending[row] = _Pending(probability * weight, weight)
        elif self._how == "max":
            pending.map = torch.maximum(pending.map, probability)
        else:
            pending.map = pending.map + probability * weight
            pending.weight += weight

    def _take(self, last: int, like: torch.Tensor) -> tuple[Rows, torch.Tensor]:
        ready = [row for row in sorted(self._pending) if row <= last]
        done = [(row, self._pending.pop(row)) for row in ready]
        # Frames before the first window's own, or after the last's, belong to another rank.
        done = [(row, pending) for row, pending in done if self._first is not None and row >= self._first]
        if not done:
            return np.zeros(0, np.int64), like.new_zeros((0, *like.shape[-2:]), dtype=torch.float32)
        maps = torch.stack([pending.map / pending.weight for _, pending in done])
        return np.array([row for row, _ in done], np.int64), logits_of(maps)
