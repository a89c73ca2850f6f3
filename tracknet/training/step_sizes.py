"""At which input size each optimizer step is trained: a function of the seed and the step's number."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice, pairwise, repeat

import numpy as np

from tracknet.datasets.batch import Batch
from tracknet.datasets.sized_batches import at_size
from tracknet.models.model import TrackNet
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.naming import counted, listed
from tracknet.utils.settings import SizesConfig, TrainingConfig

_MOST_NAMED = 9


class StepSizes:
    """The sizes of a training's steps. All ranks have the same, and so do all parts of a step.

    Attributes:
        stored: at which frames are stored, and the model is evaluated.
        sizes: that steps take in turns, the smallest first; none where all are at the stored one.
    """

    def __init__(self, training: TrainingConfig, model: TrackNet, total_steps: int) -> None:
        """Works nothing out yet.

        Args:
            training: sizes and seed.
            model: that `training_sizes` were found for.
            total_steps: optimizer steps.
        """
        self._config, self._seed = training.sizes, training.seed
        self._heatmap = model.config.heatmap
        self.stored = model.input_size
        self.sizes = tuple(sorted(model.training_sizes, key=_area))
        self._total_steps = total_steps
        # Rounded up: a share of few steps, too, is a step at the size that is validated at.
        whole = math.ceil(self._config.full_share * total_steps - 1e-9)
        self._changing = total_steps - whole if self.sizes else 0

    def of_step(self, number: int) -> Size:
        """The size of a step, which count from 1."""
        if number > self._changing:
            return self.stored
        count, index = len(self.sizes), number - 1
        if self._config.order == "growing":
            return self.sizes[index * count // self._changing]
        # A turn of as many steps as there are sizes has each once: none is short of steps by chance.
        turn, place = divmod(index, count)
        seed = np.random.SeedSequence(self._seed, spawn_key=(turn,))
        return self.sizes[int(np.random.default_rng(seed).permutation(count)[place])]

    def at(self, batch: Batch, size: Size) -> Batch:
        """A batch, on the device, at a size of these; as it is, where all steps are at the stored one."""
        if not self.sizes:
            return batch
        return at_size(batch, size, self._heatmap_size(size), self._heatmap.sigma)

    @property
    def largest(self) -> Size:
        """Of the steps there are."""
        return max((size for size, count in self._counts().items() if count), key=_area)

    @property
    def mean_area(self) -> float:
        """Of all steps, in pixels."""
        return sum(count * _area(size) for size, count in self._counts().items()) / self._total_steps

    def _counts(self) -> Counter[Size]:
        """How many steps have each size."""
        changing, count = self._changing, len(self.sizes)
        counts = Counter({self.stored: self._total_steps - changing})
        if changing and self._config.order == "growing":
            begins = [-(-place * changing // count) for place in range(count + 1)]
            for size, (begin, end) in zip(self.sizes, pairwise(begins), strict=True):
                counts[size] += end - begin
        elif changing:
            turns, rest = divmod(changing, count)
            counts.update(dict.fromkeys(self.sizes, turns))
            counts.update(self.of_step(number) for number in range(changing - rest + 1, changing + 1))
        return counts

    def describe(self) -> str:
        """For a person: which sizes, and when."""
        if not self.sizes:
            return f"{self.stored} in all steps"
        how = "in turns" if self._config.order == "mixed" else "one after the other"
        rest = self._total_steps - self._changing
        then = f", then {rest} at {self.stored}" if rest else ""
        return f"{', '.join(map(str, self.sizes))} {how} for {counted(self._changing, 'step')}{then}"

    def steps_at_largest(self, count: int) -> list[int]:
        """The numbers of the first steps at the largest size; the last of them again, where there are too few."""
        largest = self.largest
        numbers = range(1 if largest in self.sizes else self._changing + 1, self._total_steps + 1)
        found = list(islice((number for number in numbers if self.of_step(number) == largest), count))
        return [*found, *repeat(found[-1], count - len(found))]

    def _heatmap_size(self, size: Size) -> Size:
        """As many cells a pixel as the stored size has; exact, for both are whole numbers of cells a patch."""
        cells, stored = self._heatmap.size, self.stored
        return Size(cells.width * size.width // stored.width, cells.height * size.height // stored.height)


def fitting_sizes(config: SizesConfig, model: TrackNet) -> tuple[Size, ...]:
    """The sizes that a configuration's factors come to, in their order; none where there are no factors.

    Raises:
        UserError: two factors come to one size, with the factors and sizes there are.
    """
    stored, unit = model.input_size, model.size_unit
    by_size: dict[Size, list[float]] = {}
    for factor in config.factors:
        by_size.setdefault(_rounded(stored, factor, unit), []).append(factor)
    same = [(factors, size) for size, factors in by_size.items() if len(factors) > 1]
    if same:
        named = [f"{factor:g} ({size})" for factor, size in _near(stored, unit, same[0][0][0])]
        raise UserError(
            "training.sizes.factors: some come to the same size",
            problems=[f"{' and '.join(f'{one:g}' for one in factors)}: {size}" for factors, size in same],
            remedy=f"width and height are whole multiples of {unit} px here, of {stored} stored; near by there are "
            f"{listed(named, len(named))}",
        )
    return tuple(by_size)


def _near(stored: Size, unit: int, factor: float) -> list[tuple[float, Size]]:
    """Sizes about that of a factor, the smallest first, each with the middle one of the factors that come to it."""
    by_size: dict[Size, list[float]] = {}
    for percent in range(50, 201):
        other = round(factor * percent / 100, 2)
        by_size.setdefault(_rounded(stored, other, unit), []).append(other)
    by_size[stored] = [1.0]
    found = [(factors[len(factors) // 2], size) for size, factors in by_size.items()]
    nearest = sorted(found, key=lambda one: abs(math.log(one[0] / factor)))[:_MOST_NAMED]
    return sorted(nearest)


def _rounded(stored: Size, factor: float, unit: int) -> Size:
    """The nearest whole number of units to each side, at least one."""
    width, height = (max(1, int(length * factor / unit + 0.5)) * unit for length in stored)
    return Size(width, height)


def _area(size: Size) -> int:
    return size.width * size.height
