"""Gaussian heatmaps: drawing a point, and finding it again. The two are an inverse pair.

Drawing happens in the loader's workers (NumPy, straight into the batch's array); decoding happens on the
model's device (torch). Coordinates are heatmap cells, cell centres at integers; `geometry.scaling` takes
them to the input and frame spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from tracknet.utils.geometry import Size, scaling

# Beyond 4 sigma a gaussian is under 3.4e-4: not worth an exp per cell.
_WINDOW_SIGMAS = 4.0
# Below the first, float16's numbers are 2^-24 apart; so are float64's from the second on, so that adding it rounds.
_HALF_NORMAL = 2.0**-14
_HALF_ROUNDER = 2.0**28
# A probability this small is as good as none; keeps logarithms finite.
_TINY = 1e-6
# From a cell's distance, eight steps are past float32's precision for any sigma from 0.5 to 5.
_NEWTON_STEPS = 8
# WASB's threshold between a ball's blob and the rest of the map.
_BLOB_ABOVE = 0.5
# Float32 knows no number between this and 0 on the way from 1 down.
_NEAREST_TO_ONE = 2.0**-24


def draw_gaussians(
    heatmaps: Sequence[npt.NDArray[Any]], centres: npt.NDArray[np.float64], sigma_cells: float
) -> None:
    """Draws `exp(-d^2 / (2 sigma^2))` at a float centre into each of several empty maps, in place.

    Only the window within 4 sigma is computed, not the whole map. A centre may lie outside its map, then just the
    tail that reaches inside is drawn. All at once: a batch's in 3 us each, in place of 14.

    Args:
        heatmaps: n maps `[h, w]` of one size and float dtype, all zero.
        centres: `[n, 2]`, (x, y) in heatmap cells.
        sigma_cells: standard deviation in heatmap cells, above 0.

    Raises:
        ValueError: a centre is not finite.
    """
    if not heatmaps:
        return
    if not np.isfinite(centres).all():
        raise ValueError(f"gaussians are drawn at finite centres, not at {centres.tolist()}")
    (height, width), dtype = heatmaps[0].shape, heatmaps[0].dtype
    reach = _WINDOW_SIGMAS * sigma_cells
    first = np.ceil(centres - reach).astype(np.int64)
    # The gaussian is separable: two short vectors and their outer product.
    cells = first[:, None] + np.arange(int(2 * reach) + 2)[:, None]
    along = np.exp(-0.5 / (sigma_cells * sigma_cells) * (cells - centres[:, None]) ** 2)
    blobs = along[:, :, None, 1] * along[:, None, :, 0]
    if dtype == np.float16:
        # Rounded to its steps near 0, as the conversion would: left to it, each such value signals an underflow,
        # which takes two thirds of the time of all that is done here.
        blobs = np.where(blobs < _HALF_NORMAL, (blobs + _HALF_ROUNDER) - _HALF_ROUNDER, blobs)
    blobs = blobs.astype(dtype)
    start = np.maximum(first, 0)
    stop = np.minimum(np.floor(centres + reach).astype(np.int64) + 1, (width, height))
    # Where each window lies in the map, and in its blob.
    for heatmap, blob, (x0, y0), (x1, y1), (left, top) in zip(
        heatmaps, blobs, start.tolist(), stop.tolist(), (start - first).tolist(), strict=True
    ):
        if x0 < x1 and y0 < y1:
            heatmap[y0:y1, x0:x1] = blob[top : top + y1 - y0, left : left + x1 - x0]


def decode_argmax(logits: torch.Tensor, sigma_cells: float) -> torch.Tensor:
    """The highest cell: `[.., h, w]` logits to `[.., 2]` (x, y) cells. Off by up to half a cell on each axis."""
    del sigma_cells  # every decoder has the same signature; this one needs no scale
    x, y = _peak(logits)
    return torch.stack([x, y], dim=-1).to(torch.float32)


def decode_soft_argmax(logits: torch.Tensor, sigma_cells: float) -> torch.Tensor:
    """Local soft-argmax: the probability-weighted centroid around the highest cell, without its bias.

    The weight is a gaussian of the targets' own sigma about the highest cell. Such a centroid is pulled
    towards that cell, and away from a border that cuts the blob; so what is returned is the centre whose
    gaussian has the observed centroid, found by Newton steps along each axis. Exact for a clean gaussian of
    the right sigma anywhere on the map, also at the borders (below 0.01 cells for sigmas of 0.5 to 5).

    Args:
        logits: `[.., h, w]`.
        sigma_cells: the sigma that the targets were drawn with.

    Returns:
        `[.., 2]` (x, y) in heatmap cells, float32, within 2.5 sigma (at least 1 cell) of the highest one.

    """
    height, width = logits.shape[-2:]
    probability = logits.float().sigmoid()
    xs = torch.arange(width, device=logits.device, dtype=torch.float32)
    ys = torch.arange(height, device=logits.device, dtype=torch.float32)
    peak = decode_argmax(logits, sigma_cells)
    weight_x = _gaussian(xs, peak[..., 0], sigma_cells)
    weight_y = _gaussian(ys, peak[..., 1], sigma_cells)
    columns = torch.einsum("...hw,...h->...w", probability, weight_y) * weight_x
    rows = torch.einsum("...hw,...w->...h", probability, weight_x) * weight_y
    found = torch.stack(
        [
            _centre_with_centroid(_moments(columns, xs)[0], weight_x, xs, peak[..., 0], sigma_cells),
            _centre_with_centroid(_moments(rows, ys)[0], weight_y, ys, peak[..., 1], sigma_cells),
        ],
        dim=-1,
    )
    # A map that is no single blob can throw the correction anywhere.
    reach = max(1.0, 2.5 * sigma_cells)
    return torch.where((found - peak).abs().amax(-1, keepdim=True) <= reach, found, peak)


def decode_dark(logits: torch.Tensor, sigma_cells: float) -> torch.Tensor:
    """Sub-pixel peak by a second-order Taylor step on the log-probability around the highest cell.

    Exact for a gaussian, whose logarithm is a parabola. Source: Zhang et al., "Distribution-Aware Coordinate
    Representation for Human Pose Estimation" (CVPR 2020), equation 9, here without their smoothing pass: the
    3x3 neighbourhood is fitted by least squares instead, which averages noise just as well at a ball's size.
    Exact for sigmas of 0.7 and more, anywhere on the map; a smaller sigma has too few cells at the very border.

    Args:
        logits: `[.., h, w]`.
        sigma_cells: unused; the curvature is measured.

    Returns:
        `[.., 2]` (x, y) in heatmap cells, float32, within one cell of the highest one.
    """
    del sigma_cells
    height, width = logits.shape[-2:]
    flat = logits.reshape(-1, height, width)
    x, y = _peak(flat)
    offsets = torch.arange(-1, 2, device=flat.device)
    # At the border the neighbourhood is moved inwards; the step is then taken from its centre.
    cx, cy = x.clamp(1, max(width - 2, 1)), y.clamp(1, max(height - 2, 1))
    rows = (cy[:, None] + offsets).clamp(0, height - 1)
    columns = (cx[:, None] + offsets).clamp(0, width - 1)
    batch = torch.arange(flat.shape[0], device=flat.device)[:, None, None]
    patch = flat[batch, rows[:, :, None], columns[:, None, :]].float()
    log_p = F.logsigmoid(patch).clamp(min=float(np.log(_TINY)))

    # Least-squares quadratic over the 3x3 patch: derivatives are separable averages of differences.
    dx = (log_p[:, :, 2] - log_p[:, :, 0]).mean(1) / 2
    dy = (log_p[:, 2, :] - log_p[:, 0, :]).mean(1) / 2
    dxx = (log_p[:, :, 2] - 2 * log_p[:, :, 1] + log_p[:, :, 0]).mean(1)
    dyy = (log_p[:, 2, :] - 2 * log_p[:, 1, :] + log_p[:, 0, :]).mean(1)
    dxy = (log_p[:, 2, 2] - log_p[:, 2, 0] - log_p[:, 0, 2] + log_p[:, 0, 0]) / 4
    determinant = dxx * dyy - dxy * dxy
    is_peak = (dxx < 0) & (determinant > 1e-9)
    safe = torch.where(is_peak, determinant, torch.ones_like(determinant))
    step_x = torch.where(is_peak, -(dyy * dx - dxy * dy) / safe, torch.zeros_like(dx))
    step_y = torch.where(is_peak, -(dxx * dy - dxy * dx) / safe, torch.zeros_like(dy))
    found = torch.stack([cx + step_x, cy + step_y], dim=-1)
    peak = torch.stack([x, y], dim=-1).float()
    trusted = is_peak & ((found - peak).abs().amax(-1) <= 1.0)
    return torch.where(trusted[:, None], found, peak).reshape(*logits.shape[:-2], 2)


def logits_of(probability: torch.Tensor) -> torch.Tensor:
    """The logits whose sigmoid is `probability`, of any shape, in float32; finite also for 0 and 1 (±16.6)."""
    return torch.logit(probability.float(), eps=_NEAREST_TO_ONE)


Decoder = Callable[[torch.Tensor, float], torch.Tensor]
DECODERS: dict[str, Decoder] = {
    "argmax": decode_argmax,
    "soft_argmax": decode_soft_argmax,
    "dark": decode_dark,
}


def locate(
    logits: torch.Tensor, decoder: str, sigma_cells: float, input_size: Size
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the ball is in every map, and how sure the map is of it.

    Args:
        logits: `[.., h, w]`.
        decoder: of `DECODERS`.
        sigma_cells: that the targets were drawn with.
        input_size: of the picture that the maps are about.

    Returns:
        xy in pixels of that picture, float32 `[.., 2]`; the highest probability, float32 `[..]`.

    """
    cells = DECODERS[decoder](logits, sigma_cells)
    matrix = scaling(Size(logits.shape[-1], logits.shape[-2]), input_size).tolist()
    # Number by number: the graph of an exported model has these as constants, and could hold no call of NumPy.
    x = cells[..., 0] * matrix[0][0] + matrix[0][2]
    y = cells[..., 1] * matrix[1][1] + matrix[1][2]
    return torch.stack([x, y], dim=-1), peak_score(logits)


