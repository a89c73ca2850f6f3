"""What a frozen backbone's tokens depend on beside the frames: equal identities give equal tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tracknet.utils.config import to_plain
from tracknet.utils.geometry import Size


@dataclass(frozen=True)
class BackboneIdentity:
    """A backbone as it sees the frames.

    Attributes:
        name: as configured, for people: one checkpoint may lie under several names.
        weights_sha256: of every weight in float32, by name and shape: 64 hex digits.
        settings: of `model.backbone` beside name, weights and freezing, in plain values.
        image_size: of the frames, in pixels.
        mean: what the pixels (0..1) are normalised with, per channel.
        std: what they are divided by then, per channel.
        grid: tokens across and down: Wp x Hp.
        channels: C, of a token.
    """

    name: str
    weights_sha256: str
    image_size: Size
    grid: Size
    channels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def tokens(self) -> str:
        """`36x20 tokens of 384 channels`, for people."""
        return f"{self.grid} tokens of {self.channels} channels"

    def differences(self, asked: BackboneIdentity) -> list[str]:
        """In what another backbone's tokens would differ, for people; empty where they are the same."""
        problems = []
        if self.weights_sha256 != asked.weights_sha256:
            problems.append(
                f"backbone: {self.name} (weights {self.weights_sha256[:12]}) there, "
                f"{asked.name} (weights {asked.weights_sha256[:12]}) in this model"
            )
        for name in ("image_size", "grid", "channels", "mean", "std", "settings"):
            there, here = getattr(self, name), getattr(asked, name)
            if there != here:
                problems.append(
                    f"{name.replace('_', ' ')}: {_shown(there)} there, {_shown(here)} in this model"
                )
        return problems


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Size) else str(to_plain(value))
