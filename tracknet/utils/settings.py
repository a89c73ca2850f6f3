"""Every setting of a run: its name, type, default and bounds. `configs/*.yaml` choose values, no more.

Sizes are written `[width, height]` in YAML and arrive as `Size`. Bounds live in the field's metadata and are
checked by `tracknet.utils.config`, all at once; what spans several fields is checked by a `problems` method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from tracknet.utils.ball_settings import (
    MixupConfig,
    MotionBlurConfig,
    OccludeConfig,
    PasteConfig,
    StreakConfig,
    ZoomConfig,
)
from tracknet.utils.bounds import bounded
from tracknet.utils.geometry import Size
from tracknet.utils.lora_settings import LoraConfig
from tracknet.utils.speed_settings import SpeedConfig

# ---------------------------------------------------------------- data


@dataclass(frozen=True)
class SequenceConfig:
    """Which frames make a window."""

    length: int = bounded(3, 1, 64)
    """Frames per window, T. 1 means single images."""
    stride: int = bounded(1, 1, 64)
    """Distance between a window's frames."""
    anchor: Literal["middle", "last"] = "middle"
    """Which of the window's frames it stands for: `middle` sees both neighbours, `last` is causal."""

    @property
    def anchor_index(self) -> int:
        """The position of the anchor frame in its window."""
        return self.length - 1 if self.anchor == "last" else self.length // 2


@dataclass(frozen=True)
class AugmentConfig:
    """One affine and one colour transform for all frames of a window. 0 switches a part off."""

    enabled: bool = True
    per: Literal["run", "window"] = "window"
    """What shares a transform: no two windows, whose frames are warped T times; or the windows of one piece of the
    shuffle (`loader.run_length`), whose frames are then warped once, at the price of two points of F1 on a small
    set (benchmarks/results/augment). Single images: no two, either way."""
    flip_prob: float = bounded(0.5, 0.0, 1.0)
    scale: float = bounded(0.1, 0.0, 0.9)
    """The picture is scaled by a log-uniform factor from [1 / (1 + scale), 1 + scale]."""
    shift: float = bounded(0.05, 0.0, 1.0)
    """Largest shift, as a fraction of the width and height."""
    rotate_deg: float = bounded(3.0, 0.0, 180.0)
    brightness: float = bounded(0.2, 0.0, 1.0)
    contrast: float = bounded(0.2, 0.0, 1.0)
    saturation: float = bounded(0.2, 0.0, 1.0)
    hue_deg: float = bounded(15.0, 0.0, 180.0)
    """Largest turn of the colours; courts differ in colour more than balls do."""
    prob: float = bounded(1.0, 0.0, 1.0)
    """Probability that a window is augmented at all, apart from the flip and from what follows."""
    by: Literal["auto", "workers", "device"] = "auto"
    """Who moves pixels and changes colours: the loader's workers, or the model's device, which gets the frames as they
    are stored; `auto` is the device where that is a GPU. Draws, labels and order are the same either way, pixels
    within 2 grey levels."""

    ball_px: float = bounded(14.0, above=0.0, high=500.0)
    """Diameter of a usual ball, frame pixels: how far around a label `paste` and `streak` look for it (2.5 of them),
    and the measure of `occlude`."""
    paste: PasteConfig = field(default_factory=PasteConfig)
    streak: StreakConfig = field(default_factory=StreakConfig)
    occlude: OccludeConfig = field(default_factory=OccludeConfig)
    motion_blur: MotionBlurConfig = field(default_factory=MotionBlurConfig)
    zoom: ZoomConfig = field(default_factory=ZoomConfig)
    mixup: MixupConfig = field(default_factory=MixupConfig)

    def is_late(self, device_type: str) -> bool:
        """Whether a model on such a device (torch's name: `cpu`, `cuda`, ...) augments for itself.

        Mixup lays finished pictures over each other, so that these are made where it is: in the workers.
        """
        wanted = self.by == "device" or (self.by == "auto" and device_type == "cuda")
        return self.enabled and wanted and self.mixup.prob == 0

    @property
    def looks_around(self) -> bool:
        """Whether a window may be made of frames beyond its own."""
        return self.paste.prob > 0 or self.streak.prob > 0

    def of_windows(self) -> list[str]:
        """The parts in use that change each window in its own way, by name."""
        parts = ("paste", "streak", "occlude", "motion_blur", "zoom")
        return [name for name in parts if getattr(self, name).prob > 0]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Frames that are shared, and changed for one window; and mixed before they are final."""
        if self.per == "run" and self.of_windows():
            yield (
                "per",
                f"run shares frames among windows, which {' and '.join(self.of_windows())} would change: set window",
            )
        if self.by == "device" and self.mixup.prob > 0:
            yield (
                "by",
                "device goes without mixup, which lays finished pictures over each other: set auto or workers",
            )


@dataclass(frozen=True)
class LoaderConfig:
    """How the stream is served. Of a sound data set `lanes` and `run_length` alone change what a training sees."""

    workers: int = bounded(2, 0, 256)
    mode: Literal["auto", "threads", "processes"] = "auto"
    """What the workers are; `auto` takes threads for a few and processes for many."""
    prefetch: int = bounded(2, 1, 64)
    """Batches each worker keeps ready."""
    memory_gb: float = bounded(4.0, above=0.0)
    """Most memory for decoded frames and batches, of all workers together (10^9 bytes)."""
    on_bad_frame: Literal["raise", "skip"] = "raise"
    """A damaged or unreadable frame ends the run, or its windows are masked and counted."""
    max_bad_frames: int = bounded(10, 0)
    """So many are skipped; one more ends the run."""
    slow_read_s: float = bounded(5.0, above=0.0)
    """A frame that takes longer to read is named in a warning."""
    lanes: int | None = bounded(None, 1, 4096)
    """Interleaved parts of the shuffled sequence; more mixes better, fewer decodes less. null: 24, or 16 where the
    data are few for the batch size."""
    run_length: int | None = bounded(None, 1, 4096)
    """Consecutive windows that stay together in the shuffle; null: 48 times the frames that neighbours share."""


@dataclass(frozen=True)
class CacheConfig:
    """Local copies of shards that lie behind URLs; of no account for local shards."""

    dir: str | None = None
    """null: ~/.cache/tracknet/shards, or in $XDG_CACHE_HOME."""
    max_gb: float = bounded(50.0, above=0.0)
    """Most disk for them (10^9 bytes). Training shards that are more are streamed in blocks, in another order."""
    timeout_s: float = bounded(30.0, above=0.0)
    """A connection that is silent for so long is given up, and tried again."""
    attempts: int = bounded(6, 1, 1000)
    """In a row without a byte gained, before the run ends."""


@dataclass(frozen=True)
class FilterConfig:
    """Which windows a training sees; it needs no other shards. Validation sees every frame."""

    visible_only: bool = False
    """Leave out windows none of whose targets has a ball; their frames still serve as neighbours of others."""
    games: tuple[str, ...] | None = None
    """Only these games, by name or number; null takes all."""
    exclude_games: tuple[str, ...] = ()
    every: int = bounded(1, 1, 10_000)
    """Every n-th window of a clip; its frames are as close together as ever."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """No game asked for."""
        if self.games == ():
            yield "games", "is empty: name a game, or null for all"


@dataclass(frozen=True)
class SourceConfig:
    """One of several sets of shards that a training mixes."""

    shards: tuple[str, ...] = ()
    """A folder of built shards, or files, globs or brace patterns of one build; also behind a URL."""
    weight: float | None = bounded(None, above=0.0)
    """Its share of the windows is this over the sum of all; null (in every source) goes by size."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Nothing named."""
        if not self.shards:
            yield "shards", "is missing: name a folder of built shards"


