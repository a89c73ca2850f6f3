"""What a step did, kept on the device and fetched at once: every number read makes the CPU wait for a GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tracknet.datasets.batch import Batch
from tracknet.models.model import TrackNet
from tracknet.training.evaluation import cells_in_frame
from tracknet.utils.heatmap import decode_argmax, peak_score


@dataclass(frozen=True, slots=True)
class Fetched:
    """A step's figures on the CPU.

    Attributes:
        losses: of each of the accumulated batches, this process's share.
        grad_norm: before clipping.
        windows: trained on.
        masked: of these, how many lacked a frame and taught nothing.
        found: balls whose highest cell is within the distance asked for.
        found_by_chance: as `found`, but in the maps of the batch's other windows: the mean over these.
        balls: in all.
        peak: sum of the highest probabilities.
        maps: how many there are.
    """

    losses: list[float]
    grad_norm: float
    windows: int
    masked: int
    found: int
    found_by_chance: float
    balls: int
    peak: float
    maps: int


class StepFigures:
    """Collects the parts of one step."""

    def __init__(self, model: TrackNet) -> None:
        self._model = model
        self._losses: list[list[torch.Tensor]] = []
        self._cells: list[torch.Tensor] = []
        self._drawn: list[torch.Tensor] = []
        self._peaks: list[torch.Tensor] = []
        self._to_frame: list[torch.Tensor] = []
        self._xy_px: list[torch.Tensor] = []
        self._windows: list[int] = []
        self._masked = 0

    def begin_batch(self) -> None:
        """What is added from here on is of the next of the accumulated batches."""
        self._losses.append([])
        self._windows.append(0)

    @torch.no_grad()
    def add(self, part: Batch, logits: torch.Tensor, loss: torch.Tensor) -> None:
        """Takes a part of a batch in; waits for nothing.

        Args:
            part: windows on the device.
            logits: `[b, M, h, w]`.
            loss: a scalar, the part's share.
        """
        self._losses[-1].append(loss.detach())
        self._windows[-1] += len(part)
        self._cells.append(decode_argmax(logits, self._model.config.heatmap.sigma))
        # An augmentation can move a ball out of the picture: its target is empty then.
        self._drawn.append(part.heatmaps.amax(dim=(-2, -1)) > 0)
        self._peaks.append(peak_score(logits))
        # Copies: a view would keep the whole batch's memory from being used again.
        self._to_frame.append(part.to_frame.clone())
        self._xy_px.append(part.xy_px.clone())
        self._masked += int(np.count_nonzero(~part.valid.numpy()))

    def fetch(self, grad_norm: torch.Tensor, *, distance_px: float) -> Fetched:
        """All figures, by one copy from the device."""
        cells = torch.cat(self._cells)
        windows, maps = cells.shape[:2]
        losses = torch.stack([torch.stack(shares).sum() for shares in self._losses])
        pieces = [losses, grad_norm.detach().reshape(1), cells.flatten()]
        pieces += [torch.cat(self._drawn).flatten(), torch.cat(self._peaks).flatten()]
        # Cells are whole numbers far below 2^24, which float32 holds.
        packed = torch.cat([piece.float() for piece in pieces]).cpu()
        losses, norm, flat, drawn, peaks = torch.split(packed, [piece.numel() for piece in pieces])
        found_px = cells_in_frame(self._model, torch.cat(self._to_frame), flat.view(windows, maps, 2))
        balls_px = torch.where(drawn.view(windows, maps, 1) > 0, torch.cat(self._xy_px), torch.nan)
        found, by_chance = 0, 0.0
        for mine, theirs in zip(
            torch.split(found_px, self._windows), torch.split(balls_px, self._windows), strict=True
        ):
            # The map of the first window, the ball of the second: [B, B, M].
            near = torch.linalg.vector_norm(mine[:, None] - theirs, dim=-1) <= distance_px
            own = int(near.diagonal().sum())
            found += own
            by_chance += (int(near.sum()) - own) / max(1, len(near) - 1)
        return Fetched(
            losses=losses.tolist(),
            grad_norm=float(norm),
            windows=windows,
            masked=self._masked,
            found=found,
            found_by_chance=by_chance,
            balls=int(balls_px.isfinite().all(dim=-1).sum()),
            peak=float(peaks.double().sum()),
            maps=windows * maps,
        )
