"""Learned position embeddings of a grid that is no square, at another size."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from tracknet.utils.geometry import Size


class GridPositions:
    """Stands in for `interpolate_pos_encoding` of a ViT whose embeddings were made for a grid that is no square.

    That of transformers (5.23) takes the root of their number for both sides: the 32x18 patches of 512x288 become
    24x24, without a word, and each patch gets the place of another. Any 16:9 picture of whole patches can be so
    misread, for 16 times 9 is a square number.

    An object, and no closure, so that a copied model has its own.

    Args:
        embeddings: the ViT's, whose `position_embeddings` are `[1, special tokens + patches, C]`.
        grid: patches they were made for.
        patch_size: in pixels.

    """

    def __init__(self, embeddings: nn.Module, grid: Size, patch_size: int) -> None:
        self._of = embeddings
        self._grid = grid
        self._patch_size = patch_size

    def __call__(self, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """`[1, special tokens + patches, C]` for a picture of height by width pixels; as transformers resamples."""
        grid = self._grid
        table = cast(torch.Tensor, self._of.position_embeddings)
        special = table.shape[1] - grid.width * grid.height
        places = table[:, special:].transpose(1, 2).reshape(1, -1, grid.height, grid.width).float()
        size = (height // self._patch_size, width // self._patch_size)
        places = F.interpolate(places, size=size, mode="bicubic", align_corners=False)
        return torch.cat([table[:, :special], places.flatten(2).transpose(1, 2).to(table.dtype)], dim=1)


def mend_positions(vit: PreTrainedModel, native: Size, patch_size: int) -> None:
    """Gives a ViT whose position embeddings are of no square its own resampling of them, in place."""
    grid = Size(native.width // patch_size, native.height // patch_size)
    embeddings = getattr(vit, "embeddings", None)
    if grid.width != grid.height and isinstance(embeddings, nn.Module):
        embeddings.interpolate_pos_encoding = GridPositions(embeddings, grid, patch_size)  # type: ignore[assignment]
