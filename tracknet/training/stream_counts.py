"""What the training stream did so far, over all ranks: windows, decodes, and frames that were bad or slow."""

from __future__ import annotations

from dataclasses import dataclass

from tracknet.datasets.faults import less_bad
from tracknet.datasets.loader import StreamLoader
from tracknet.training.distributed import Ranks
from tracknet.utils.errors import RunError, shorten


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """What the training stream did since this process started, over all ranks.

    Attributes:
        windows: served.
        decodes: frames decoded for them.
        bad_frames: that could not be had and were skipped.
        slow_frames: that were slow to come.
    """

    windows: int
    decodes: int
    bad_frames: int
    slow_frames: int

    @property
    def decodes_per_window(self) -> float:
        """1 is the least for frames that windows share."""
        return self.decodes / max(1, self.windows)

    @property
    def text(self) -> str:
        """For a person; faults only where there are any."""
        faults = "".join(
            f", {count} {what}"
            for count, what in (
                (self.bad_frames, "bad frames skipped"),
                (self.slow_frames, "slow reads"),
            )
            if count
        )
        return f"{self.decodes_per_window:.2f} decodes/window{faults}"


def count_stream(train: StreamLoader, ranks: Ranks) -> StreamCounts:
    """Adds up what all ranks' loaders counted; all must call it.

    Raises:
        RunError: the bad frames of all ranks together are more than may be skipped.
    """
    windows, decodes = ranks.numbers(train.windows, train.decodes).sum(axis=0)
    # A frame of windows on two ranks is one bad frame.
    faults = ranks.objects((train.faults.bad, set(train.faults.slow), train.faults.remedies))
    bad = {row: what for of_rank, _, _ in faults for row, what in of_rank.items()}
    slow = set().union(*(of_rank for _, of_rank, _ in faults))
    # Each rank's loader knows its own only.
    if len(bad) > (most := train.faults.most_bad) and not ranks.alone:
        with ranks.on_all():
            raise RunError(
                f"{len(bad)} bad frames, over all {ranks.topology.world_size} processes, are more than "
                f"data.loader.max_bad_frames={most}",
                problems=shorten([bad[row] for row in sorted(bad)]),
                remedy=less_bad(list(dict.fromkeys(remedy for *_, of_rank in faults for remedy in of_rank))),
            )
    return StreamCounts(int(windows), int(decodes), len(bad), len(slow))
