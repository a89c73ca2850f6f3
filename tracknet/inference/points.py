"""Heatmaps read as places in the source's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.inference.predictor import HeatmapBlock
from tracknet.utils.geometry import Size, scaling, transform_points
from tracknet.utils.heatmap import DECODERS, peak_score
from tracknet.utils.images import RGBImage
from tracknet.utils.peaks import find_peaks
from tracknet.utils.settings import HeatmapConfig

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PointBlock:
    """Where the ball is, if it is there, in a few frames in order. Pixels are those of the upright source frame.

    Attributes:
        frame: int64 `[n]`, numbers in the source.
        time_s: float64 `[n]`, since the source's first frame.
        xy_px: float64 `[n, 2]`, the heatmap's best place, whatever its score.
        score: float64 `[n]`, the heatmap's highest value.
        candidates_px: float64 `[n, K, 2]`, the heatmap's peaks, best first; NaN where there are fewer.
        candidate_scores: float64 `[n, K]`; 0 there.
        sizes: that the source frames have.
        images: the frames themselves, RGB `uint8 [H, W, 3]`, where they were asked for.
        heatmaps: float32 `[n, h, w]`, 0..1, on the CPU, where they were asked for.
    """

    frame: npt.NDArray[np.int64]
    time_s: FloatArray
    xy_px: FloatArray
    score: FloatArray
    candidates_px: FloatArray
    candidate_scores: FloatArray
    sizes: frozenset[Size]
    images: tuple[RGBImage, ...] = ()
    heatmaps: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frame)


_JOINED_AT = 256


class PointRows:
    """Blocks as they come, kept as one, without pictures: 40 bytes a frame, and 24 for each of its candidates."""

    def __init__(self) -> None:
        self._joined: list[PointBlock] = []
        self._new: list[PointBlock] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, block: PointBlock) -> None:
        """Takes the next frames."""
        self._count += len(block)
        self._new.append(replace(block, images=(), heatmaps=None))
        if len(self._new) >= _JOINED_AT:
            # A block of a few frames is a hundred times its numbers.
            self._joined.append(_join(self._new))
            self._new = []

    def joined(self) -> PointBlock:
        """All of them."""
        return _join([*self._joined, *self._new])


def _join(blocks: Sequence[PointBlock]) -> PointBlock:
    if not blocks:
        none = np.zeros(0)
        return PointBlock(
            np.zeros(0, np.int64),
            none,
            np.zeros((0, 2)),
            none,
            np.zeros((0, 0, 2)),
            np.zeros((0, 0)),
            frozenset(),
        )
    names = ("frame", "time_s", "xy_px", "score", "candidates_px", "candidate_scores")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(block, name) for block in blocks]) for name in names
    }
    return PointBlock(**columns, sizes=frozenset().union(*(block.sizes for block in blocks)))


@torch.no_grad()
def read_points(
    block: HeatmapBlock, heatmap: HeatmapConfig, *, candidates: int = 0, heatmaps: bool = False
) -> PointBlock | None:
    """The wanted frames' points; `None` where no frame of the block is wanted.

    Args:
        block: of frames.
        heatmap: of the model: size in cells, sigma and decoder.
        candidates: K.
        heatmaps: hand the maps on.
    """
    wanted = [number for number, place in enumerate(block.places) if place.wanted]
    if not wanted:
        return None
    places = [block.places[number] for number in wanted]
    logits = block.logits if len(wanted) == len(block.places) else block.logits[wanted]
    if candidates:
        many, scores = find_peaks(logits, candidates, heatmap.sigma, heatmap.decode)
    else:
        many = DECODERS[heatmap.decode](logits, heatmap.sigma)[:, None]
        scores = peak_score(logits)[:, None]
    # Few numbers a map: float64 is had on the CPU everywhere, and on some devices not at all.
    cells, score = many.cpu().double().numpy(), scores.cpu().double().numpy()
    sizes = tuple(place.source_size for place in places)
    points = np.empty_like(cells)
    for size in dict.fromkeys(sizes):
        same = [number for number, other in enumerate(sizes) if other == size]
        points[same] = transform_points(scaling(heatmap.size, size), cells[same])
    return PointBlock(
        frame=np.array([place.number for place in places], np.int64),
        time_s=np.array([place.time_s for place in places], np.float64),
        xy_px=points[:, 0],
        score=score[:, 0],
        candidates_px=points[:, :candidates],
        candidate_scores=score[:, :candidates],
        sizes=frozenset(sizes),
        images=tuple(place.image for place in places if place.image is not None),
        heatmaps=logits.float().sigmoid().cpu().numpy() if heatmaps else None,
    )
