"""That all processes of a training, or of an evaluation, read the same data: each machine opens its own copy."""

from __future__ import annotations

from typing import Any

from tracknet.datasets.shard_set import ShardSet
from tracknet.datasets.stream import WindowStream
from tracknet.training.distributed import Ranks
from tracknet.training.plan_changes import plan_differences
from tracknet.utils.errors import UserError
from tracknet.utils.naming import listed

_MOST_NAMES = 4


def check_same_data(
    ranks: Ranks, shards: ShardSet, stream: WindowStream, val: WindowStream | None = None
) -> None:
    """Refuses processes that would share out different data: some windows would come twice and others never, or one
    process would wait for the others at its end.

    All ranks must call it, before they exchange anything else that depends on the data.

    Args:
        ranks: this process among the others.
        shards: what this one streams.
        stream: its batches.
        val: the validation's, if there is one.

    Raises:
        UserError: naming every rank whose data are not rank 0's, and what differs.
    """
    mine = {
        "build_id": shards.manifest.build_id[:12],
        **stream.describe_plan(),
        **shards.describe(),
        "validation_frames": None if val is None else len(val.table),
    }
    every = ranks.objects(mine)
    problems = [
        f"rank {rank}: {what} is {_shown(theirs)}, rank 0 has {_shown(first)}"
        for rank, plan in enumerate(every)
        for what, theirs, first in plan_differences(plan, every[0])
    ]
    if problems:
        with ranks.on_all():
            raise UserError(
                "the processes do not read the same data",
                problems=problems,
                remedy="give every process the same shards of the same build, and the same settings: on each machine "
                "a copy of one folder, or one URL",
            )


def _shown(value: Any) -> str:
    """Of a long list of shards how many there are, and the first."""
    if isinstance(value, list) and len(value) > _MOST_NAMES:
        return f"{len(value)} ({listed([str(one) for one in value], _MOST_NAMES)})"
    return str(value)
