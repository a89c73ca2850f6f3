"""The settings of `model.backbone.lora`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracknet.utils.bounds import bounded


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
        """No layer asked for."""
        if self.targets == ():
            yield "targets", "is empty: name a layer, or null for the attention's queries and values"
