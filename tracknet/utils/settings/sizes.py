"""The settings under `training.sizes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tracknet.utils.bounds import bounded

_SMALLEST, _LARGEST = 0.25, 4.0
# Each costs torch.compile minutes for every length of a batch's parts, and cuDNN its trials.
_MOST = 7


@dataclass(frozen=True)
class SizesConfig:
    """Steps at several input sizes. Off unless there are factors; validation always sees the stored size."""

    factors: tuple[float, ...] = ()
    """Of the stored width and height, such as [0.75, 1, 1.25]: each step has one of them, rounded to what the model
    takes. Empty: all steps are at the stored size."""
    order: Literal["mixed", "growing"] = "mixed"
    """`mixed`: of every n steps each of the n sizes has one, in an order drawn from the seed. `growing`: the smallest
    first, each for as many steps."""
    full_share: float = bounded(0.1, 0.0, 0.9)
    """Of all steps, rounded up, those at the end that are at the stored size, whatever the factors."""

    @property
    def used(self) -> bool:
        """Steps may have other sizes than the stored one."""
        return len(self.factors) > 0

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yields (key, message) for factors that are out of bounds, repeated or too many, for a training that never
        has the stored size, and for settings that need factors where there are none.
        """
        factors = list(self.factors)
        if not factors:
            for name, usual in (("order", "mixed"), ("full_share", 0.1)):
                if getattr(self, name) != usual:
                    yield (
                        name,
                        f"is of several sizes, and training.sizes.factors names none: leave it at {usual}",
                    )
        if any(not _SMALLEST <= factor <= _LARGEST for factor in factors):
            yield "factors", f"must be from {_SMALLEST:g} to {_LARGEST:g} of the stored size, got {factors}"
        if len(set(factors)) < len(factors):
            yield "factors", f"one is named twice: {factors}"
        if len(factors) > _MOST:
            yield "factors", f"at most {_MOST}, for kernels are tuned to each size; got {len(factors)}"
        if factors and 1.0 not in factors and self.full_share == 0:
            yield (
                "full_share",
                "no step would be at the stored size, which is validated at: add 1 to training.sizes.factors, or set "
                "it to 0.1",
            )
