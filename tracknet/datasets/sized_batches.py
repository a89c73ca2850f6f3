"""A batch at another input size than it is stored at: frames resampled on the model's device, targets drawn for it.

Frames are resampled by a triangle as wide as the coarser of the two grids (`antialias`): what PIL calls bilinear, and
what the frames were most likely stored with. Shrinking without it aliases: a ball of three pixels comes and goes with
its place. A bicubic one rings: a dark ring about every bright ball, which no stored frame has.

Where the balls are is left in *stored* input pixels by the workers, who do not know the optimizer's steps, and scaled
here, before anything is drawn: targets are those of a picture that always had this size.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional as F

from tracknet.datasets.batch import Batch
from tracknet.datasets.mixup import mix_targets
from tracknet.datasets.targets import draw_targets
from tracknet.utils.geometry import Size, scaling

# In float32 and several copies, so that a large batch takes no more memory than this: 0.3 GB at 512x288.
_FRAMES_AT_ONCE = 48


def at_size(batch: Batch, size: Size, heatmap_size: Size, sigma_cells: float) -> Batch:
    """The batch at an input size.

    Args:
        batch: with `balls` and `mix` in place of heatmaps, as stored; its frames on any device, and augmented.
        size: of the frames.
        heatmap_size: of the targets.
        sigma_cells: of the targets.
    """
    assert batch.balls is not None
    stored = Size(batch.frames.shape[-1], batch.frames.shape[-2])
    frames, to_frame = batch.frames, batch.to_frame
    if size != stored:
        frames = resize_frames(frames, size)
        to_frame = to_frame @ torch.from_numpy(scaling(size, stored))
    targets = _targets(batch, stored, heatmap_size, sigma_cells).to(batch.frames.device, non_blocking=True)
    return replace(batch, frames=frames, to_frame=to_frame, heatmaps=targets, balls=None, mix=None)


@torch.no_grad()
def resize_frames(frames: torch.Tensor, size: Size) -> torch.Tensor:
    """Uint8 `[B, T, 3, H, W]` to the same of another size; pixel centres move as `geometry.scaling` says.

    By a forward pass alone: the same result for the same input, also on CUDA; of two devices within a grey level.
    """
    windows, length = frames.shape[:2]
    shape = (windows * length, size.height, size.width, 3)
    # Channels innermost, as the frames come.
    result = torch.empty(shape, dtype=torch.uint8, device=frames.device).permute(0, 3, 1, 2)
    for start in range(0, windows * length, _FRAMES_AT_ONCE):
        part = slice(start, start + _FRAMES_AT_ONCE)
        result[part] = _resampled(frames.flatten(0, 1)[part], size)
    return result.reshape(windows, length, 3, size.height, size.width)


def _resampled(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """Uint8 `[N, 3, H, W]`, on CUDA by way of float32.

    CPUs have a kernel of fixed point, 40 times as fast as float32. CUDA has none for uint8, and other devices none
    that antialiases in all versions of torch: for them a CPU does it.
    """
    exact = pixels.float() if pixels.device.type == "cuda" else pixels.cpu()
    made = F.interpolate(
        exact, (size.height, size.width), mode="bilinear", align_corners=False, antialias=True
    )
    return made if made.dtype == torch.uint8 else made.round_().clamp_(0, 255).to(torch.uint8)


def _targets(batch: Batch, stored: Size, heatmap_size: Size, sigma_cells: float) -> torch.Tensor:
    """Float16 `[B, M, h, w]` on the CPU: 3 us a map, by what draws them in the workers otherwise."""
    assert batch.balls is not None and batch.mix is not None
    balls = batch.balls.numpy()
    shape = (*balls.shape[:2], heatmap_size.height, heatmap_size.width)
    targets = torch.empty(shape, dtype=torch.float16, pin_memory=batch.frames.device.type == "cuda")
    maps, weights = targets.numpy(), balls[..., 2].astype("float32")
    draw_targets(balls[..., :2], stored, sigma_cells, maps)
    for first, share in enumerate(batch.mix.tolist()):
        if share > 0:
            pair = slice(first, first + 2)
            mix_targets(maps[pair], weights[pair], share)
    return targets
