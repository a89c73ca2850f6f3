"""Transforms of frames on the model's device, for those that the workers drew and left undone.

Resampling takes a third of a decode on a CPU core, three times a window at T = 3; left to the device, augmentation
costs a worker at most 6 % of a window's processor time (the draws) in place of 29 %, or 52 % where all windows are
warped. A CPU takes 20 to 30 times as long for it as the workers' OpenCV; what a GPU takes was not measured. Points,
targets and `to_frame` are the workers' either way, and so are the draws: order, resume and labels do not depend on
where pixels are moved. Pixels differ by 2 grey levels at most from the workers': OpenCV rounds where this does not (of
broadcast frames at 512x288 3 % of the values by one, 1 in 200,000 by two).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from tracknet.datasets.augmentations import NOTHING_RGB

# In float32 and several copies, so that a large batch takes no more memory than this: 0.3 GB at 512x288.
_FRAMES_AT_ONCE = 48


@torch.no_grad()
def transform_frames(frames: torch.Tensor, matrices: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """What `Augmentation.apply` makes of every frame, on the frames' device: uint8 `[B, T, 3, H, W]`.

    Computed in float32 under any autocast, by elementwise products and `grid_sample`'s forward pass: the same result
    for the same input, also on CUDA.

    Args:
        frames: uint8 `[B, T, 3, H, W]`, RGB, any memory layout.
        matrices: float64 `[B, 3, 3]` on the CPU, old input pixels to new input pixels.
        colours: float64 `[B, 3, 4]` on the CPU, maps of (R, G, B, 1), 0..255.
    """
    device, (_, length, _, height, width) = frames.device, frames.shape
    affines = _affines(matrices, height, width)
    if device.type != "mps":  # which knows no float64: there the grids are made on the CPU
        affines = affines.to(device, non_blocking=True)
    colours = colours.to(device, torch.float32, non_blocking=True)
    # Less the border's colour, so that what `grid_sample` knows as nothing, 0, is that colour.
    nothing = torch.tensor(NOTHING_RGB, dtype=torch.float32, device=device)[:, None, None]
    result = torch.empty_like(frames)
    windows = max(1, _FRAMES_AT_ONCE // length)
    with torch.autocast(device.type, enabled=False):
        for part in map(
            slice, range(0, len(frames), windows), range(windows, len(frames) + windows, windows)
        ):
            # One picture of 3 T channels a window: neighbours are weighed once for its T frames.
            pixels = (frames[part].float() - nothing).flatten(1, 2)
            grid = _grid(affines[part], height, width).to(device, non_blocking=True)
            pixels = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
            pixels = pixels.reshape(-1, length, 3, height, width).add_(nothing).round_()
            result[part] = _coloured(pixels, colours[part]).round_().clamp_(0, 255)
    return result


def _coloured(pixels: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
    """Pixels `[B, T, 3, H, W]` under maps `[B, 3, 4]`."""
    # By products of planes: a matrix product may be done in TF32, which knows 11 bits.
    weights = colours[:, None, :, :, None, None]
    red, green, blue = pixels[:, :, None].unbind(3)
    mixed = weights[:, :, :, 0] * red + weights[:, :, :, 1] * green + weights[:, :, :, 2] * blue
    return mixed.add_(weights[:, :, :, 3])


def is_identity(matrices: torch.Tensor, colours: torch.Tensor) -> bool:
    """Whether nothing is left to be done."""
    eye = torch.eye(4, dtype=matrices.dtype)
    return bool((matrices == eye[:3, :3]).all() and (colours == eye[:3]).all())


def _affines(matrices: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """What takes (x, y, 1) of a new pixel to where `grid_sample` finds it in the old picture: float64 `[B, 2, 3]`, to
    -1..1 from the centre of the first pixel to that of the last (`align_corners`), for pixel centres are at whole
    numbers.
    """
    inverse = np.linalg.inv(matrices.numpy())
    to_unit = np.diag([2.0 / max(width - 1, 1), 2.0 / max(height - 1, 1), 1.0])
    to_unit[:2, 2] = -1.0
    return torch.from_numpy((to_unit @ inverse)[:, :2])


def _grid(affines: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The places of all new pixels: float32 `[B, H, W, 2]`, made where the affines lie.

    A batch of 16 at 512x288 has 19 MB of them, and 38 ms of a core's work: a GPU is sent 768 bytes instead.
    """
    # In float64 up to the end: in pixels, float32 would be off by 3e-5.
    x = torch.arange(width, dtype=torch.float64, device=affines.device)
    y = torch.arange(height, dtype=torch.float64, device=affines.device)[:, None]
    weights = affines[:, None, None]
    return (weights[..., 0] * x[..., None] + weights[..., 1] * y[..., None] + weights[..., 2]).float()
