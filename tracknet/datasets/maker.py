"""What a worker does: makes any step of a stream, in a buffer, and keeps what the next steps will need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.faults import FrameFault, ReadWatch
from tracknet.datasets.memory import CachePlan
from tracknet.datasets.plan import Plan
from tracknet.datasets.reader import CachedFrames, FrameSource, ShardReader
from tracknet.datasets.slots import Slot
from tracknet.datasets.stream import StepWindows, WindowStream


class Task(NamedTuple):
    """One step to be made.

    Attributes:
        order: of the epoch's start; tasks of an epoch that was left are skipped.
        epoch: of the stream.
        step: of the epoch.
        slot: to be written.
    """

    order: int
    epoch: int
    step: int
    slot: Slot


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a task besides the batch itself.

    Attributes:
        order: the task's.
        step: the task's.
        faults: of its frames.
        decodes: frames decoded for it.
    """

    order: int
    step: int
    faults: tuple[FrameFault, ...]
    decodes: int


class _Kept:
    """A source with what is kept of it.

    Attributes:
        cached: keeps what was read.
        of_slot: where each window of a batch reads: from `cached`, or, where memory has no room, anew.
    """

    def __init__(self, source: FrameSource, cache: CachePlan, watch: ReadWatch) -> None:
        self.cached = CachedFrames(source, cache.frames_per_worker, watch)
        self._uncached = CachedFrames(source, 0, watch)
        kept = cache.kept_slots
        self.of_slot = [self.cached] * kept + [self._uncached] * (cache.slots - kept)

    @property
    def reads(self) -> int:
        """Of the source, so far."""
        return self.cached.decodes + self._uncached.decodes


class BatchMaker:
    """Makes batches of one stream. Belongs to one worker: files and decoded frames are its own."""

    def __init__(
        self, stream: WindowStream, cache: CachePlan, watch: ReadWatch, *, skip_bad_frames: bool
    ) -> None:
        """Opens the frames' storage.

        Args:
            stream: which windows make which step, and of what frames.
            cache: how many decoded frames to keep.
            watch: told of every read.
            skip_bad_frames: mask their windows instead of raising.
        """
        self._stream = stream
        self._watch = watch
        features = stream.features
        source = stream.open_source()
        tokens = None if features is None else features.open_source()
        readers = (source, None if tokens is None else tokens.stored)
        self._readers = [reader for reader in readers if isinstance(reader, ShardReader)]
        self._keeps = cache.frames_per_worker > 0
        self._frames = _Kept(source, cache, watch)
        self._tokens = None if tokens is None else _Kept(tokens, cache, watch)
        self._assembler = BatchAssembler(
            stream.table, stream.windows, stream.spec, skip_bad_frames=skip_bad_frames, features=features
        )
        self._layout = self._assembler.layout(stream.batch_size)
        self._plan: tuple[int, Plan] | None = None

    def make(self, task: Task, check_stop: Callable[[], None] = lambda: None) -> Made:
        """Writes the batch of a step into the task's slot.

        Args:
            task: see there; its slot is of the stream's layout.
            check_stop: called while a shard is fetched or waited for; what it raises ends the work.

        Raises:
            RunError: a frame cannot be had, and is not to be skipped.
        """
        for reader in self._readers:
            reader.check_stop = check_stop
        plan = self._plan_of(task.epoch)
        windows = self._stream.windows_of(plan, task.step)
        decodes = self.decodes
        faults = self._assembler.fill(
            self._layout.arrays(task.slot.array),
            self._frames.of_slot,
            windows.ids,
            epoch=windows.epochs,
            draws=windows.draws,
            valid=windows.valid,
            tokens=None if self._tokens is None else self._tokens.of_slot,
        )
        self._forget(windows)
        slow = tuple(
            FrameFault("slow", row, f"{self._frames.cached.origin(row)}: took {took_s:.1f} s to read")
            for row, took_s in self._watch.slow
        )
        self._watch.slow.clear()
        return Made(task.order, task.step, faults + slow, self.decodes - decodes)

    @property
    def decodes(self) -> int:
        """Frames decoded so far; of features alone, frames whose tokens were read."""
        frames = self._frames if self._tokens is None or self._frames.reads else self._tokens
        return frames.reads

    def _plan_of(self, epoch: int) -> Plan:
        if self._plan is None or self._plan[0] != epoch:
            self._plan = epoch, self._stream.plan_of(epoch)
        return self._plan[1]

    def _forget(self, windows: StepWindows) -> None:
        """Lets go of the oldest frame of each window: those that follow it start later.

        At a clip's start the oldest frame stands in for frames before it, and is needed again.
        """
        if not self._keeps:
            return
        sequence = self._stream.spec.sequence
        rows = self._stream.windows.rows(windows.ids)
        first = rows[:, sequence.anchor_index] - sequence.anchor_index * sequence.stride
        done = rows[:, 0] == first
        versions = self._assembler.versions(windows.epochs, windows.draws)
        for row, version, is_done in zip(rows[:, 0].tolist(), versions, done.tolist(), strict=True):
            if is_done:
                self._frames.cached.forget(row, version)
                if self._tokens is not None:
                    self._tokens.cached.forget(row)
