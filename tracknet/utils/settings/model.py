"""The settings under `model`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from tracknet.utils.bounds import bounded
from tracknet.utils.geometry import Size


@dataclass(frozen=True)
class LoraConfig:
    """Low-rank adapters beside a ViT's frozen weights (Hu et al., "LoRA", ICLR 2022)."""

    rank: int = bounded(8, 1, 1024)
    alpha: float = bounded(16.0, above=0.0)
    """The adapters' product is scaled by `alpha / rank`."""
    dropout: float = bounded(0.0, 0.0, 0.9)
    """Of what the adapters see, while training."""
    targets: tuple[str, ...] | None = None
    """Last names of the ViT's linear layers that get one, such as q_proj or fc1; null takes the attention's queries
    and values, as the paper does."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) where no layer is named."""
        if self.targets == ():
            yield "targets", "is empty: name a layer, or null for the attention's queries and values"


@dataclass(frozen=True)
class BackboneConfig:
    """A Hugging Face ViT, or none."""

    name: str = "facebook/dinov3-vitb16-pretrain-lvd1689m"
    """Hub name or local folder; with `pretrained: false` a model type (vit, dinov2, dinov3_vit) will do.
    `none`: the decoder's detail stem is all there is."""
    pretrained: bool = True
    freeze: bool = False
    config: dict[str, Any] = field(default_factory=dict)
    """Overrides of the Hugging Face config (hidden_size, num_hidden_layers, ...), for `pretrained: false`."""
    layers: tuple[int, ...] | None = None
    """Layers whose tokens are read, from 1, such as [3, 6, 9, 12]; deeper ones are not built. null: the last one."""
    lora: LoraConfig | None = None
    """Trains small adapters in place of the weights, and saves a plain model; null trains the weights."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for layers that are out of order, and for layers or adapters that contradict the
        backbone: there is none, or it is frozen.
        """
        if self.layers == ():
            yield "layers", "is empty: name layers, such as [3, 6, 9, 12], or null for the last one"
        elif self.layers is not None and (
            self.layers[0] < 1 or sorted(set(self.layers)) != list(self.layers)
        ):
            yield "layers", f"must ascend from 1 or more, got {list(self.layers)}"
        if self.layers is not None and self.is_none:
            yield "layers", "a model without a backbone has no layers: leave it null"
        if self.lora is not None and self.is_none:
            yield "lora", "adapts a ViT, and there is none: take it out, or name a backbone"
        elif self.lora is not None and self.freeze:
            yield "lora", "keeps the weights as they are by itself: set model.backbone.freeze=false"

    @property
    def is_none(self) -> bool:
        """There is no ViT: nothing is downloaded, pretrained or frozen."""
        return self.name == "none"


@dataclass(frozen=True)
class FusionConfig:
    """How the tokens of a window's T frames become one map."""

    kind: Literal["concat", "attention", "anchor"] = "concat"
    """`concat`: through one 1x1 convolution; `attention`: over time, and then so; `anchor`: the window's anchor frame
    alone has tokens, so that training runs the backbone once a window."""
    layers: Literal["concat", "sum"] = "concat"
    """How the tokens of several `backbone.layers` become one map, before the frames do: `concat` through a 1x1
    convolution, or a `sum` with one learned weight per layer."""


@dataclass(frozen=True)
class DecoderConfig:
    """From the patch grid up to the heatmap."""

    channels: tuple[int | Literal["C"], ...] = ("C", 256, 128, 64)
    """Width before the first and after every stage; `C` stands for the backbone's width (without one, for that
    of the stem's last level)."""
    upsample: tuple[int, ...] = (2, 2, 2)
    """Factor of every stage."""
    kind: Literal["deconv", "interpolate"] = "deconv"
    skip: Literal["none", "detail"] = "detail"
    """`detail` adds a shallow convolutional stem over the stacked frames, whose maps join every stage."""
    detail_channels: int = bounded(32, 4, 1024)
    """Width of the detail stem at stride 2; it doubles with every halving."""
    detail_levels: int = bounded(3, 1, 6)
    """How often the stem may halve the picture. A model without a backbone starts from its last level, at
    stride 2^levels; beside a backbone only levels that join a stage are built."""
    detail_input: Literal["frames", "frames_and_differences"] = "frames_and_differences"
    """What the stem sees: the stacked frames, and the differences of neighbours as further channels."""
    detail_kernel: Literal[3, 4] = 3
    """Of the stem's convolutions. 3 sees cells half a pixel off their centre at every level, 4 does not."""
    detail_finest: Literal[1, 2] = 2
    """Stride of the stem's finest map. 1 adds a map of the picture's own size, as wide as that at stride 2, for
    heatmaps of that size."""
    convolutions: int = bounded(1, 1, 8)
    """3x3 convolutions of every level of the stem and of every stage; each after the first adds to what it reads."""


@dataclass(frozen=True)
class HeadConfig:
    """What is predicted."""

    maps: Literal["one", "all"] = "one"
    """`one` heatmap for the window's anchor frame, or `all` T of them."""
    prior: float = bounded(0.01, above=0.0, high=0.5)
    """Probability that an untrained head gives every cell (its bias)."""
    subpixel: int = bounded(1, 1, 8)
    """The head makes so many heatmap cells of each cell of the decoder's map, along each axis: the heatmap is as many
    times finer than `decoder.upsample` says, without a stage of that size."""


@dataclass(frozen=True)
class HeatmapConfig:
    """The target, and how a point is read from a prediction."""

    size: Size = Size(256, 144)
    sigma: float = bounded(2.0, above=0.0, high=100.0)
    """Standard deviation of the gaussian, in heatmap cells."""
    decode: Literal["argmax", "soft_argmax", "dark"] = "dark"


@dataclass(frozen=True)
class ModelConfig:
    """Backbone, decoder and head."""

    architecture: Literal["modular", "tracknet_v2", "wasb"] = "modular"
    """`modular` is what `backbone`, `fusion` and `decoder` say. The others are the field's baselines, each of one
    piece: they take `backbone.name: none`, and `fusion` and `decoder` are of no account."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    heatmap: HeatmapConfig = field(default_factory=HeatmapConfig)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (dotted key, message) for each setting that contradicts another."""
        if self.architecture != "modular":
            if not self.backbone.is_none:
                yield "backbone.name", f"{self.architecture} has no backbone: set model.backbone.name=none"
            if self.head.subpixel != 1:
                yield "head.subpixel", f"{self.architecture} draws at its input's size as it is: set it to 1"
            return
        if self.backbone.is_none and self.decoder.skip != "detail":
            yield "decoder.skip", "a model without a backbone sees with its detail stem: set it to detail"
        stages, widths = len(self.decoder.upsample), len(self.decoder.channels)
        if stages == 0 or any(factor < 1 for factor in self.decoder.upsample):
            yield (
                "decoder.upsample",
                f"needs one or more factors of at least 1, got {list(self.decoder.upsample)}",
            )
        elif widths != stages + 1:
            yield (
                "decoder.channels",
                f"{widths} widths for {stages} stages of decoder.upsample: "
                f"give {stages + 1}, one before the first stage and one after each",
            )
        if any(width != "C" and int(width) < 1 for width in self.decoder.channels):
            yield "decoder.channels", "widths must be at least 1"
        if "C" in self.decoder.channels[1:]:
            yield "decoder.channels", "only the first width may be C (the backbone's)"
