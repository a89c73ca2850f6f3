"""Every setting of a run: its name, type, default and bounds. `configs/*.yaml` choose values, no more.

Sizes are written `[width, height]` in YAML and arrive as `Size`. Bounds live in the field's metadata and are
checked by `tracknet.utils.settings_checker`, all at once; what spans several fields is checked by a `problems` method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tracknet.utils.settings.augment import AugmentConfig
from tracknet.utils.settings.ball_changes import (
    MixupConfig,
    MotionBlurConfig,
    OccludeConfig,
    PasteConfig,
    StreakConfig,
    ZoomConfig,
)
from tracknet.utils.settings.data import (
    CacheConfig,
    DataConfig,
    FilterConfig,
    LoaderConfig,
    SequenceConfig,
    SourceConfig,
)
from tracknet.utils.settings.model import (
    BackboneConfig,
    DecoderConfig,
    FusionConfig,
    HeadConfig,
    HeatmapConfig,
    LoraConfig,
    ModelConfig,
)
from tracknet.utils.settings.sizes import SizesConfig
from tracknet.utils.settings.training import (
    LossConfig,
    MetricsConfig,
    OptimizerConfig,
    SchedulerConfig,
    SpeedConfig,
    TrainingConfig,
)
from tracknet.utils.settings.trajectory import TrajectoryConfig
from tracknet.utils.settings.without_effect import of_parts_not_there

__all__ = [
    "AugmentConfig",
    "BackboneConfig",
    "CacheConfig",
    "Config",
    "DataConfig",
    "DecoderConfig",
    "FilterConfig",
    "FusionConfig",
    "HeadConfig",
    "HeatmapConfig",
    "LoaderConfig",
    "LoraConfig",
    "LossConfig",
    "MetricsConfig",
    "MixupConfig",
    "ModelConfig",
    "MotionBlurConfig",
    "OccludeConfig",
    "OptimizerConfig",
    "PasteConfig",
    "SchedulerConfig",
    "SequenceConfig",
    "SizesConfig",
    "SourceConfig",
    "SpeedConfig",
    "StreakConfig",
    "TrainingConfig",
    "TrajectoryConfig",
    "ZoomConfig",
]


@dataclass(frozen=True)
class Config:
    """Everything a run depends on."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (dotted key, message) for each setting that contradicts one of another group: the loss, the fusion,
        the backbone's training, the stored features and the sizes of the steps must fit each other.
        """
        backbone, training = self.model.backbone, self.training
        augment, loss = self.data.augment, training.loss
        if augment.enabled and augment.mixup.prob > 0 and loss.name == "focal":
            yield (
                "training.loss.name",
                "focal takes the highest cell alone for a ball, and data.augment.mixup asks for two, by shares: "
                "set quality_focal, mse or wbce, or data.augment.mixup.prob=0",
            )
        if augment.enabled and augment.streak.prob > 0 and self.data.sequence.length == 1:
            yield (
                "data.augment.streak.prob",
                "blurs a ball along its way from frame to frame, and data.sequence.length=1 shows none: set it to 0",
            )
        length, fusion = self.data.sequence.length, self.model.fusion.kind
        if fusion != "concat" and not backbone.is_none:
            if length == 1:
                yield (
                    "model.fusion.kind",
                    f"{fusion} is of several frames, and data.sequence.length=1 shows one: set it to concat",
                )
            elif fusion == "anchor" and self.model.decoder.skip == "none":
                yield (
                    "model.fusion.kind",
                    f"with anchor and without a skip nothing looks at {length - 1} of the {length} frames: set "
                    "model.decoder.skip=detail, or model.fusion.kind=concat with data.sequence.length=1",
                )
        # Here and not under model: a saved model may have been made with them.
        yield from of_parts_not_there(self.model)
        if backbone.is_none and training.optimizer.backbone_lr is not None:
            yield "training.optimizer.backbone_lr", "there is no backbone to learn at it: set it to null"
        if training.sizes.used and self.data.features is not None:
            yield (
                "training.sizes.factors",
                "goes without data.features, which hold the tokens of one size: set it to [], or data.features=null",
            )
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