@dataclass(frozen=True)
class DataConfig:
    """Raw material, the shards built from it, and what is read out of them."""

    root: str = "data/tracknet"
    shards: str = "shards"
    """Folder of the built shards: the builder writes there, training reads there (from a URL too)."""
    files: tuple[str, ...] | None = None
    """Training shards to read, as files, globs or brace patterns; null takes all of the folder."""
    sources: tuple[SourceConfig, ...] | None = None
    """Several sets of shards to mix, in place of `shards` and `files`: [{shards: FOLDER, weight: 0.7}, ...]."""
    resize: Size | None = Size(512, 288)
    """Size at which frames are stored and which the model sees; null takes the checkpoint's own."""
    decode: Literal["full", "scaled"] = "full"
    """`scaled` lets the JPEG decoder halve large frames: builds 1.8 times as fast, with a ball 11 % paler."""
    jpeg_quality: int = bounded(95, 50, 100)
    max_megapixels: float = bounded(64.0, above=0.0, high=2000.0)
    """Pictures in tars made elsewhere that state more are refused before they are decoded."""
    num_shards: int = bounded(32, 1, 1000)
    """Training shards; fewer when there is too little data."""
    segment_frames: int = bounded(64, 1, 100_000)
    """Consecutive frames that go into one shard together."""
    val_games: tuple[str, ...] | None = None
    """Games held out for validation, by name or number; null takes the last fifth of those not tested."""
    test_games: tuple[str, ...] = ()
    """Games kept for the test, by name or number: neither trained nor validated on."""
    split_seed: int = bounded(0, 0)
    """Deals the segments to the shards."""
    layout: str = "auto"
    """Of the raw data: `auto`, `tracknet`, `video`, or another that `pipelines.sources` knows."""
    coordinates: Literal["auto", "pixel", "normalised"] = "auto"
    """Of the labels of videos; those of images are in pixels."""
    on_bad_label: Literal["error", "drop", "clip"] = "error"
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    features: str | None = None
    """Folder or URL of the tokens of a frozen backbone (`pipelines.build_features`), which is then not run."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Features of frames that augmentation changes; sources that contradict each other, `files` or features."""
        if self.features is not None and self.augment.enabled:
            yield (
                "augment.enabled",
                "goes without data.features, which are of the frames as they are: set it to false",
            )
        if self.sources is None:
            return
        if self.features is not None:
            yield "features", "goes without data.sources: build shards and features of all sources together"
        if not self.sources:
            yield "sources", "is empty: name at least one, or null to read data.shards"
        if self.files:
            yield "sources", "goes without data.files: a source names its own shards"
        weighted = [source.weight is not None for source in self.sources]
        if any(weighted) and not all(weighted):
            missing = ", ".join(f"[{n}]" for n, has in enumerate(weighted) if not has)
            yield "sources", f"give every source a weight, or none: {missing} has none"


