"""Heatmaps read as places in the source's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

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
        sizes: of the source frames.
        images: the frames themselves, RGB `uint8 [H, W, 3]`, where they were asked for.
        heatmaps: float32 `[n, h, w]`, 0..1, on the CPU, where they were asked for.
    """

    frame: npt.NDArray[np.int64]
    time_s: FloatArray
    xy_px: FloatArray
    score: FloatArray
    candidates_px: FloatArray
    candidate_scores: FloatArray
    sizes: tuple[Size, ...]
    images: tuple[RGBImage, ...] = ()
    heatmaps: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frame)


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
        sizes=sizes,
        images=tuple(place.image for place in places if place.image is not None),
        heatmaps=logits.float().sigmoid().cpu().numpy() if heatmaps else None,
    )
