"""How much memory a loader takes: decoded frames that workers keep, and batches on their way. Kept under a budget."""

from __future__ import annotations

from dataclasses import dataclass

from tracknet.utils.errors import UserError
from tracknet.utils.gigabytes import GB, at_least_gb

# Frames of windows whose run has ended stay until newer ones push them out.
_LEFT_OVER = 1.1


@dataclass(frozen=True)
class CachePlan:
    """What the workers keep.

    Attributes:
        workers: how many keep it, at least 1.
        frames_per_worker: decoded frames that each keeps.
        kept_slots: so many of a batch's B windows have their frames kept; the others decode all T.
        slots: B.
        length: T.
        frame_bytes: of one decoded frame.
        batch_bytes: of one batch.
        batches: on their way at once.
    """

    workers: int
    frames_per_worker: int
    kept_slots: int
    slots: int
    length: int
    frame_bytes: int
    batch_bytes: int
    batches: int

    @property
    def nbytes(self) -> int:
        """Of frames and batches, all workers together."""
        frames = self.workers * self.frames_per_worker * self.frame_bytes
        return frames + self.batches * self.batch_bytes

    @property
    def decodes_per_window(self) -> float:
        """About what to expect, apart from the first windows of every piece."""
        kept = self.kept_slots / self.slots
        return kept + (1.0 - kept) * self.length

    def __str__(self) -> str:
        frames = self.frames_per_worker * self.frame_bytes / GB
        text = (
            f"{self.workers} x {self.frames_per_worker:,} decoded frames ({frames:.2f} GB each) and "
            f"{self.batches} batches, {self.nbytes / GB:.2f} GB"
        )
        if self.kept_slots < self.slots:
            text += (
                f"; data.loader.memory_gb has room for {self.kept_slots} of {self.slots} windows' frames: "
                f"about {self.decodes_per_window:.2f} decodes per window instead of 1"
            )
        return text


def plan_memory(
    *,
    budget_gb: float,
    workers: int,
    lanes: int,
    slots: int,
    length: int,
    stride: int,
    frame_bytes: int,
    batch_bytes: int,
    batches: int,
) -> CachePlan:
    """Chooses what to keep within a budget.

    With M lanes, W workers and B windows of a batch on this rank, a worker serves `M / W` lanes and keeps
    `(M / W) B (T - 1) stride` frames between a window and the next of the same lane and slot, so that this one
    decodes a single new frame. Where the budget has no room for all B, the first few slots of every batch keep
    theirs; the plan, and so the order of the training, stays as it is.

    Args:
        budget_gb: `data.loader.memory_gb`.
        workers: processes or threads that keep frames, at least 1.
        lanes: M of the plan; 0 for an evaluation, whose windows follow each other within the batch.
        slots: B, windows of a batch on this rank.
        length: T.
        stride: between a window's frames.
        frame_bytes: of one decoded frame.
        batch_bytes: of one batch.
        batches: on their way at once.

    Raises:
        UserError: the batches alone are over the budget; says what they need.
    """
    free = round(budget_gb * GB) - batches * batch_bytes
    if free < 0:
        raise UserError(
            f"{batches} batches of {batch_bytes / 1e6:,.0f} MB on their way are over "
            f"data.loader.memory_gb={budget_gb:g}",
            remedy=f"set it to at least {at_least_gb(batches * batch_bytes)}, or lower data.loader.prefetch, "
            "data.loader.workers or training.batch_size",
        )
    room = free // (workers * frame_bytes)
    if length == 1:
        frames, kept = 0, slots
    elif not lanes:
        # One window after the other: those of a batch share the frames in reach of the last.
        frames = length * stride
        frames, kept = (frames, slots) if frames <= room else (0, 0)
    else:
        # While a batch is made, its windows hold one new frame beside the old ones.
        per_slot = _LEFT_OVER * -(-lanes // workers) * (length - 1) * stride + 1
        kept = min(slots, max(0, int((room - length) / per_slot)))
        frames = int(kept * per_slot) + length if kept else 0
    return CachePlan(workers, frames, kept, slots, length, frame_bytes, batch_bytes, batches)
