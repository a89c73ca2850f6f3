"""Which network makes the map that the head reads: the upsampling decoder, or a baseline as a whole."""

from __future__ import annotations

from tracknet.models.backbones.vit_backbone import patch_grid
from tracknet.models.baselines import BASELINES, Baseline
from tracknet.models.decoders.upsampling_decoder import UpsamplingDecoder, check_reachable
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import ModelConfig


def build_decoder(
    config: ModelConfig, *, in_channels: int, patch_size: int, input_size: Size, num_frames: int
) -> UpsamplingDecoder | Baseline:
    """A module `(features [B, C, Hp, Wp], pixels [B, T, 3, H, W]) -> [B, out_channels, h/r, w/r]`.

    r is `head.subpixel`, which the head makes good.

    Args:
        config: of the model.
        in_channels: C, the backbone's width; 0 without one.
        patch_size: input pixels per feature cell.
        input_size: W and H.
        num_frames: T.

    Raises:
        UserError: the input is no whole number of cells, or the heatmap has a size that is not reached.

    """
    of_vit = in_channels > 0
    grid = patch_grid(input_size, patch_size, of_vit=of_vit)
    baseline = BASELINES.get(config.architecture)
    if baseline is None:
        cells = "patches" if of_vit else f"cells of the stride {patch_size}"
        check_reachable(
            config.heatmap.size, grid, config.decoder.upsample, input_size, config.head.subpixel, cells=cells
        )
        return UpsamplingDecoder(
            config.decoder, in_channels=in_channels, patch_size=patch_size, num_frames=num_frames
        )
    if config.heatmap.size != input_size:
        raise UserError(
            f"{config.architecture} draws maps of its input's size {input_size}, not {config.heatmap.size}",
            remedy=f"set model.heatmap.size=[{input_size.width},{input_size.height}]",
        )
    return baseline(num_frames)
