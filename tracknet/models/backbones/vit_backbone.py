"""A Hugging Face ViT as a map of features: pixels in, a grid of patch tokens out."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from tracknet.models.backbones.depths import layer_depths
from tracknet.models.backbones.layer_taps import LayerTaps
from tracknet.models.backbones.lora import add_adapters, is_adapter
from tracknet.models.backbones.positions import mend_positions
from tracknet.utils.errors import UserError, first_line
from tracknet.utils.geometry import Size
from tracknet.utils.settings import LoraConfig


class ViTBackbone(nn.Module):
    """A ViT without its CLS and register tokens.

    Args:
        vit: a Hugging Face vision transformer whose config has `hidden_size` and `patch_size`.
        freeze: no gradients, no gradient memory, and `eval()` even while the rest trains (DINOv3 jitters its
            position embeddings in train mode, others drop out).
        layers: numbers from 1, ascending, of the layers whose tokens are wanted, the deepest one last; `None`
            is the deepest alone.

    Attributes:
        width: of one layer's tokens, C.
        num_layers: how many layers' tokens come out, L.
        out_channels: `L * C`.

    """

    def __init__(
        self, vit: PreTrainedModel, *, freeze: bool = False, layers: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        self.vit = vit
        self.hf_config = vit.config
        self.width = int(self.hf_config.hidden_size)
        self.num_layers = len(layers or (0,))
        self.out_channels = self.num_layers * self.width
        self._taps = LayerTaps(vit, layers) if layers is not None and len(layers) > 1 else None
        self.patch_size = patch_size_of(self.hf_config)
        self._special_tokens = 1 + int(getattr(self.hf_config, "num_register_tokens", 0) or 0)
        if getattr(vit, "pooler", None) is not None:
            vit.pooler = None  # never used; its parameters would be trained without a gradient
        takes_interpolation = "interpolate_pos_encoding" in inspect.signature(vit.forward).parameters
        self._native_size = _native_size(self.hf_config) if takes_interpolation else None
        if self._native_size is not None:
            height, width = self._native_size
            mend_positions(vit, Size(width, height), self.patch_size)
        self._adapted = False
        self.set_frozen(freeze)

    def set_frozen(self, freeze: bool) -> None:
        """Freezes or thaws every weight that is to be trained at all."""
        self.freeze = freeze
        for name, parameter in self.vit.named_parameters():
            # Mask tokens belong to pre-training; without a gradient they would stall DDP.
            trainable = is_adapter(name) if self._adapted else not name.endswith("mask_token")
            parameter.requires_grad_(not freeze and trainable)
        self.train(self.training)

    def adapt(self, config: LoraConfig) -> None:
        """Adds adapters, which are trained in place of the weights; raises as `lora.add_adapters` does."""
        add_adapters(self.vit, config)
        self._adapted = True
        self.set_frozen(self.freeze)

    def depths(self) -> dict[str, int]:
        """How deep each weight lies, by its name in here: 0 is the embeddings, `num_hidden_layers + 1` the top."""
        found = layer_depths(self.vit, int(self.hf_config.num_hidden_layers))
        return {f"vit.{name}": depth for name, depth in found.items()}

    def train(self, mode: bool = True) -> ViTBackbone:
        """Training mode, unless frozen."""
        super().train(mode and not self.freeze)
        return self

    def set_attention(self, name: str) -> None:
        """Which implementation its layers use: `sdpa` (torch's fused kernels) or `eager`; the same but for rounding.

        Raises:
            UserError: this model has none of that name.

        """
        try:
            self.vit.set_attn_implementation(name)
        except ValueError as error:
            raise UserError(
                f"model type {self.hf_config.model_type!r} has no {name} attention: {first_line(error)}",
                remedy="set training.speed.attention=eager",
            ) from None

    def gradient_checkpointing(self, enabled: bool) -> None:
        """Trades a second forward pass of every layer for its activations' memory."""
        with warnings.catch_warnings():
            # transformers renamed the methods within 5.x; these names hold for all of it.
            warnings.simplefilter("ignore", FutureWarning)
            if enabled and not self.freeze:
                self.vit.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            else:
                self.vit.gradient_checkpointing_disable()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels `[N, 3, H, W]` float to features `[N, L * C, Hp, Wp]`; H and W whole patches."""
        height, width = pixels.shape[-2:]
        rows, columns = height // self.patch_size, width // self.patch_size
        extra = {}
        if self._native_size is not None and self._native_size != (height, width):
            # ViT refuses another size than its own unless asked; DINOv2 and v3 always adapt.
            extra["interpolate_pos_encoding"] = True
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            if self._taps is None:
                tokens = self.vit(pixel_values=pixels, **extra).last_hidden_state
            else:
                tokens = self._taps.run(self.vit, pixel_values=pixels, **extra)
        tokens = tokens[:, self._special_tokens :]
        if tokens.shape[1] != rows * columns:
            raise UserError(
                f"model type {self.hf_config.model_type!r} gave {tokens.shape[1]} patch tokens for a "
                f"{width}x{height} picture of {self.patch_size}-pixel patches, not {columns}x{rows} = "
                f"{rows * columns}",
                remedy="use a plain ViT (vit, dinov2, dinov3_vit): hierarchical ones have no single grid",
            )
        return cast(torch.Tensor, tokens.transpose(1, 2).unflatten(2, (rows, columns)))


def patch_grid(input_size: Size, patch_size: int, *, of_vit: bool = True) -> Size:
    """How many patches a picture has, or cells of so many pixels where there is no ViT.

    Raises:
        UserError: the picture is no whole number of them; the ViT would cut off the rest silently.

    """
    if input_size.width % patch_size == 0 and input_size.height % patch_size == 0:
        return Size(input_size.width // patch_size, input_size.height // patch_size)

    def nearest(length: int) -> list[int]:
        below = length // patch_size * patch_size
        return sorted({max(below, patch_size), below if below == length else below + patch_size})

    widths, heights = nearest(input_size.width), nearest(input_size.height)
    raise UserError(
        f"the input size {input_size} is no whole number of {patch_size}x{patch_size} patches"
        if of_vit
        else f"width and height must be multiples of this model's stride {patch_size}, and the input size is "
        f"{input_size}",
        remedy=f"set data.resize=[{widths[0]},{heights[0]}] or data.resize=[{widths[-1]},{heights[-1]}] "
        f"(multiples of {patch_size}) and build the shards at that size",
    )


def patch_size_of(hf_config: Any) -> int:
    """The side of a patch in pixels; refuses what is no plain ViT."""
    patch, width, heads = (
        getattr(hf_config, name, None) for name in ("patch_size", "hidden_size", "num_attention_heads")
    )
    if isinstance(patch, Sequence) and len(set(patch)) == 1:
        patch = patch[0]
    if not (isinstance(patch, int) and isinstance(width, int) and isinstance(heads, int)):
        raise UserError(
            f"model type {hf_config.model_type!r} is no plain ViT: its patch_size is {patch}, its hidden_size "
            f"{width}, its num_attention_heads {heads}, where one number each is needed",
            remedy="use vit, dinov2 or dinov3_vit",
        )
    if width % heads:
        raise UserError(
            f"model.backbone.config: hidden_size {width} is no multiple of num_attention_heads {heads}",
            remedy=f"set num_attention_heads to one of {_divisors(width)}",
        )
    return patch


def _native_size(hf_config: Any) -> tuple[int, int]:
    """`(height, width)` that the position embeddings were made for."""
    size = hf_config.image_size
    return (int(size[0]), int(size[1])) if isinstance(size, Sequence) else (int(size), int(size))


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, min(number, 64) + 1) if number % n == 0]
