"""The settings under `data.augment`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tracknet.utils.bounds import bounded
from tracknet.utils.settings.ball_changes import (
    MixupConfig,
    MotionBlurConfig,
    OccludeConfig,
    PasteConfig,
    StreakConfig,
    ZoomConfig,
)


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
    warp_prob: float = bounded(0.2, 0.0, 1.0)
    """Of the windows that are augmented, the share that is scaled, turned and shifted by fractions of a pixel, which
    resamples their frames; the others are shifted by whole pixels, in a quarter of the time, and stay as sharp as
    what the model sees later: 1.0 found fewer balls (benchmarks/results/augment)."""

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
        """Yields (key, message) for each setting that contradicts another: parts in use while `enabled` is false, and
        `per` or `by` with parts that they cannot be combined with.
        """
        if not self.enabled:
            # These are off by default: a probability above 0 was set on purpose.
            parts = self.of_windows() + ["mixup"] * (self.mixup.prob > 0)
            if parts:
                yield (
                    "enabled",
                    f"false switches {' and '.join(parts)} off too: set it to true, or their prob to 0",
                )
            return
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
