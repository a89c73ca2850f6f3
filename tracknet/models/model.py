"""The assembly: frames in, heatmap logits out, and points read from them.

`uint8 frames -> normalise -> ViT per frame -> fusion of its layers, if several are read -> fusion over time ->
upsampling decoder -> head`. The two halves can be called apart: `encode_frames` (up to the ViT) once per frame,
`decode_features` once per window, so that overlapping windows share the expensive half. Without a backbone, and in
the baselines, all the work is in the second half.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from tracknet.models import persistence, publishing
from tracknet.models.backbones.build import build_backbone
from tracknet.models.backbones.no_backbone import NoBackbone
from tracknet.models.backbones.vit_backbone import ViTBackbone
from tracknet.models.decoders.build import build_decoder
from tracknet.models.decoders.upsampling_decoder import UpsamplingDecoder
from tracknet.models.depth_fusion import build_depth_fusion
from tracknet.models.fusion import build_fusion, fused_frames
from tracknet.models.heads.heatmap_head import HeatmapHead
from tracknet.models.normalise import normalised
from tracknet.utils import heatmap as heatmaps
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.processor import IMAGENET_MEAN, IMAGENET_STD
from tracknet.utils.settings import ModelConfig, SequenceConfig


class TrackNet(nn.Module):
    """Finds the ball in a window of T frames.

    Args:
        config: backbone, fusion, decoder, head, heatmap.
        input_size: the frames' size in pixels; whole patches.
        num_frames: T.
        anchor: the frame that `head.maps: one` is about.
        frame_stride: distance between a window's frames; the network does not use it, but its caller must.
        mean: per channel, of pixels in 0..1. The defaults of `mean` and `std` are ImageNet's, which DINOv2 and v3
            share; pass what the checkpoint's image processor says.
        backbone: used instead of building one from `config.backbone`.

    Attributes:
        map_frames: the window's frame each map is about, for example `(1,)` or `(0, 1, 2)`.
        fused_frames: the window's frames whose features are looked at; the backbone need not see the others.
        score_threshold: scores below it mean "no ball"; chosen on validation, saved with the weights.
        training_sizes: what frames may also be while training; the weights do not know of it.
        provenance: what the weights came from (run, data, versions); saved with them, plain JSON values.

    Raises:
        UserError: the model cannot be had, or sizes do not fit; with the ones that do.

    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        config: ModelConfig,
        *,
        input_size: Size,
        num_frames: int,
        anchor: Literal["middle", "last"] = "middle",
        frame_stride: int = 1,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        backbone: ViTBackbone | NoBackbone | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.input_size = Size(*input_size)
        self.num_frames = num_frames
        self.anchor = anchor
        self.frame_stride = frame_stride
        self.score_threshold = 0.5
        self.training_sizes: tuple[Size, ...] = ()
        self.provenance: dict[str, Any] = {}
        self.sequence = SequenceConfig(length=num_frames, stride=frame_stride, anchor=anchor)
        self.map_frames = self.sequence.map_frames(config.head.maps)
        self.num_maps = len(self.map_frames)
        # Kept in config.json, not among the weights.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32), persistent=False)
        self.normalisation = (mean, std)

        self.backbone = backbone if backbone is not None else build_backbone(config, self.input_size)
        # In the second half, so that a frozen backbone's features are all that the first half gives.
        self.depth_fusion = build_depth_fusion(config.fusion, self.backbone.width, self.backbone.num_layers)
        self.fused_frames = fused_frames(config.fusion, num_frames, self.sequence.anchor_index)
        self.fusion = build_fusion(config.fusion, self.backbone.width, len(self.fused_frames))
        self.decoder = build_decoder(
            config,
            in_channels=self.backbone.width,
            patch_size=self.backbone.patch_size,
            input_size=self.input_size,
            num_frames=num_frames,
        )
        self.head = HeatmapHead(
            self.decoder.out_channels, self.num_maps, config.head.prior, config.head.subpixel
        )

    def forward(self, frames: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        """Frames uint8 RGB `[B, T, 3, H, W]` (any memory layout) to float32 logits `[B, M, h, w]`.

        Args:
            frames: of the windows; where features are given and `sees_pixels` is false, `[B, T, ...]` of any size.
            features: `[B, T, C, Hp, Wp]` of the frames, computed before (`encode_frames`); the backbone is not run.

        Raises:
            UserError: features are given in place of a backbone that is trained.

        """
        if features is not None:
            if self.training and not getattr(self.backbone, "freeze", False):
                raise UserError(
                    "features stand in for a frozen backbone, and this model's is trained",
                    remedy="freeze it (model.backbone.freeze=true), or train without data.features",
                )
            pixels = self._normalise(frames) if self.sees_pixels else frames
            return self._decode(self._looked_at(features.float()), pixels)
        pixels = self._normalise(frames)
        seen = self._looked_at(pixels)
        return self._decode(self.backbone(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]), pixels)

    @property
    def size_unit(self) -> int:
        """Widths and heights of frames are whole multiples of so many pixels: a patch, or the coarsest stride.

        The stem's strides, 1 to 32, divide a patch of 8 or 16 as far as they are used; of one of 14 they do not at
        any size, and its maps are resampled where they join.
        """
        return self.backbone.patch_size

    @property
    def sees_pixels(self) -> bool:
        """Whether more than the backbone looks at the frames."""
        return not isinstance(self.decoder, UpsamplingDecoder) or self.decoder.stem is not None

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames uint8 `[N, 3, H, W]` to the backbone's features `[N, L * C, Hp, Wp]`, of L layers of width C.

        Without a backbone C is 0.
        """
        return cast(torch.Tensor, self.backbone(self._normalise(frames)))

    def decode_features(self, features: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Features `[B, T, L * C, Hp, Wp]` and their frames uint8 `[B, T, 3, H, W]` to logits `[B, M, h, w]`."""
        return self._decode(self._looked_at(features), self._normalise(frames))

    @torch.no_grad()
    def decode(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `[B, M, h, w]` to the ball's place and score in every map.

        Returns:
            xy in *input* pixels, float32 `[B, M, 2]`; the highest probability, float32 `[B, M]`.

        """
        settings = self.config.heatmap
        return heatmaps.locate(logits, settings.decode, settings.sigma, self.input_size)

    def gradient_checkpointing(self, enabled: bool = True) -> None:
        """Trades compute for memory, layer by layer in the backbone and stage by stage in the decoder.

        The baselines stay as they are: what is computed again would count twice in their batch statistics.
        """
        self.backbone.gradient_checkpointing(enabled)
        if isinstance(self.decoder, UpsamplingDecoder):
            self.decoder.gradient_checkpointing(enabled)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes `config.json`, `model.safetensors` and `README.md`; see `persistence.save`."""
        return persistence.save(self, Path(folder))

    def push_to_hub(self, repo_id: str, *, private: bool = True, **options: Any) -> str:
        """Uploads the model folder to the Hugging Face hub and returns its address; see `publishing.push`.

        Args:
            repo_id: `owner/name`; made if absent.
            private: only you see it. `False` shows it to everyone.
            options: of `publishing.push`: `license`, `evaluations`, `token`, `message`.

        """
        return publishing.push(self, repo_id, private=private, **options)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> TrackNet:
        """The model in a folder that `save_pretrained` wrote, in eval mode; needs no network.

        Args:
            folder: a model folder, or the hub name `owner/model` of one.

        Raises:
            UserError: no such folder, another format, or weights that do not fit, by name.

        """
        source, saved = persistence.read_config(folder)
        model = cls(
            saved.model,
            input_size=saved.input_size,
            num_frames=saved.num_frames,
            anchor=saved.anchor,
            frame_stride=saved.frame_stride,
            mean=saved.mean,
            std=saved.std,
            backbone=persistence.empty_backbone(saved),
        )
        model.score_threshold, model.provenance = saved.score_threshold, saved.provenance
        persistence.load_weights(model, source)
        return model.eval()

    def _normalise(self, frames: torch.Tensor) -> torch.Tensor:
        """Uint8 `[.., 3, H, W]` to float32 of the same shape."""
        if frames.dtype != torch.uint8:
            raise TypeError(f"frames must be uint8 (normalisation happens in here), got {frames.dtype}")
        height, width = frames.shape[-2:]
        fits = (height, width) == (self.input_size.height, self.input_size.width)
        if not fits and not (self.training and (width, height) in self.training_sizes):
            raise ValueError(f"frames are {width}x{height}, the model takes {self.input_size}")
        return normalised(frames, self.mean, self.std)

    def _looked_at(self, of_window: torch.Tensor) -> torch.Tensor:
        """Of pixels or features `[B, T, ...]` those of the fused frames."""
        if of_window.shape[1] != self.num_frames:
            raise ValueError(f"a window has {self.num_frames} frames, got {of_window.shape[1]}")
        return of_window[:, self.fused_frames.start : self.fused_frames.stop]

    def _decode(self, features: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Features of the fused frames `[B, F, L * C, Hp, Wp]` and the window's pixels `[B, T, 3, H, W]` to logits."""
        if pixels.shape[1] != self.num_frames:
            raise ValueError(f"a window has {self.num_frames} frames, got {pixels.shape[1]}")
        return cast(torch.Tensor, self.head(self.decoder(self.fusion(self.depth_fusion(features)), pixels)))