# ---------------------------------------------------------------- model


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
        """Layers out of order, layers of nothing; adapters that nothing could train, or that sit on nothing."""
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

    kind: Literal["concat", "attention"] = "concat"
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
        """What does not fit together, as (dotted key, message)."""
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


# ---------------------------------------------------------------- training


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW."""

    name: Literal["adamw"] = "adamw"
    lr: float = bounded(5e-4, above=0.0)
    backbone_lr: float | None = bounded(None, above=0.0)
    """The backbone's own learning rate; null takes a tenth of `lr` when pretrained, `lr` otherwise."""
    weight_decay: float = bounded(0.05, 0.0)
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = bounded(1.0, above=0.0, high=1.0)
    """Every layer of the backbone learns at this times the rate of the one above it; 1: all at the same."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Betas outside of what AdamW takes."""
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            yield "betas", f"both must be at least 0 and below 1, got {list(self.betas)}"


@dataclass(frozen=True)
class SchedulerConfig:
    """Linear warm-up, then a cosine down to a floor."""

    name: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = bounded(5.0, 0.0)
    min_lr_ratio: float = bounded(0.01, 0.0, 1.0)


@dataclass(frozen=True)
class LossConfig:
    """The heatmap loss."""

    name: Literal["mse", "focal", "quality_focal", "wbce"] = "quality_focal"
    absent: Literal["mask", "negative"] = "mask"
    """Frames without a ball: no loss, or an empty target."""
    visibility_weights: dict[int, float] = field(default_factory=lambda: {1: 1.0, 2: 1.0, 3: 1.0})
    """Loss weight per visibility class; a class left out weighs 1."""
    focal_alpha: float = bounded(2.0, 0.0)
    focal_beta: float = bounded(4.0, 0.0)
    positive_weight: float = bounded(1.0, above=0.0)
    """What the ball's cells weigh beside the background's, by their target."""
    hard_fraction: float = bounded(1.0, above=0.0, high=1.0)
    """Share of a batch's windows, those of the largest loss, that are learned from; 1 takes all."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Weights of classes that do not exist, or below zero."""
        for code, weight in self.visibility_weights.items():
            if code not in (0, 1, 2, 3):
                yield "visibility_weights", f"there is no visibility {code}: use 0, 1, 2 or 3"
            if weight < 0:
                yield "visibility_weights", f"weight {weight} of visibility {code} is below 0"
        if all(self.visibility_weights.get(code, 1.0) == 0 for code in (1, 2, 3)):
            yield "visibility_weights", "every frame with a ball weighs 0: nothing would be learned"
        if self.absent == "mask" and self.visibility_weights.get(0, 0.0) > 0:
            yield (
                "visibility_weights",
                "visibility 0 weighs nothing while absent is mask: set absent: negative",
            )


@dataclass(frozen=True)
class MetricsConfig:
    """What validation reports; distances in frame pixels."""

    pck_px: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0)
    distance_px: float = bounded(5.0, above=0.0)
    """A detection this near the truth counts as right, for precision, recall and F1."""
    monitor: Literal["pck", "f1", "l2"] = "pck"
    """What `best` means: PCK at `distance_px`, F1 over all frames, or mean L2."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Radii that no error is within."""
        if any(radius <= 0 for radius in self.pck_px):
            yield "pck_px", f"radii must be above 0, got {list(self.pck_px)}"


