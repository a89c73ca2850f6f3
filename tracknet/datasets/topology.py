"""Which of several processes that train or evaluate together this one is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tracknet.utils.errors import UserError


@dataclass(frozen=True, slots=True)
class Topology:
    """This process among all.

    Attributes:
        rank: its number, from 0.
        world_size: how many there are.
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} of {self.world_size}")

    @classmethod
    def of_torchrun(cls) -> Topology:
        """What torchrun's variables RANK and WORLD_SIZE say; alone where they are not set."""
        if "RANK" not in os.environ:
            return cls()
        return cls(int(os.environ["RANK"]), int(os.environ.get("WORLD_SIZE", "1")))

    def slots(self, batch_size: int) -> slice:
        """The slots of the global batch that this rank serves: `[r * B / R, (r + 1) * B / R)`.

        Raises:
            UserError: the batch cannot be split evenly; names the nearest sizes that can.
        """
        each, rest = divmod(batch_size, self.world_size)
        if rest:
            sizes = [size * self.world_size for size in (each, each + 1) if size]
            raise UserError(
                f"training.batch_size={batch_size} windows cannot be split evenly over {self.world_size} processes",
                remedy=f"set training.batch_size to {' or '.join(map(str, sizes))}",
            )
        return slice(self.rank * each, (self.rank + 1) * each)

    def part(self, count: int) -> tuple[int, int]:
        """First and one past the last of the r-th of R contiguous parts of `count`; sizes differ by one at most."""
        return self.rank * count // self.world_size, (self.rank + 1) * count // self.world_size
