"""What a sample looks like: the part of a configuration that decides it."""

from __future__ import annotations

from dataclasses import dataclass

from tracknet.utils.geometry import Size
from tracknet.utils.settings import AugmentConfig, Config, SequenceConfig, SizesConfig


@dataclass(frozen=True)
class SampleSpec:
    """Everything that decides what a sample looks like, apart from the frames themselves.

    Attributes:
        sequence: length, stride and anchor of the windows.
        input_size: of the frames, input pixels.
        heatmap_size: of the targets, cells.
        sigma_cells: of the targets.
        map_frames: positions in the window that get a map: M of them.
        class_weights: loss weight of visibility 0, 1, 2, 3; 0 for absent balls that are masked.
        augment: `None` for none.
        seed: of the augmentation.
        sizes: that steps are trained at, where they are several: workers then leave the targets undrawn, and say where
            the balls are instead.
        late: pixels are augmented on the model's device, not by the workers; nothing else differs, and so it is no
            part of what a stream is described by.
    """

    sequence: SequenceConfig
    input_size: Size
    heatmap_size: Size
    sigma_cells: float
    map_frames: tuple[int, ...]
    class_weights: tuple[float, float, float, float]
    augment: AugmentConfig | None
    seed: int
    sizes: SizesConfig | None = None
    late: bool = False

    @property
    def shares_transforms(self) -> bool:
        """Whether the windows of a piece of the shuffle are augmented alike."""
        return self.augment is not None and self.augment.per == "run"

    @property
    def shares_warped_frames(self) -> bool:
        """Whether they share the augmented frames too."""
        return self.shares_transforms and not self.late

    @classmethod
    def for_training(cls, config: Config, input_size: Size, device_type: str = "cpu") -> SampleSpec:
        """The samples that a configuration trains on.

        Args:
            config: the whole configuration.
            input_size: of the frames.
            device_type: of the model, torch's name: with `data.augment.by=auto` a GPU augments for itself.
        """
        sequence, loss = config.data.sequence, config.training.loss
        weights = [loss.visibility_weights.get(code, 1.0) for code in range(4)]
        if loss.absent == "mask":
            weights[0] = 0.0
        return cls(
            sequence=sequence,
            input_size=input_size,
            heatmap_size=config.model.heatmap.size,
            sigma_cells=config.model.heatmap.sigma,
            map_frames=sequence.map_frames(config.model.head.maps),
            class_weights=(weights[0], weights[1], weights[2], weights[3]),
            augment=config.data.augment if config.data.augment.enabled else None,
            seed=config.training.seed,
            sizes=config.training.sizes if config.training.sizes.used else None,
            late=config.data.augment.is_late(device_type),
        )