def peak_score(logits: torch.Tensor) -> torch.Tensor:
    """The highest probability of each map: `[.., h, w]` logits to `[..]` float32 in 0..1."""
    return logits.float().amax(dim=(-2, -1)).sigmoid()


def blob_score(logits: torch.Tensor) -> npt.NDArray[np.float64]:
    """How much probability the blob at the highest cell holds: `[.., h, w]` logits to float64 `[..]`, on the CPU.

    The sum over the cells above 0.5 that are connected (by sides or corners) to the highest one, as WASB's
    detector scores a blob (nttcom/WASB-SBDT, `detectors/postprocessor.py`). A map with no cell above 0.5 scores
    its highest cell alone: at most 0.5, so below every blob, and such maps are ranked by their peaks.

    Args:
        logits: on any device.
    """
    height, width = logits.shape[-2:]
    maps = logits.reshape(-1, height, width).float().sigmoid().cpu().numpy()
    scores = maps.max(axis=(1, 2)).astype(np.float64)
    for number in np.flatnonzero(scores > _BLOB_ABOVE):
        cells = maps[number]
        _, labels = cv2.connectedComponents((cells > _BLOB_ABOVE).astype(np.uint8))
        scores[number] = cells[labels == labels.flat[cells.argmax()]].sum(dtype=np.float64)
    return np.asarray(scores.reshape(logits.shape[:-2]))


