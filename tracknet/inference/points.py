"""Heatmaps read as places in the source's own pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.inference.ball import Ball, Candidate
from tracknet.inference.predictor import HeatmapBlock
from tracknet.utils.geometry import Size, cells_to_frames
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


_COLUMNS = ("frame", "time_s", "xy_px", "score", "candidates_px", "candidate_scores")
_ROWS_AT_ONCE = 8192


class PointRows:
    """Blocks as they come, kept as columns, without pictures: 40 bytes a frame, and 24 for each of its candidates."""

    def __init__(self) -> None:
        self._full: list[dict[str, npt.NDArray[Any]]] = []
        self._filling: dict[str, npt.NDArray[Any]] = {}
        self._filled = 0
        self._sizes: set[Size] = set()

    def __len__(self) -> int:
        return len(self._full) * _ROWS_AT_ONCE + self._filled

    def add(self, block: PointBlock) -> None:
        """Takes the next frames, which have as many candidates as those before."""
        self._sizes |= block.sizes
        columns = {name: getattr(block, name) for name in _COLUMNS}
        done = 0
        while done < len(block):
            if not self._filling:
                # As long as they will be: many small arrays would lie scattered between the frames' own memory.
                self._filling = {
                    name: np.empty((_ROWS_AT_ONCE, *column.shape[1:]), column.dtype)
                    for name, column in columns.items()
                }
            taken = min(len(block) - done, _ROWS_AT_ONCE - self._filled)
            for name, column in columns.items():
                self._filling[name][self._filled : self._filled + taken] = column[done : done + taken]
            done += taken
            self._filled += taken
            if self._filled == _ROWS_AT_ONCE:
                self._full.append(self._filling)
                self._filling, self._filled = {}, 0

    def joined(self) -> PointBlock:
        """All of them."""
        last = {name: column[: self._filled] for name, column in (self._filling or _no_rows()).items()}
        parts = [*self._full, last] if self._filling or not self._full else self._full
        columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
        return PointBlock(**columns, sizes=frozenset(self._sizes))


def _no_rows() -> dict[str, npt.NDArray[Any]]:
    shapes = ((0,), (0,), (0, 2), (0,), (0, 0, 2), (0, 0))
    return {
        name: np.zeros(shape, np.int64 if name == "frame" else np.float64)
        for name, shape in zip(_COLUMNS, shapes, strict=True)
    }


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
    sizes = [place.source_size for place in places]
    points = cells_to_frames(many.cpu().numpy(), heatmap.size, sizes)
    score = scores.cpu().double().numpy()
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


def candidates_of(points_px: FloatArray, scores: FloatArray) -> tuple[Candidate, ...]:
    """One frame's candidates `[K, 2]` and scores `[K]`, without those that stand for nothing."""
    return tuple(
        Candidate(float(x), float(y), float(score))
        for (x, y), score in zip(points_px, scores, strict=True)
        if not np.isnan(x)
    )


def balls_of(block: PointBlock, threshold: float) -> Iterator[Ball]:
    """A block's frames one by one; a score below the threshold is no ball."""
    for row in range(len(block)):
        score = float(block.score[row])
        visible = score >= threshold
        x, y = block.xy_px[row] if visible else (np.nan, np.nan)
        candidates = candidates_of(block.candidates_px[row], block.candidate_scores[row])
        yield Ball(
            int(block.frame[row]), float(block.time_s[row]), float(x), float(y), score, visible, candidates
        )
