"""Streams batches of windows: the plan says which, workers make them, and any position can be returned to."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from tracknet.datasets.batch import Batch, BatchAssembler, SampleSpec
from tracknet.datasets.index import ShardSet
from tracknet.datasets.plan import EpochPlan, EvaluationPlan, PlanConfig
from tracknet.datasets.reader import CachedFrames, FrameSource, ShardReader
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import make_windows
from tracknet.utils.config import to_plain
from tracknet.utils.errors import RunError, UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import LoaderConfig


@dataclass(frozen=True)
class _Failure:
    """An error on its way out of a worker. The loader would bury it under a worker's traceback."""

    error: UserError


class WindowStream(IterableDataset[Any]):
    """Batches of one epoch from (epoch, step) on; with W workers, worker w makes every W-th of them."""

    def __init__(
        self,
        table: FrameTable,
        open_source: Callable[[], FrameSource],
        spec: SampleSpec,
        *,
        batch_size: int,
        plan: PlanConfig | None,
    ) -> None:
        """Describes a stream; nothing is opened before it is iterated.

        Args:
            table: the frames.
            open_source: opens the frames' storage, once in each process.
            spec: what a sample looks like.
            batch_size: windows per batch.
            plan: of a training; `None` serves every window once, in order, for evaluation.

        Raises:
            UserError: fewer windows than one training batch.
        """
        self.table = table
        self.spec = spec
        self.batch_size = batch_size
        self.plan = plan
        self.windows = make_windows(table, spec.sequence)
        self._open_source = open_source
        # Shared, because workers that live on between epochs must learn where the next one starts.
        self._position = torch.zeros(2, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self.num_steps = self._plan_of(0).num_steps

    def seek(self, epoch: int, step: int) -> None:
        """The next iteration starts here."""
        self._position[0], self._position[1] = epoch, step

    def describe_plan(self) -> dict[str, Any]:
        """What the order and content of the batches depend on besides the shards, as JSON would give it back."""
        plan = asdict(self.plan) if self.plan else {"batch_size": self.batch_size}
        sample = {f"sample.{name}": value for name, value in to_plain(self.spec).items()}
        return {**plan, "windows": len(self.windows), **sample}

    def frames_kept(self, workers: int) -> int:
        """Decoded frames that so many workers keep between them."""
        return max(1, workers) * self._frames_in_reach(self._plan_of(0), max(1, workers))

    def __iter__(self) -> Iterator[Batch | _Failure]:
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch, first = (int(n) for n in self._position)
        try:
            yield from self._batches(epoch, first + number, count)
        except UserError as error:
            yield _Failure(error)

    def _batches(self, epoch: int, first: int, every: int) -> Iterator[Batch]:
        plan = self._plan_of(epoch)
        source = CachedFrames(self._open_source(), self._frames_in_reach(plan, every))
        assembler = BatchAssembler(self.table, self.windows, self.spec)
        for step in range(first, plan.num_steps, every):
            valid = plan.valid(step) if isinstance(plan, EvaluationPlan) else None
            yield assembler.assemble(source, plan.batch(step), epoch=epoch, step=step, valid=valid)

    def _plan_of(self, epoch: int) -> EpochPlan | EvaluationPlan:
        if self.plan is None:
            return EvaluationPlan(len(self.windows), self.batch_size)
        return EpochPlan(self.windows.run_bounds, self.plan, epoch)

    def _frames_in_reach(self, plan: EpochPlan | EvaluationPlan, workers: int) -> int:
        """How many decoded frames to keep so that a window finds those of the one before it."""
        # A frame comes back `stride` windows later; until then every slot reads `length` others per window.
        per_slot = self.spec.sequence.length * self.spec.sequence.stride
        lanes = -(-plan.lanes // workers) if isinstance(plan, EpochPlan) else 1
        return lanes * self.batch_size * per_slot


class StreamLoader:
    """A stream and the workers that serve it, kept alive between epochs.

    Attributes:
        workers: how many there are: `data.loader.workers`, or fewer if more would not help.
    """

    def __init__(self, stream: WindowStream, config: LoaderConfig, *, pin_memory: bool = False) -> None:
        self.stream = stream
        self.workers = _useful_workers(stream, config.workers)
        self._prefetch = config.prefetch
        self._pin_memory = pin_memory
        self._loader: DataLoader[Any] | None = None

    @property
    def num_steps(self) -> int:
        """Batches in an epoch."""
        return self.stream.num_steps

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, in the plan's order, from `start_step` on.

        Raises:
            RunError: damaged data, by shard and key; or a worker that died.
        """
        self.stream.seek(epoch, start_step)
        iterator = self._start()
        while True:
            item: Batch | _Failure | None
            try:
                item = next(iterator, None)
            except RuntimeError as error:
                if not str(error).startswith("DataLoader worker (pid"):
                    raise
                item = _Failure(_worker_died(str(error)))
            if item is None:
                return
            if isinstance(item, _Failure):
                # While anything in the error's traceback holds the workers, only the garbage collector can
                # stop them: that takes torch 5 s each.
                self.close()
                del iterator
                raise item.error
            yield item

    def close(self) -> None:
        """Stops the workers; another epoch would start new ones."""
        self._loader = None

    def _start(self) -> Iterator[Any]:
        if self._loader is None:
            self._loader = DataLoader(
                self.stream,
                batch_size=None,
                num_workers=self.workers,
                prefetch_factor=self._prefetch if self.workers else None,
                persistent_workers=self.workers > 0,
                pin_memory=self._pin_memory,
                worker_init_fn=_start_worker,
                # Its own, because starting an epoch draws a number: a resumed run would start one epoch more
                # than an undisturbed one, and the model's dropout would go another way.
                generator=torch.Generator(),
            )
        handler = signal.getsignal(signal.SIGCHLD)
        iterator = iter(self._loader)
        # torch's own handler raises a worker's death wherever the main thread is, in the midst of a training
        # step or at exit. Without it `next` sees it, within 5 s.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)
        return iterator


def training_stream(
    shards: ShardSet, spec: SampleSpec, config: LoaderConfig, *, batch_size: int, seed: int
) -> WindowStream:
    """The shuffled stream over shards. Raises UserError if they hold fewer windows than one batch."""
    plan = PlanConfig(seed=seed, batch_size=batch_size, lanes=config.lanes, run_length=config.run_length)
    return WindowStream(
        shards.table, functools.partial(ShardReader, shards), spec, batch_size=batch_size, plan=plan
    )


def evaluation_stream(shards: ShardSet, spec: SampleSpec, *, batch_size: int) -> WindowStream:
    """Every window of the shards once, in canonical order."""
    return WindowStream(
        shards.table, functools.partial(ShardReader, shards), spec, batch_size=batch_size, plan=None
    )


def check_stored_size(shards: ShardSet, input_size: Size) -> None:
    """Raises UserError unless the frames are stored at the model's input size."""
    stored = shards.manifest.image_size
    if stored != input_size:
        raise UserError(
            f"the shards in {shards.folder} hold frames of {stored}, the model takes {input_size}",
            remedy=f"train at the stored size (data.resize=[{stored.width},{stored.height}]) or build shards for this "
            "one: python -m pipelines.build_shards --root YOUR_DATA --out ANOTHER_FOLDER "
            f"data.resize=[{input_size.width},{input_size.height}]",
        )


def _useful_workers(stream: WindowStream, wanted: int) -> int:
    """At most as many as wanted and as there are batches, such that each serves whole lanes of the plan.

    Five workers for 24 lanes would each meet every fifth window of a lane and find none of its frames decoded:
    2.99 decodes per window instead of four workers' 1.08 (T = 3).
    """
    most = min(wanted, stream.num_steps)
    lanes = stream.plan.lanes if stream.plan else 0
    if not 0 < lanes < stream.num_steps:
        return most
    return max((count for count in range(1, most + 1) if lanes % count == 0), default=0)


def _worker_died(what: str) -> RunError:
    return RunError(
        f"a worker of the data loader died: {what.splitlines()[0]}",
        remedy="it may have run out of memory: lower data.loader.workers, data.loader.prefetch or "
        "training.batch_size; then go on with --resume",
    )


def _start_worker(worker_id: int) -> None:
    # One decoding thread a worker: more would fight over the cores that the other workers use.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Ctrl-C reaches the whole process group; only the trainer may decide what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
