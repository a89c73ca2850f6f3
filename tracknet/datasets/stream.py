"""What a stream serves: the plan says which windows make which batch, from any position on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from tracknet.datasets.blocks import BlockedPlan, Blocks, steps_in
from tracknet.datasets.features import FeatureSet
from tracknet.datasets.fetch_ahead import FetchAhead, RemoteShards
from tracknet.datasets.lanes import training_steps
from tracknet.datasets.mixing import MixedPlan, share_slots, windows_used
from tracknet.datasets.pieces import WindowRuns
from tracknet.datasets.plan import ORDER_VERSION, EpochPlan, EvaluationPlan, Plan, PlanConfig, RankPlan
from tracknet.datasets.reader import FrameSource
from tracknet.datasets.sample_spec import SampleSpec
from tracknet.datasets.table import FrameTable
from tracknet.datasets.topology import Topology
from tracknet.datasets.windows import make_windows
from tracknet.utils.config import to_plain
from tracknet.utils.errors import UserError
from tracknet.utils.settings import FilterConfig


class StepWindows(NamedTuple):
    """The windows of one step on one rank.

    Attributes:
        ids: int64 `[B]`.
        epochs: int64 `[B]`, the pass over the windows that each is of.
        draws: int64 `[B]`, the window whose randomness in that pass fixes the augmentation: the first of its piece,
            or itself where `data.augment.per` is `window`.
        valid: bool `[B]`, false for windows that only fill up a batch.
    """

    ids: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]
    draws: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]


class WindowStream:
    """Which windows each step of an epoch serves, and of what frames; a `StreamLoader` makes the batches.

    Attributes:
        open_source: opens the frames' storage, once in each process.
        batch_size: windows of each batch that this rank serves.
        num_steps: batches in an epoch, equally many on every rank.
        sources: the windows of each source in training; one holding all in evaluation.
        weights: of the sources, where they are several.
        filters: what the sources were chosen by.
        blocks: of shards that are read together, where the cache does not hold all of them.
        features: of the frames, where they are streamed beside them or in their place.
    """

    def __init__(
        self,
        table: FrameTable,
        open_source: Callable[[], FrameSource],
        spec: SampleSpec,
        *,
        batch_size: int,
        plan: PlanConfig | None,
        sources: Sequence[WindowRuns] | None = None,
        weights: Sequence[float] | None = None,
        topology: Topology | None = None,
        filters: FilterConfig | None = None,
        remote: RemoteShards | None = None,
        blocks: Blocks | None = None,
        features: FeatureSet | None = None,
    ) -> None:
        """Describes a stream; nothing is opened.

        Args:
            table: the frames.
            open_source: opens the frames' storage, once in each process.
            spec: what a sample looks like.
            batch_size: windows per batch, over all ranks.
            plan: of a training; `None` serves every window once, in order, for evaluation.
            sources: what a training shuffles; all windows as one source where not given.
            weights: of the sources; their sizes where not given.
            topology: this process among all; alone where not given.
            filters: what the sources were chosen by, for the description.
            remote: shards to fetch ahead.
            blocks: what of one source is read together; all of it where not given.
            features: of the table's frames, for every batch.

        Raises:
            UserError: fewer windows than one training batch, a batch that cannot be split among the ranks, or a
                weight that comes to nothing.
        """
        self.table = table
        self.spec = spec
        self.plan = plan
        self.windows = make_windows(table, spec.sequence)
        self.sources = list(sources or [WindowRuns.all_of(self.windows.run_bounds)])
        self.weights = list(weights or map(len, self.sources))
        self.open_source = open_source
        self._global_batch_size = batch_size
        self._topology = topology or Topology()
        self.filters = filters or FilterConfig()
        self._remote = remote
        self.blocks = blocks
        self.features = features
        if plan is None:
            evaluation = self._evaluation_plan()
            self.batch_size, self.num_steps = evaluation.batch_size, evaluation.num_steps
            return
        slots = self._topology.slots(batch_size)
        self.batch_size = slots.stop - slots.start
        self.num_steps = (
            steps_in(blocks, batch_size)
            if blocks is not None
            else training_steps(sum(map(len, self.sources)), batch_size)
        )
        if self.batch_size % 2 and spec.augment is not None and spec.augment.mixup.prob > 0:
            _refuse_odd(batch_size, self._topology.world_size)
        if len(self.sources) > 1:
            share_slots(self.weights, self.lanes, batch_size)

    @property
    def lanes(self) -> int:
        """Of the plan, M; 0 for an evaluation."""
        return min(self.plan.lanes, self.num_steps) if self.plan else 0

    def plan_of(self, epoch: int) -> Plan:
        """The batches of an epoch that this rank serves."""
        if self.plan is None:
            return self._evaluation_plan()
        whole: Plan
        if self.blocks is not None:
            whole = BlockedPlan(self.blocks, self.plan, epoch)
        elif len(self.sources) == 1:
            whole = EpochPlan(self.sources[0], self.plan, epoch)
        else:
            whole = MixedPlan(self.sources, self.weights, self.plan, epoch)
        return RankPlan(whole, self._topology.slots(self._global_batch_size))

    def own_rows(self) -> tuple[int, int]:
        """First and one past the last of the frames, in the table, that this rank answers for in an evaluation."""
        return self._evaluation_plan().own

    def _evaluation_plan(self) -> EvaluationPlan:
        # Where windows have several maps, those of the next rank see this one's last frames too.
        sequence = self.spec.sequence
        margin = (sequence.length - 1) * sequence.stride if len(self.spec.map_frames) > 1 else 0
        return EvaluationPlan(len(self.windows), self._global_batch_size, self._topology, margin=margin)

    def describe_plan(self) -> dict[str, Any]:
        """What the order and content of the batches depend on besides the shards, as JSON would give it back.

        How many ranks and workers serve it is no part of it.
        """
        plan = asdict(self.plan) if self.plan else {"batch_size": self._global_batch_size}
        counts = [len(runs) for runs in self.sources]
        filters = {f"filter.{name}": value for name, value in to_plain(self.filters).items()}
        mix = {"windows_of_sources": counts, "weights": self.weights} if len(counts) > 1 else {}
        sample = {f"sample.{name}": value for name, value in to_plain(self.spec).items() if name != "late"}
        if sample["sample.sizes"] is None:
            # Runs from before there were any wrote nothing.
            del sample["sample.sizes"]
        if isinstance(sample["sample.augment"], dict):
            # Where pixels are augmented changes them by 2 grey levels at most, and a training may go on on another
            # machine.
            del sample["sample.augment"]["by"]
            sample["sample.augment"] = _in_use(sample["sample.augment"])
        blocks = {}
        if self.blocks is not None and self._remote is not None:
            blocks = {"blocks": len(self.blocks), "cache_bytes": self._remote.cache.max_bytes}
        stored = {} if self.features is None else {"features": self.features.shards.manifest.build_id}
        return {
            "order": ORDER_VERSION,
            **plan,
            "windows": sum(counts),
            **mix,
            **blocks,
            **filters,
            **sample,
            **stored,
        }

    def windows_used(self) -> list[int]:
        """How many windows an epoch takes of each source; more than it has means that it is passed over again."""
        if self.plan is None or len(self.sources) == 1:
            return [self.num_steps * self._global_batch_size]
        return windows_used(self.weights, self.num_steps, self.lanes, self._global_batch_size)

    def fetch_ahead(self, epoch: int, start_step: int, *, skip: bool = False) -> FetchAhead | None:
        """Starts to fetch the shards of an epoch; `None` where nothing is to be fetched.

        Args:
            epoch: of the stream.
            start_step: that is served first.
            skip: see `FetchAhead`.
        """
        if self._remote is None:
            return None
        cache, files = self._remote.cache, self._remote.files
        if self.plan is None or self.blocks is None:
            return FetchAhead(cache, [files], lambda step: 0, start_step, skip=skip)
        plan = BlockedPlan(self.blocks, self.plan, epoch)
        groups = [[files[shard] for shard in self.blocks.shards[block]] for block in plan.order]
        return FetchAhead(cache, groups, plan.place_of, start_step, skip=skip)

    def windows_of(self, plan: Plan, step: int) -> StepWindows:
        """What a step of one of `plan_of`'s plans serves."""
        ids = plan.batch(step)
        draws = plan.pieces(step) if self.spec.shares_transforms else ids
        return StepWindows(ids, plan.passes(step), draws, plan.valid(step))


def _in_use(augment: dict[str, Any]) -> dict[str, Any]:
    """The augmentation's settings without the parts that are off: as runs from before there were any wrote them."""
    parts = {
        name: part for name, part in augment.items() if not (isinstance(part, dict) and part["prob"] == 0)
    }
    if not parts.keys() & {"paste", "streak", "occlude"}:
        del parts["ball_px"]
    if parts["warp_prob"] == 1.0:
        del parts["warp_prob"]
    return parts


def _refuse_odd(batch_size: int, ranks: int) -> NoReturn:
    even = -(-batch_size // (2 * ranks)) * 2 * ranks
    each = f" by {ranks} processes" if ranks > 1 else ""
    raise UserError(
        f"data.augment.mixup mixes windows in pairs, and of a batch of {batch_size}{each} each serves an odd number",
        remedy=f"set training.batch_size={even}, or data.augment.mixup.prob=0",
    )
