"""A model made ready to say, of frames in order, where the ball is in each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tracknet.inference.heatmap_model import HeatmapModel
from tracknet.inference.window_logits import WindowLogits
from tracknet.models.precision import Precision, resolve_device
from tracknet.models.window_overlap import FrameMaps, Rows, resolve_overlap
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.images import RGBImage

DEFAULT_BATCH = 8


def usual_batch(live: bool) -> int:
    """Windows at once where none are asked for: a live picture is wanted now, not when a batch of them is there."""
    return 1 if live else DEFAULT_BATCH


@dataclass(frozen=True, slots=True)
class InputFrame:
    """A frame as the model sees it.

    Attributes:
        number: in its source. A number that is left out ends a run: no window reaches over the gap.
        time_s: since the source's first frame.
        pixels: RGB `uint8 [H, W, 3]` of the model's input size.
        source_size: of the upright frame that it was resized from.
        wanted: asked for; other frames are there for the windows of those that are.
        image: the upright frame, where whoever takes the points draws into it.
    """

    number: int
    time_s: float
    pixels: RGBImage
    source_size: Size
    wanted: bool = True
    image: RGBImage | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """An `InputFrame` without its pixels."""

    number: int
    time_s: float
    source_size: Size
    wanted: bool
    image: RGBImage | None


@dataclass(frozen=True, slots=True)
class HeatmapBlock:
    """A few frames, in order, and a map of each: logits float32 `[n, h, w]` on the model's device."""

    places: tuple[Place, ...]
    logits: torch.Tensor


class Predictor:
    """A model, where it runs, and how its heatmaps are combined and read."""

    def __init__(
        self,
        model: HeatmapModel,
        *,
        device: str = "auto",
        amp: str = "auto",
        batch_size: int = DEFAULT_BATCH,
        threshold: float | None = None,
        overlap: str | None = None,
        flip: bool = False,
        candidates: int = 0,
    ) -> None:
        """Puts the model on its device, in evaluation mode.

        Args:
            model: see `heatmap_model.load_model`.
            device: torch's name, or `auto`.
            amp: `auto`, `bf16`, `fp16` or `off`.
            batch_size: windows at once. Decides speed and memory, and of the result no more than rounding.
            threshold: score from which a ball is reported; `None` is the model's own.
            overlap: how several windows' maps of one frame become one; `None` is the model's default.
            flip: average with the mirror image, in twice the time.
            candidates: how many places to give for each frame, the reported one included.

        Raises:
            UserError: no such device or arithmetic, a threshold beyond 0..1, a batch of nothing, or windows are to be
                combined that have one map each.
        """
        self.model = model
        self.precision = Precision.resolve(amp, resolve_device(device))
        if isinstance(model, torch.nn.Module):
            model.to(self.precision.device).eval()
        self.batch_size = batch_size
        self.threshold = float(model.score_threshold if threshold is None else threshold)
        if threshold is not None and not 0 <= threshold <= 1:
            raise UserError(f"a threshold of {threshold:g}: scores are from 0 to 1")
        if batch_size < 1:
            raise UserError(f"a batch size of {batch_size}: at least 1 window goes through the model at once")
        if candidates < 0:
            raise UserError(f"{candidates} candidates of a frame: there can be none (0) or some")
        self.overlap = resolve_overlap(overlap, model.num_maps)
        self.flip = flip
        self.candidates = candidates

    @property
    def reach(self) -> int:
        """How many frames before and after a frame can change what is said of it."""
        sequence = self.model.sequence
        return int((sequence.length - 1) * sequence.stride)

    def heatmaps(self, frames: Iterable[InputFrame]) -> Iterator[HeatmapBlock]:
        """One map per frame, in order; at most `batch_size` frames and those of one window are held.

        Args:
            frames: in ascending order of their numbers.
        """
        waiting: list[InputFrame] = []
        run = _Run(self)
        for frame in frames:
            if waiting or run.last is not None:
                previous = waiting[-1].number if waiting else run.last
                if frame.number != previous + 1:  # type: ignore[operator]
                    yield from run.add(waiting)
                    yield from run.finish()
                    waiting, run = [], _Run(self)
            waiting.append(frame)
            if len(waiting) >= self.batch_size:
                yield from run.add(waiting)
                waiting = []
        yield from run.add(waiting)
        yield from run.finish()

    def about(self) -> dict[str, Any]:
        """How the model is used: plain values, for readers of the results."""
        return {
            "threshold": self.threshold,
            "overlap": self.overlap,
            "flip": self.flip,
            "decode": self.model.config.heatmap.decode,
            "precision": self.precision.name,
            "device": str(self.precision.device),
        }


class _Run:
    """Frames without a gap."""

    def __init__(self, predictor: Predictor) -> None:
        model = predictor.model
        self._windows = WindowLogits(
            model, predictor.precision, flip=predictor.flip, batch_size=predictor.batch_size
        )
        self._combined = FrameMaps(predictor.overlap, model.sequence, model.map_frames)
        self._places: deque[Place] = deque()
        self._like: torch.Tensor | None = None
        self.last: int | None = None

    def add(self, frames: list[InputFrame]) -> Iterator[HeatmapBlock]:
        if not frames:
            return
        self.last = frames[-1].number
        self._places.extend(Place(f.number, f.time_s, f.source_size, f.wanted, f.image) for f in frames)
        pixels = torch.from_numpy(np.stack([frame.pixels for frame in frames])).permute(0, 3, 1, 2)
        for rows, logits in self._windows.add(pixels):
            yield from self._combine(rows, logits)

    def finish(self) -> Iterator[HeatmapBlock]:
        for rows, logits in self._windows.finish():
            yield from self._combine(rows, logits)
        if self._like is not None:
            yield from self._block(*self._combined.rest(self._like))

    def _combine(self, rows: Rows, logits: torch.Tensor) -> Iterator[HeatmapBlock]:
        self._like = logits
        yield from self._block(*self._combined.add(rows, logits))

    def _block(self, rows: Rows, logits: torch.Tensor) -> Iterator[HeatmapBlock]:
        # Every row of a run comes once, and in order.
        if len(rows):
            yield HeatmapBlock(tuple(self._places.popleft() for _ in rows), logits)
