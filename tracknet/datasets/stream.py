"""Streams batches of windows: the plan says which, and any position can be returned to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from tracknet.datasets.batch import Batch, BatchAssembler, SampleSpec
from tracknet.datasets.index import ShardSet
from tracknet.datasets.plan import EpochPlan, EvaluationPlan, PlanConfig
from tracknet.datasets.reader import CachedFrames, FrameSource, ShardReader
from tracknet.datasets.table import FrameTable
from tracknet.datasets.windows import make_windows
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.geometry import Size
from tracknet.utils.settings import LoaderConfig


@dataclass(frozen=True)
class Failure:
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

    def __iter__(self) -> Iterator[Batch | Failure]:
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        epoch, first = (int(n) for n in self._position)
        try:
            yield from self._batches(epoch, first + number, count)
        except UserError as error:
            yield Failure(error)

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
