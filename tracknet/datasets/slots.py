"""Memory for batches that is used again and again, but never while a batch in it is still held.

**A batch is valid for as long as any of its tensors is held**, a slice included. Memory that is handed out comes
back when the last of them is garbage: Python counts them, nobody has to say so. Where memory is limited (the
shared ring) and the consumer holds too much of it, batches are copied out instead; nothing is ever overwritten and
nothing waits for the consumer.
"""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np
import torch

from tracknet.datasets.layout import Buffer

# One batch that is being computed on, and the one before it, which the loop's variable may still name.
HELD = 2


class Slot:
    """Room for one batch. `number` is its place in a ring that several processes see."""

    __slots__ = ("array", "number")

    def __init__(self, array: Buffer, number: int = 0) -> None:
        self.array = array
        self.number = number


class SlotMemory(Protocol):
    """Where batches are written."""

    def take(self) -> Slot:
        """A slot that is not being read."""
        ...

    def hand_out(self, slot: Slot) -> torch.Tensor:
        """The slot's content as a uint8 tensor that is not written to while it, or a view of it, lives."""
        ...

    def give_back(self, slot: Slot) -> None:
        """A slot that was taken and not handed out."""
        ...


class OwnMemory:
    """Ordinary memory of this process: as many slots as are held at a time, `keep` of them kept for reuse.

    Fresh memory would cost a page fault for every 4 KiB of every batch: 20 to 35 us a frame of 512x288.
    """

    def __init__(self, nbytes: int, *, keep: int) -> None:
        self._nbytes = nbytes
        self._keep = keep
        # Garbage is collected at any moment, in any thread: a deque's `append` and `pop` need no lock. The slot
        # that was used last is the next, for it may still be in a cache.
        self._free: deque[Slot] = deque()

    def take(self) -> Slot:
        """A slot used before, or a new one."""
        try:
            return self._free.pop()
        except IndexError:
            return Slot(np.empty(self._nbytes, np.uint8))

    def hand_out(self, slot: Slot) -> torch.Tensor:
        """The slot itself."""
        return _leased(slot, self.give_back)

    def give_back(self, slot: Slot) -> None:
        """Keeps the slot, or lets it go if there are enough."""
        if len(self._free) < self._keep:
            self._free.append(slot)


class PinnedMemory:
    """Page-locked memory, which CUDA copies from while the CPU goes on.

    Each batch asks torch's own allocator, which serves a block again only when the copies out of it are done,
    and so must not be second-guessed with slots of our own.
    """

    def __init__(self, nbytes: int) -> None:
        self._nbytes = nbytes
        self._tensors: dict[int, torch.Tensor] = {}

    def take(self) -> Slot:
        """Memory for one batch."""
        tensor = torch.empty(self._nbytes, dtype=torch.uint8, pin_memory=True)
        slot = Slot(tensor.numpy())
        self._tensors[id(slot)] = tensor
        return slot

    def hand_out(self, slot: Slot) -> torch.Tensor:
        """The memory itself."""
        return self._tensors.pop(id(slot))

    def give_back(self, slot: Slot) -> None:
        """Lets the memory go."""
        del self._tensors[id(slot)]


class SharedRing:
    """A fixed number of slots that processes forked later see too.

    The memory has no name: nothing of it is left in /dev/shm however the processes end.
    """

    def __init__(self, nbytes: int, *, slots: int, pin_memory: bool = False) -> None:
        """Maps the memory; a page costs nothing before it is first written.

        `HELD` slots at most are handed out at a time, so that `slots - HELD` may always be taken.

        Args:
            nbytes: of one batch.
            slots: how many.
            pin_memory: hand out copies in page-locked memory instead of the slots themselves.
        """
        self._nbytes = nbytes
        self._pin_memory = pin_memory
        self._leased = 0
        size = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = np.frombuffer(mmap.mmap(-1, size * slots), np.uint8)
        self.slots = [Slot(whole[n * size : n * size + nbytes], n) for n in range(slots)]
        self._free: SimpleQueue[Slot] = SimpleQueue()
        self._returned: SimpleQueue[Slot] = SimpleQueue()
        for slot in self.slots:
            self._free.put(slot)

    def take(self) -> Slot:
        """A free slot. Raises `Empty` where more are taken than there are, beside those that may be handed out."""
        self._collect_returned()
        return self._free.get_nowait()

    def hand_out(self, slot: Slot) -> torch.Tensor:
        """The slot itself, or a copy of it while the consumer holds as many as it may."""
        self._collect_returned()
        if self._leased < HELD and not self._pin_memory:
            self._leased += 1
            return _leased(slot, self._returned.put)
        copy = torch.empty(self._nbytes, dtype=torch.uint8, pin_memory=self._pin_memory)
        copy.numpy()[:] = slot.array
        self._free.put(slot)
        return copy

    def give_back(self, slot: Slot) -> None:
        """The slot is free again."""
        self._free.put(slot)

    def _collect_returned(self) -> None:
        while True:
            try:
                slot = self._returned.get_nowait()
            except Empty:
                return
            self._leased -= 1
            self._free.put(slot)


def _leased(slot: Slot, release: Callable[[Slot], None]) -> torch.Tensor:
    """A tensor over the slot; `release` is called with the slot once no tensor shares its memory."""
    # The tensor's storage, which all its views share, holds this very array and no other.
    lease = slot.array[:]
    weakref.finalize(lease, release, slot).atexit = False
    return torch.from_numpy(lease)
