"""From the patch grid up to the heatmap, a stage at a time, with pixel detail joined in at every stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tracknet.models.decoders.blocks import conv_blocks
from tracknet.models.decoders.detail_stem import DetailStem, nearest_level, stem_strides
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import DecoderConfig


class UpsamplingStage(nn.Module):
    """Upsample by a whole factor, join the skip, convolve.

    Args:
        incoming: width of the coarser map.
        outgoing: width of the finer one.
        skip: width of the map that joins in, 0 for none.
        factor: how much finer.
        kind: `deconv` learns the upsampling (ConvTranspose, kernel = stride, so that no cell gets more taps
            than its neighbours); `interpolate` is bilinear after a 1x1 convolution.
        convolutions: 3x3 ones, how many.

    """

    def __init__(
        self, incoming: int, outgoing: int, skip: int, factor: int, *, kind: str, convolutions: int
    ) -> None:
        super().__init__()
        self.up: nn.Module
        if kind == "deconv":
            self.up = nn.ConvTranspose2d(incoming, outgoing, kernel_size=factor, stride=factor)
        else:
            # The two are linear and commute; narrowing first is cheaper.
            self.up = nn.Sequential(
                nn.Conv2d(incoming, outgoing, kernel_size=1),
                nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False),
            )
        self.conv = conv_blocks(outgoing + skip, outgoing, count=convolutions)

    def forward(self, coarse: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """`[B, incoming, Y, X]` and optionally `[B, skip, ~factor*Y, ~factor*X]`, to `factor` times finer."""
        fine = self.up(coarse)
        if skip is not None:
            if skip.shape[-2:] != fine.shape[-2:]:
                skip = F.interpolate(skip, size=fine.shape[-2:], mode="bilinear", align_corners=False)
            fine = torch.cat([fine, skip.to(fine.dtype)], dim=1)
        return cast(torch.Tensor, self.conv(fine))


class UpsamplingDecoder(nn.Module):
    """Fused features `[B, C, Hp, Wp]` and pixels to a map `[B, out_channels, h, w]`.

    Without a backbone (C = 0) it starts from the last level of its detail stem.

    Args:
        config: widths, factors, kind of upsampling, skip.
        in_channels: C, the backbone's width; 0 without one.
        patch_size: input pixels per feature cell; chooses the skip of every stage.
        num_frames: T, for the detail stem.

    """

    def __init__(self, config: DecoderConfig, *, in_channels: int, patch_size: int, num_frames: int) -> None:
        super().__init__()
        self.starts_from_stem = in_channels == 0
        self.computes_again = False
        self.skip_levels: list[int] = []
        self.stem: DetailStem | None = None
        skip_widths = [0] * len(config.upsample)
        if config.skip == "detail":
            strides = [patch_size / math.prod(config.upsample[: n + 1]) for n in range(len(config.upsample))]
            # `detail_levels` counts halvings; a map of the picture's own size comes before the first.
            offered = stem_strides(config, config.detail_levels + (config.detail_finest == 1))
            self.skip_levels = [nearest_level(stride, offered) for stride in strides]
            levels = len(offered) if self.starts_from_stem else max(self.skip_levels) + 1
            self.stem = DetailStem(config, num_frames=num_frames, levels=levels)
            skip_widths = [self.stem.widths[level] for level in self.skip_levels]
        if self.starts_from_stem and self.stem is not None:
            in_channels = self.stem.widths[-1]
        widths = [in_channels if width == "C" else width for width in config.channels]
        self.out_channels = widths[-1]
        self.project: nn.Module = nn.Identity()
        if widths[0] != in_channels:
            self.project = nn.Conv2d(in_channels, widths[0], kernel_size=1)
        self.stages = nn.ModuleList(
            UpsamplingStage(
                widths[n],
                widths[n + 1],
                skip_widths[n],
                factor,
                kind=config.kind,
                convolutions=config.convolutions,
            )
            for n, factor in enumerate(config.upsample)
        )

    def gradient_checkpointing(self, enabled: bool) -> None:
        """Trades a second forward pass of every stage for its activations' memory."""
        self.computes_again = enabled

    def forward(self, features: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Features `[B, C, Hp, Wp]` and normalised pixels `[B, T, 3, H, W]` to `[B, out_channels, h, w]`."""
        details = self.stem(pixels) if self.stem is not None else []
        fine = self.project(details[-1] if self.starts_from_stem else features)
        for n, stage in enumerate(self.stages):
            skip = details[self.skip_levels[n]] if details else None
            if self.computes_again and torch.is_grad_enabled():
                fine = checkpoint(stage, fine, skip, use_reentrant=False)
            else:
                fine = stage(fine, skip)
        return cast(torch.Tensor, fine)


def check_reachable(
    heatmap: Size,
    grid: Size,
    upsample: tuple[int, ...],
    input_size: Size,
    subpixel: int = 1,
    *,
    cells: str = "patches",
) -> None:
    """Refuses a heatmap size that is not the patch grid times the factors of the decoder and of the head.

    `cells` is what messages call those of the grid.

    Raises:
        UserError: with the sizes that this input can reach, and the factors that would reach the one asked for.

    """
    factor = math.prod(upsample)
    # What the head makes of a patch, before the decoder's factors.
    grid, patches = Size(grid.width * subpixel, grid.height * subpixel), grid
    reached = Size(grid.width * factor, grid.height * factor)
    if reached == heatmap:
        return
    remedy = f"set model.heatmap.size=[{reached.width},{reached.height}]"
    wanted, rest = divmod(heatmap.width, grid.width)
    if rest == 0 and wanted > 0 and heatmap.height == wanted * grid.height:
        factors = _factors(wanted)
        remedy += f", or model.decoder.upsample={_listed(factors)}"
        remedy += f" with {len(factors) + 1} widths in model.decoder.channels"
    else:
        others = [
            f"[{grid.width * product},{grid.height * product}] with {_listed(_factors(product))}"
            for product in (1, 2, 4, 8, 16)
            if product != factor and grid.width * product <= input_size.width
        ]
        remedy += f"; with another model.decoder.upsample: {', '.join(others)}"
    raise UserError(
        f"the decoder cannot reach model.heatmap.size={_listed(heatmap)}: the input {input_size} has {patches} "
        f"{cells}, and model.decoder.upsample={_listed(upsample)} "
        + (f"with model.head.subpixel={subpixel} " if subpixel > 1 else "")
        + f"makes {reached} cells of them",
        remedy=remedy,
    )


def _factors(number: int) -> list[int]:
    """Small factors of a number, as stages: 8 -> [2, 2, 2], 7 -> [7], 1 -> [1]."""
    factors, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors or [1]


def _listed(numbers: Sequence[int]) -> str:
    """As a command line takes it: no blanks."""
    return f"[{','.join(map(str, numbers))}]"
