"""Counts the windows that were really trained on, to say at an epoch's end whether each was seen once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracknet.datasets.batch import Batch
from tracknet.datasets.stream import WindowStream
from tracknet.training.distributed import Ranks
from tracknet.utils.naming import listed

_SHOWN = 5


@dataclass(frozen=True)
class Coverage:
    """What an epoch, or the part of it that is known, served over all ranks.

    Attributes:
        served: windows, repeated ones as often as they came.
        different: windows that came at all.
        windows: that there are to serve.
        apart: windows among them that no epoch serves, since their frames lie in several blocks of shards.
        too_few: windows that no epoch serves, since their block of shards has fewer than a batch of them.
        masked: windows that came with bad frames, so that nothing was learned from them; not in `different`.
        since_step: the part began after this optimizer step, for the checkpoint that was gone on from knows of no
            other: several ranks wrote it when one was lost; `None` for a whole epoch.
        whole: the epoch's end was reached.
        mixed: of several sources, a small one may be passed over several times.
        problems: what is not as it should be; empty if every window was seen once (in a mix: once a pass).
    """

    served: int
    different: int
    windows: int
    apart: int
    too_few: int
    masked: int
    since_step: int | None
    whole: bool
    mixed: bool
    problems: tuple[str, ...]

    @property
    def text(self) -> str:
        """For a person."""
        at_most = "" if self.whole and self.since_step is None else "at most "
        since = "" if self.since_step is None else f" since step {self.since_step}"
        once = "once a pass" if self.mixed else "once"
        answer = "NO" if self.problems else "yes"
        left = self.windows - self.different - self.apart - self.too_few - self.masked
        rest = f", {left:,} left for other epochs" if left > 0 and not at_most else ""
        rest += f", {self.apart:,} for none: they lie in several blocks" if self.apart else ""
        rest += f", {self.too_few:,} for none: too few in their block for a batch" if self.too_few else ""
        problems = "".join(f"; {problem}" for problem in self.problems)
        return (
            f"every window seen {at_most}{once}{since}: {answer} "
            f"({self.different:,} of {self.windows:,}{rest}{problems})"
        )


class ServedWindows:
    """Counts per window what passes through `take`; 4 bytes a window, and mostly 1 in a checkpoint.

    A checkpoint within an epoch keeps the counts, so that what is said at its end is of the whole epoch, however often
    the training was stopped in it.
    """

    def __init__(self, stream: WindowStream) -> None:
        """Counts nothing yet.

        Args:
            stream: of the training.
        """
        self._stream = stream
        spec = stream.spec
        self._column = spec.map_frames.index(spec.sequence.anchor_index)
        self._counts = np.zeros(len(stream.windows), np.int32)
        self._masked = 0
        self._epoch, self._first_batch, self._step = 0, 0, 0
        # Of the step under way: rows and masked windows, which a checkpoint of the step before does not count.
        self._open: list[tuple[npt.NDArray[np.int64], int]] = []
        self._restored: tuple[int, int] | None = None
        self._took = False

    def begin(self, epoch: int, batch: int, step: int) -> None:
        """Counts an epoch, from a batch of it on, after an optimizer step: anew, or on from what was restored."""
        self._open.clear()
        self._took = False
        if self._restored == (epoch, batch):
            self._restored = None
            return
        self._epoch, self._first_batch, self._step = epoch, batch, step
        self._counts.fill(0)
        self._masked = 0

    def take(self, batch: Batch) -> Batch:
        """Counts the windows of a batch of this rank, and gives it back."""
        # A window is known by its anchor: window i is the one anchored at row i.
        seen = batch.valid.cpu().numpy()
        rows, masked = batch.rows[:, self._column].numpy()[seen], int(np.count_nonzero(~seen))
        np.add.at(self._counts, rows, 1)
        self._masked += masked
        self._open.append((rows, masked))
        self._took = True
        return batch

    def step_taken(self) -> None:
        """What was taken since the last call has been learned from."""
        self._open.clear()

    def state(self, ranks: Ranks) -> dict[str, Any]:
        """What a checkpoint keeps: what all ranks together have learned from. All must call it."""
        counts, masked = self._counts.copy(), self._masked
        for rows, of_batch in self._open:
            np.add.at(counts, rows, -1)
            masked -= of_batch
        total = ranks.total(torch.from_numpy(counts))
        return {
            "epoch": self._epoch,
            "first_batch": self._first_batch,
            "since_step": self._step,
            "masked": int(ranks.total(torch.tensor([masked])).item()),
            # Above 255 only where a mix passes over a small source so often.
            "counts": total.to(torch.uint8) if int(total.max()) < 256 else total.clone(),
        }

    def restore(self, saved: dict[str, Any] | None, epoch: int, batch: int, *, is_main: bool) -> None:
        """Goes on from what `state` gave, where a checkpoint has it.

        Args:
            saved: by `state`; `None` where the checkpoint has none.
            epoch: that is gone on with.
            batch: of that epoch.
            is_main: this rank goes on from all ranks' counts, the others from nothing.
        """
        if saved is None or saved["epoch"] != epoch or len(saved["counts"]) != len(self._counts):
            return
        self._restored = epoch, batch
        self._epoch, self._first_batch, self._step = epoch, saved["first_batch"], saved["since_step"]
        self._counts[:] = saved["counts"].numpy() if is_main else 0
        self._masked = saved["masked"] if is_main else 0

    def coverage(self, batches: int, ranks: Ranks, *, whole: bool) -> Coverage | None:
        """What came of it so far; `None` if nothing came since `begin`, and all was told before a stop.

        Args:
            batches: of the epoch that are taken.
            ranks: who served the other parts of them.
            whole: the epoch ends here.
        """
        if not self._took:
            return None
        expected = (batches - self._first_batch) * self._stream.batch_size * ranks.topology.world_size
        counts = ranks.total(torch.from_numpy(self._counts)).numpy()
        masked = int(ranks.total(torch.tensor([self._masked])).item())
        served = int(counts.sum()) + masked
        problems = [] if served == expected else [f"{served:,} windows served, not {expected:,}"]
        if masked:
            problems.append(
                f"{masked:,} masked, because frames of theirs are bad: nothing was learned from them"
            )
        repeated = np.flatnonzero(counts > self._allowed())
        if len(repeated):
            keys = [self._stream.table.keys[row] for row in repeated.tolist()]
            problems.append(f"too often: {listed(keys, _SHOWN)}")
        blocks = self._stream.blocks
        return Coverage(
            served=served,
            different=int(np.count_nonzero(counts)),
            windows=sum(map(len, self._stream.sources)),
            apart=blocks.left_out if blocks is not None else 0,
            too_few=blocks.too_few if blocks is not None else 0,
            masked=masked,
            since_step=self._step if self._first_batch else None,
            whole=whole,
            mixed=len(self._stream.sources) > 1,
            problems=tuple(problems),
        )

    def _allowed(self) -> npt.NDArray[np.int32]:
        """How often each window may come: `[N]`, as many passes as the epoch takes part in; 0 if filtered out."""
        stream = self._stream
        allowed = np.zeros(len(stream.windows), np.int32)
        for runs, used in zip(stream.sources, stream.windows_used(), strict=True):
            first, end = self._epoch * used, (self._epoch + 1) * used
            passes = -(-end // len(runs)) - first // len(runs)
            allowed[runs.ids] = passes if len(stream.sources) > 1 else 1
        return allowed
