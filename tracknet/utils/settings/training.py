"""The settings under `training`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tracknet.utils.bounds import bounded
from tracknet.utils.settings.sizes import SizesConfig


@dataclass(frozen=True)
class SpeedConfig:
    """What each is worth on which machine: docs/training_speed.md; `python -m benchmarks.train` measures it."""

    attention: Literal["sdpa", "eager"] = "sdpa"
    """Of the ViT: torch's fused kernels, or matrix by matrix, as a reference."""
    channels_last: bool = True
    """Convolutions keep a pixel's channels side by side in memory."""
    fused_optimizer: bool = True
    """AdamW in one kernel, on the devices that have it."""
    prefetch: bool = True
    """Copy the next batch to the GPU while it computes on this one; without effect on a CPU."""
    tf32: bool = True
    """On CUDA float32 products round their factors to 10 bits; what runs in bf16 is not concerned."""
    cudnn_benchmark: bool = True
    """On CUDA the fastest of cuDNN's convolutions are found by trial, so that two runs may differ in rounding."""


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
        """Yields (key, message) where the betas are out of AdamW's bounds."""
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            yield "betas", f"both must be at least 0 and below 1, got {list(self.betas)}"


@dataclass(frozen=True)
class SchedulerConfig:
    """Linear warm-up, then a cosine down to a floor."""

    name: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: float = bounded(5.0, 0.0)
    min_lr_ratio: float = bounded(0.01, 0.0, 1.0)

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for a floor of the cosine where there is none."""
        usual = SchedulerConfig.min_lr_ratio
        if self.name == "constant" and self.min_lr_ratio != usual:
            yield "min_lr_ratio", f"is of the cosine, and constant has none: leave it at {usual:g}"


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
        """Yields (key, message) for weights of unknown classes or below 0."""
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

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for exponents that this loss does not have."""
        alpha, beta = LossConfig.focal_alpha, LossConfig.focal_beta
        if self.name in ("mse", "wbce"):
            for name, usual in (("focal_alpha", alpha), ("focal_beta", beta)):
                if getattr(self, name) != usual:
                    yield name, f"is of the focal losses, and {self.name} has none: leave it at {usual:g}"
        elif self.name == "quality_focal" and self.focal_beta != beta:
            yield "focal_beta", f"is of focal, and quality_focal has none: leave it at {beta:g}"


@dataclass(frozen=True)
class MetricsConfig:
    """What validation reports; distances in frame pixels."""

    pck_px: tuple[float, ...] = (2.0, 5.0, 10.0, 20.0)
    distance_px: float = bounded(5.0, above=0.0)
    """A detection this near the truth counts as right, for precision, recall and F1 under `design`."""
    monitor: Literal["pck", "f1", "l2"] = "pck"
    """What `best` means: PCK at `distance_px`, F1 over all frames under `threshold_protocol`, or mean L2."""
    threshold_protocol: Literal["design", "wasb", "tracknetv2", "tracknet", "racketvision"] = "design"
    """Whose F1 over all frames, false alarms among them, is highest at the model's score threshold."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for radii that are not above 0."""
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
    """CPU threads of the model, at most the CPUs that the process may use; null leaves the choice to torch."""
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
    sizes: SizesConfig = field(default_factory=SizesConfig)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for a `micro_batch` below 1 or above the batch, a share of hard windows that is the
        whole batch, and hard windows together with batches that go through the model in parts.
        """
        if isinstance(self.micro_batch, int) and self.micro_batch < 1:
            yield "micro_batch", f"must be at least 1, got {self.micro_batch}"
        elif isinstance(self.micro_batch, int) and self.micro_batch > self.batch_size:
            yield (
                "micro_batch",
                f"{self.micro_batch} windows at a time are more than a batch has: set at most {self.batch_size} "
                "(training.batch_size), or null for all",
            )
        hard = self.loss.hard_fraction
        if hard < 1.0 and math.ceil(hard * self.batch_size - 1e-9) >= self.batch_size:
            most = (
                f"at most {math.floor(1000 * (1 - 1 / self.batch_size)) / 1000:g}"
                if self.batch_size > 1
                else "1, or training.batch_size=2 or more"
            )
            yield "loss.hard_fraction", f"{hard:.4g} of a batch of {self.batch_size} is all of it: set {most}"
        if self.may_split and hard < 1.0:
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
            isinstance(self.micro_batch, int) and 0 < self.micro_batch < self.batch_size
        )
