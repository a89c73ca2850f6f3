"""Serves a stream: workers make batches in place, ahead of time and in the plan's order; faults are named."""

from __future__ import annotations

import contextlib
import functools
import itertools
import mmap
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from tracknet.datasets.batch import Batch
from tracknet.datasets.batch_assembler import BatchAssembler
from tracknet.datasets.crew import Alone, Crew, ThreadCrew, mode_of, useful_workers
from tracknet.datasets.faults import IDLE, FaultLog, ReadWatch, stalled
from tracknet.datasets.fetch_ahead import FetchAhead
from tracknet.datasets.lanes import shared_frames
from tracknet.datasets.maker import BatchMaker, Made, Task
from tracknet.datasets.memory import CachePlan, plan_memory
from tracknet.datasets.process_crew import ProcessCrew
from tracknet.datasets.slots import HELD, OwnMemory, PinnedMemory, SharedRing, Slot, SlotMemory
from tracknet.datasets.stream import WindowStream
from tracknet.utils.errors import RunError
from tracknet.utils.settings import LoaderConfig

# How often the trainer, while it waits for a batch, looks whether a read stalls.
_LOOK_S = 0.5


def _to_stderr(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


class StreamLoader:
    """A stream and the workers that serve it, kept alive between epochs.

    A batch stays as it is for as long as any of its tensors is held: see `slots`.

    Attributes:
        workers: how many there are: `data.loader.workers`, or fewer if more would not help.
        mode: what they are: `threads`, `processes`, or `alone` where there are none.
        memory: what they keep.
        faults: bad and slow frames so far.
        windows: served so far.
        decodes: frames decoded for them.
        check_wait: called now and then while a batch is waited for; what it raises ends the epoch.
    """

    def __init__(
        self,
        stream: WindowStream,
        config: LoaderConfig,
        *,
        pin_memory: bool = False,
        warn: Callable[[str], None] = _to_stderr,
    ) -> None:
        """Describes the loader; workers start with the first epoch.

        Args:
            stream: what to serve.
            config: how.
            pin_memory: batches in page-locked memory, for CUDA.
            warn: takes a line for the person watching.

        Raises:
            UserError: the batches on their way are over `data.loader.memory_gb`.
        """
        self.stream = stream
        self.workers = useful_workers(stream, config.workers)
        self.mode = mode_of(config.mode, self.workers)
        self.faults = FaultLog(config.max_bad_frames)
        self.windows = self.decodes = 0
        self.check_wait: Callable[[], None] = _nothing
        self._config = config
        self._pin_memory = pin_memory
        self._warn = warn
        # Of batches, how many are being made or ready.
        self._ahead = max(1, self.workers * config.prefetch)
        assembler = BatchAssembler(stream.table, stream.windows, stream.spec, features=stream.features)
        self._layout = assembler.layout(stream.batch_size)
        sequence = stream.spec.sequence
        self.memory: CachePlan = plan_memory(
            budget_gb=config.memory_gb,
            workers=max(1, self.workers),
            lanes=stream.lanes,
            slots=stream.batch_size,
            # Windows so far apart that they share no frame have nothing to keep.
            length=sequence.length if shared_frames(sequence, stream.filters.every) else 1,
            stride=sequence.stride,
            frame_bytes=assembler.frame_bytes,
            batch_bytes=self._layout.nbytes,
            batches=self._ahead + HELD,
        )
        self._crew: Crew | None = None
        self._fetching: FetchAhead | None = None
        self._slots: SlotMemory
        self._stop_crew = weakref.finalize(self, _nothing)
        # Seen by all workers, also in other processes: which epoch is the present one, and what each is reading.
        shared = np.frombuffer(mmap.mmap(-1, 8 * (1 + 2 * max(1, self.workers))), np.int64)
        self._order, self._reads = shared[:1], shared[1:].reshape(-1, 2)
        self._reads[:, 0] = IDLE
        # Given to workers and not yet received: step and slot.
        self._pending: deque[tuple[int, Slot]] = deque()
        self._stalls: set[int] = set()
        self._said: set[str] = set()

    @property
    def num_steps(self) -> int:
        """Batches in an epoch."""
        return self.stream.num_steps

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, in the plan's order, from `start_step` on. Starting one ends the one before.

        Raises:
            RunError: damaged data, by shard and key; more bad frames than may be skipped; or a worker that died.
        """
        order = self._begin()
        steps = iter(range(start_step, self.num_steps))
        # After the workers were forked, so that none has a copy of its connections and locks.
        if start_step < self.num_steps:
            self._fetching = self.stream.fetch_ahead(epoch, start_step, skip=self._skip)
        try:
            self._submit(order, epoch, steps)
            while self._pending:
                step, slot = self._pending.popleft()
                made = self._receive(step)
                if self._fetching is not None:
                    self._fetching.reach(step)
                if made is None or (made.order, made.step) != (order, step):
                    raise RuntimeError(f"step {step} was asked of a worker, and {made} came")
                self._note(made)
                # The workers go on before the consumer does, and no name here may hold the batch: its memory
                # is free when the consumer lets go of it.
                yield self._deliver(step, slot, made, functools.partial(self._submit, order, epoch, steps))
                if self._order[0] != order:
                    raise RuntimeError("this epoch was left: another one was started, or the loader closed")
        except GeneratorExit:
            # Left by its reader: the workers stay for the next epoch.
            raise
        except BaseException:
            if self._order[0] == order:
                # Also after Ctrl-C: what is pending and what the workers will reply may differ by one from here on.
                self.close()
            raise
        finally:
            if self._order[0] == order:
                self._order[0] += 1
                self._stop_fetching()

    def close(self) -> None:
        """Stops the workers; another epoch would start new ones."""
        self._order[0] += 1
        self._stop_fetching()
        self._stop_crew()
        self._crew = None
        self._pending.clear()

    def _begin(self) -> int:
        """Leaves the epoch before, if it was not read to its end; returns the new one's order."""
        self._order[0] += 1
        self._stop_fetching()
        if self._crew is None:
            self._start()
        try:
            while self._pending:
                step, slot = self._pending.popleft()
                # What was damaged there will be met again.
                with contextlib.suppress(RunError):
                    self._receive(step)
                self._slots.give_back(slot)
        except BaseException:
            self.close()
            raise
        return int(self._order[0])

    def _stop_fetching(self) -> None:
        if self._fetching is not None:
            self._fetching.close()
            self._fetching = None

    def _start(self) -> None:
        nbytes, pin = self._layout.nbytes, self._pin_memory
        if self.mode == "processes":
            ring = SharedRing(nbytes, slots=self._ahead + HELD, pin_memory=pin)
            self._slots = ring
            self._crew = ProcessCrew(self.workers, self._new_maker, self._order, ring)
        else:
            self._slots = PinnedMemory(nbytes) if pin else OwnMemory(nbytes, keep=self._ahead + HELD)
            threads = self.mode == "threads"
            self._crew = (
                ThreadCrew(self.workers, self._new_maker, self._order)
                if threads
                else Alone(self._new_maker, self._order, self._wait_checker())
            )
        self._stop_crew = weakref.finalize(self, self._crew.close)

    def _check_wait(self) -> None:
        self.check_wait()
        # The batch that is waited for may want the very shard that could not be had, and learn it much later.
        if self._fetching is not None:
            self._fetching.check()

    def _wait_checker(self) -> Callable[[], None]:
        """Calls `check_wait`, as it is then; held by the crew, it must not keep the loader alive."""
        loader = weakref.ref(self)

        def check() -> None:
            if (there := loader()) is not None:
                there._check_wait()

        return check

    def _new_maker(self, worker: int) -> BatchMaker:
        watch = ReadWatch(self._reads[worker], self._config.slow_read_s)
        return BatchMaker(self.stream, self.memory, watch, skip_bad_frames=self._skip)

    @property
    def _skip(self) -> bool:
        return self._config.on_bad_frame == "skip"

    def _submit(self, order: int, epoch: int, steps: Iterator[int]) -> None:
        """Keeps the workers busy."""
        assert self._crew is not None
        for step in itertools.islice(steps, self._ahead - len(self._pending)):
            slot = self._slots.take()
            self._pending.append((step, slot))
            self._crew.submit(self._worker_of(step), Task(order, epoch, step, slot))

    def _deliver(self, step: int, slot: Slot, made: Made, go_on: Callable[[], None]) -> Batch:
        tensor = self._slots.hand_out(slot)
        go_on()
        return Batch.over(tensor, self._layout, step=step, faults=made.faults)

    def _worker_of(self, step: int) -> int:
        return step % max(1, self.workers)

    def _receive(self, step: int) -> Made | None:
        """Waits for a step; says so if a read stalls."""
        assert self._crew is not None
        worker = self._worker_of(step)
        while True:
            try:
                return self._crew.receive(worker, _LOOK_S)
            except TimeoutError:
                self._check_wait()
                stall = stalled(self._reads[worker], self._config.slow_read_s)
                if stall is not None and stall[0] not in self._stalls:
                    self._stalls.add(stall[0])
                    origin = self.stream.open_source().origin(stall[0])
                    self._warn(f"{origin}: has been read for {stall[1]:.0f} s, and is waited for")

    def _note(self, made: Made) -> None:
        self.windows += self.stream.batch_size
        self.decodes += made.decodes
        for fault in made.faults:
            cause = fault.cause or fault.what
            said = cause in self._said
            self._said.add(cause)
            # A shard that cannot be had is one fault of all its frames.
            if self.faults.note(fault) and not said:
                if fault.kind == "bad":
                    skipped = f"number {len(self.faults)} of at most {self.faults.most_bad} that are skipped"
                    others = (
                        "" if not fault.cause else "; so are those of other frames there, with no more words"
                    )
                    self._warn(f"{fault.what}; its windows are masked ({skipped}){others}")
                else:
                    self._warn(fault.what)


def _nothing() -> None:
    pass