@dataclass(frozen=True)
class TrainingConfig:
    """One training run."""

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    batch_size: int = bounded(8, 1)
    """Windows per step over all devices, before `accumulate`."""
    accumulate: int = bounded(1, 1)
    epochs: int = bounded(30, 1)
    max_steps: int | None = bounded(None, 1)
    """Trains for so many optimizer steps, whatever `epochs` says."""
    amp: Literal["auto", "bf16", "fp16", "off"] = "auto"
    """`auto` is bf16 (else fp16) on CUDA and off on a CPU."""
    grad_clip: float | None = bounded(1.0, above=0.0)
    gradient_checkpointing: bool = False
    seed: int = bounded(0, 0, 2**32 - 1)
    device: str = "auto"
    """`auto` is CUDA where there is one, else the CPU; or a torch device name."""
    threads: int | None = bounded(None, 1)
    """CPU threads of the model; null leaves the choice to torch."""
    log_dir: str = "runs"
    ckpt_dir: str | None = None
    """Where checkpoints go; null is `<log_dir>/<name>/checkpoints`."""
    ckpt_every_steps: int | None = bounded(None, 1)
    """Checkpoints within an epoch; one is written at the end of every epoch in any case."""
    keep_checkpoints: int = bounded(2, 1)
    """How many of the newest to keep; the best one is kept beside them."""
    val_every_epochs: int = bounded(1, 1)
    log_every_steps: int = bounded(10, 1)
    overlay_images: int = bounded(4, 0, 64)
    """Validation frames drawn for TensorBoard after every validation."""
    empty_map_steps: int = bounded(500, 1)
    """A run that locates no balls in its first so many steps (or all, of a shorter run) is told so, with advice."""
    init_from: str | None = None
    """Start a new run from the weights of a model folder."""
    unfreeze_at: int | None = bounded(None, 1)
    """Steps after which a backbone that begins frozen is trained too; null leaves it as it begins."""
    ema: float | None = bounded(None, above=0.0, high=0.999999)
    """Decay of a running average of the weights, which is what is validated and saved; null keeps none."""
    micro_batch: int | Literal["auto"] | None = None
    """Windows that go through the model at a time, in each process; the step is the same, but for batch norm. null:
    all of a batch, and an out-of-memory says how many fit. `auto`: all, halved until they fit."""
    compile: Literal["off", "default", "max-autotune"] = "off"
    """Let torch.compile write the training step's kernels; validation runs without."""
    speed: SpeedConfig = field(default_factory=SpeedConfig)

    def problems(self) -> Iterator[tuple[str, str]]:
        """A part of a batch that holds nothing, and hard windows of parts."""
        if isinstance(self.micro_batch, int) and self.micro_batch < 1:
            yield "micro_batch", f"must be at least 1, got {self.micro_batch}"
        elif self.may_split and self.loss.hard_fraction < 1.0:
            # Which windows are hard is known when all of them have gone through the model.
            yield (
                "micro_batch",
                f"takes a batch of {self.batch_size} in parts, of which nobody can tell its hardest "
                f"{self.loss.hard_fraction:.4g}: leave it null, or set training.loss.hard_fraction=1",
            )

    @property
    def may_split(self) -> bool:
        """Batches may go through the model in parts."""
        return self.micro_batch == "auto" or (
            isinstance(self.micro_batch, int) and self.micro_batch < self.batch_size
        )


@dataclass(frozen=True)
class Config:
    """Everything a run depends on."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is asked of a backbone that is not there or never learns, or features in place of one that does."""
        backbone, training = self.model.backbone, self.training
        never_learns = backbone.is_none or (backbone.freeze and training.unfreeze_at is None)
        if training.optimizer.layer_decay < 1.0 and never_learns:
            yield (
                "training.optimizer.layer_decay",
                "is of a backbone that learns, and there is none: set it to 1",
            )
        if training.unfreeze_at is not None and (backbone.is_none or not backbone.freeze):
            remedy = "take it out" if backbone.is_none else "set model.backbone.freeze=true to begin so"
            yield "training.unfreeze_at", f"is of a backbone that begins frozen, and there is none: {remedy}"
        if self.data.features is not None and backbone.is_none:
            yield "data.features", "this model has no backbone (model.backbone.name=none): set it to null"
        elif self.data.features is not None and not backbone.freeze:
            yield "data.features", "goes with a frozen backbone only: set model.backbone.freeze=true"
        elif self.data.features is not None and training.unfreeze_at is not None:
            yield "data.features", "goes with a backbone that stays frozen: take training.unfreeze_at out"