def _peak(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    width = logits.shape[-1]
    index = logits.flatten(-2).argmax(-1)
    return index % width, index // width


def _gaussian(cells: torch.Tensor, centre: torch.Tensor, sigma_cells: float) -> torch.Tensor:
    """`exp(-d^2 / (2 sigma^2))` at cells `[n]` for centres `[..]`: `[.., n]`."""
    return torch.exp(-0.5 * ((cells - centre[..., None]) / sigma_cells) ** 2)


def _moments(mass: torch.Tensor, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of cells `[n]` under masses `[.., n]`."""
    total = mass.sum(-1).clamp(min=1e-30)
    mean = (mass * cells).sum(-1) / total
    return mean, (mass * (cells - mean[..., None]) ** 2).sum(-1) / total


def _centre_with_centroid(
    centroid: torch.Tensor, weight: torch.Tensor, cells: torch.Tensor, start: torch.Tensor, sigma_cells: float
) -> torch.Tensor:
    """The centre `[..]` of the gaussian that, weighted by `[.., n]`, has the given centroid `[..]`.

    The derivative of the centroid by the centre is the weighted variance over sigma squared.
    """
    centre = start
    for _ in range(_NEWTON_STEPS):
        mean, variance = _moments(weight * _gaussian(cells, centre, sigma_cells), cells)
        step = (centroid - mean) * sigma_cells**2 / variance.clamp(min=1e-4)
        centre = centre + step.clamp(-sigma_cells, sigma_cells)
    return centre
