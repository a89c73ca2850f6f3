"""Two windows laid over each other: the first and the second of a batch, the third and the fourth, and so on.

Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018), equation 2: pictures and targets of a
pair are mixed with shares `l` and `1 - l`, l of a Beta(alpha, alpha). A map keeps the window of the larger share as its
own (rows, place, way to the frame), and both ways round come into the batch.

Targets are mixed, not their maximum taken: the loss of a mixed pair is then what the paper says, the two windows'
losses in their shares, to a constant (exactly so for losses linear or quadratic in the target), and a ball that shines
through with a third of its contrast is worth a third. With masks: `l w_a L(p, a) + (1 - l) w_b L(p, b)` is the loss of
weight `W = l w_a + (1 - l) w_b` and target `(l w_a a + (1 - l) w_b b) / W`, which a masked window, of weight 0, leaves
alone.

Nothing is read for it, and what is paired depends on the plan alone: ranks serve whole pairs, or are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tracknet.utils.settings import MixupConfig


def draw_share(config: MixupConfig, rng: np.random.Generator) -> float:
    """The larger share of a pair, 0.5 to 1; 1 leaves it as it is."""
    chance, share = rng.random(), rng.beta(config.alpha, config.alpha)
    return float(max(share, 1.0 - share)) if chance < config.prob else 1.0


def mix_pairs(arrays: Mapping[str, npt.NDArray[Any]], shares: Iterable[tuple[int, float]]) -> None:
    """Mixes pairs of windows of a batch, in place.

    Args:
        arrays: of a `BatchLayout`: `frames`, `heatmaps` (also of no cells yet) and `weights` are changed.
        shares: the first window of each pair, and its share, at least 0.5; the second follows it.
    """
    for first, share in shares:
        pair = slice(first, first + 2)
        _mix_frames(arrays["frames"][pair], share)
        mix_targets(arrays["heatmaps"][pair], arrays["weights"][pair], share)


def _mix_frames(frames: npt.NDArray[np.uint8], share: float) -> None:
    """Uint8 `[2, T, H, W, 3]`."""
    one, other = frames.reshape(2, -1, frames.shape[-2] * 3)
    mixed = cv2.addWeighted(one, share, other, 1.0 - share, 0.0)
    cv2.addWeighted(other, share, one, 1.0 - share, 0.0, dst=other)
    one[:] = mixed


def mix_targets(maps: npt.NDArray[np.float16], weights: npt.NDArray[np.float32], share: float) -> None:
    """Mixes a pair's maps `[2, M, h, w]` and their weights `[2, M]`, in place."""
    parts = np.array([[share, 1.0 - share], [1.0 - share, share]], np.float32)[..., None] * weights
    mixed = np.einsum("abm,bmhw->amhw", parts, maps.astype(np.float32))
    totals = parts.sum(axis=1)
    maps[:] = mixed / np.where(totals > 0, totals, 1.0)[..., None, None]
    weights[:] = totals
