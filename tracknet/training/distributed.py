"""Several processes that train together, as torchrun starts them: what they agree on, and how they end.

Gradients go through torch's DistributedDataParallel. All else that the ranks tell each other (a few numbers a
step) goes through the methods of `Ranks`, over gloo on the CPU also where gradients go over NCCL. Alone, every
method is the plain thing and costs nothing.

How they end: what goes wrong on one rank goes wrong on all of them at the same place (`agreed`), rank 0 says it and
leaves first, and the others leave silently with the same exit code. A rank that is killed closes its connections;
the others find out at their next exchange, within a step, and say so (`LostRank`).
"""

from __future__ import annotations

import os
import platform
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tracknet.datasets.topology import Topology
from tracknet.utils.errors import Interrupted, RunError, UserError, first_line
from tracknet.utils.lock_record import is_dead, new_record
from tracknet.utils.naming import listed

T = TypeVar("T")
_FAILED, _FINE = 1.0, 0.0
# What torch's own messages of a broken connection have in common.
_BROKEN = ("gloo", "nccl", "connection closed", "connection reset", "broken pipe")
_TO_BE_GONE_S = 1.0
_MOST_SAID = 80


class LostRank(RunError):
    """Another process ended without a word to this one."""


class Ranks:
    """This process among those that train together; a context that leaves the group in order.

    Attributes:
        topology: its number and how many there are.
        local_rank: its number on this machine, and of its GPU.
    """

    def __init__(self, topology: Topology | None = None, *, local_rank: int = 0) -> None:
        """Describes; `join` also connects."""
        self.topology = topology or Topology()
        self.local_rank = local_rank
        # Of every rank's process, to tell which is gone.
        self._records: list[dict[str, Any]] = []

    @classmethod
    def join(cls) -> Ranks:
        """Connects to the other processes of torchrun's job; alone where there is none.

        Raises:
            UserError: the variables that torchrun sets are there in part only, or nobody answers.
        """
        topology = Topology.of_torchrun()
        if topology.world_size == 1:
            return cls()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            distributed.init_process_group(backend)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"rank {topology.rank} of {topology.world_size} cannot join the others: {first_line(error)}",
                remedy="start the processes with torchrun, which sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; "
                "to train in one process, unset WORLD_SIZE",
            ) from None
        ranks = cls(topology, local_rank=int(os.environ.get("LOCAL_RANK", "0")))
        ranks._records = ranks.objects(new_record())
        return ranks

    # ------------------------------------------------------------ who this is

    @property
    def alone(self) -> bool:
        """There is one process."""
        return self.topology.world_size == 1

    @property
    def is_main(self) -> bool:
        """This is rank 0, which writes files and speaks."""
        return self.topology.rank == 0

    def say(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """`say` on rank 0, silence on the others."""
        return say if self.is_main else lambda line: None

    def device(self, device: torch.device) -> torch.device:
        """The device of this rank: of several GPUs the one with its local number.

        Raises:
            UserError: there is none for it.
        """
        if self.alone or device.type == "cpu":
            return device
        count = torch.cuda.device_count()
        if str(device) != "cuda":
            raise UserError(
                f"training.device={device} cannot be shared by {self.topology.world_size} processes",
                remedy="set training.device to auto, cuda or cpu; each process takes the GPU of its number",
            )
        if self.local_rank >= count:
            raise UserError(
                f"process {self.local_rank} on this machine has no GPU: there are {count}",
                remedy=f"start at most --nproc-per-node {count}, or train on the CPU (training.device=cpu)",
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    # ------------------------------------------------------------ what they tell each other

    def numbers(self, *values: float) -> npt.NDArray[np.float64]:
        """Everyone's numbers: float64 `[R, n]`, the same on all ranks. All must call it, as all methods below."""
        if self.alone:
            return np.array([values], np.float64)
        mine = torch.tensor(values, dtype=torch.float64)
        every = [torch.empty_like(mine) for _ in range(self.topology.world_size)]
        with self.exchange():
            distributed.all_gather(every, mine)
        return torch.stack(every).numpy()

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks of a small tensor, on its device."""
        if self.alone:
            return values
        summed = values.detach().cpu().clone()
        with self.exchange():
            distributed.all_reduce(summed)
        return summed.to(values.device)

    def objects(self, mine: T) -> list[T]:
        """Everyone's object, by rank; pickled, among processes of one program."""
        if self.alone:
            return [mine]
        every: list[Any] = [None] * self.topology.world_size
        with self.exchange():
            distributed.all_gather_object(every, mine)
        return every

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Within it, a connection that breaks is a rank that was lost.

        Raises:
            LostRank: another process ended.
        """
        try:
            yield
        except RuntimeError as error:
            text = str(error).lower()
            known = isinstance(error, distributed.DistError) or any(word in text for word in _BROKEN)
            if self.alone or not known:
                raise
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> LostRank:
        """Which process ended, where that can be seen from here, and what to do."""
        deadline_s = time.monotonic() + _TO_BE_GONE_S
        # Its connections close a moment before it is gone.
        while not (gone := self._ended()) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        elsewhere = [rank for rank, record in enumerate(self._records) if record["host"] != platform.node()]
        if gone:
            which = f": {self._named(gone)}"
        elif elsewhere:
            which = f": one of {self._named(elsewhere)}, or the network to it"
        else:
            which = "; none on this machine has ended: one of them may hang"
        # Without the place in torch's own source, at its beginning.
        short = re.sub(r"^(\[[^\]]*\]\s*)+", "", first_line(error))[:_MOST_SAID]
        return LostRank(
            f"rank {self.topology.rank} lost another process of this training{which}",
            remedy="its own message says why (none at all: it was killed, often for memory); "
            f"go on with --resume (torch: {short})",
        )

    def _ended(self) -> list[int]:
        return [rank for rank, record in enumerate(self._records) if is_dead(record)]

    def _named(self, ranks: Sequence[int]) -> str:
        records = [(rank, self._records[rank]) for rank in ranks]
        return listed([f"rank {rank} (process {one['pid']} on {one['host']})" for rank, one in records], 4)

    # ------------------------------------------------------------ how they fail

    @contextmanager
    def on_all(self) -> Iterator[None]:
        """What is raised in it is raised on every rank: rank 0 says it, the others end with its exit code."""
        try:
            yield
        except LostRank:
            raise
        except (UserError, Interrupted) as error:
            if self.is_main:
                raise
            raise SystemExit(error.exit_code) from None

    def agreed(self, action: Callable[[], T], *, main_first: bool = False) -> T:
        """Runs an action on every rank; if it fails on any, it fails on all of them with that rank's error.

        Args:
            action: exchanges nothing with other ranks.
            main_first: rank 0 runs it before the others do, because it may write what they then read.
        """
        if self.alone:
            return action()
        error: UserError | Interrupted | None = None
        result: T | None = None
        wait = main_first and not self.is_main
        if not (wait and self.numbers(_FINE)[0, 0] == _FAILED):
            try:
                result = action()
            except (UserError, Interrupted) as raised:
                error = raised
        if main_first and self.is_main:
            self.numbers(_FAILED if error else _FINE)
        if self.numbers(_FAILED if error else _FINE).any():
            first = next(one for one in self.objects(error) if one is not None)
            with self.on_all():
                raise first
        return result  # type: ignore[return-value]

    # ------------------------------------------------------------ gradients

    def replica(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with gradients that are averaged over the ranks, rank 0's weights on all; alone, the model."""
        if self.alone:
            return model
        with self.exchange(), warnings.catch_warnings():
            # torch 2.13 renamed `broadcast_buffers`; 2.6 knows no other name.
            warnings.simplefilter("ignore", FutureWarning)
            # Only batch statistics (of the baselines) change while training: rank 0's then hold for all, at every
            # step. Frozen weights have no gradient and take no part.
            return DistributedDataParallel(
                model,
                device_ids=[device.index] if device.type == "cuda" else None,
                broadcast_buffers=any(isinstance(part, nn.BatchNorm2d) for part in model.modules()),
                gradient_as_bucket_view=True,
            )

    @staticmethod
    def gathering(replica: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Around forward and backward: gradients travel with the last of the accumulated batches only."""
        if isinstance(replica, DistributedDataParallel) and not last:
            return replica.no_sync()
        return nullcontext()

    # ------------------------------------------------------------ how they leave

    def __enter__(self) -> Ranks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alone:
            return
        if kind is None:
            self.numbers(_FINE)
            distributed.destroy_process_group()
        elif kind is SystemExit and not self.is_main:
            # torchrun ends the others as soon as one has left with an error; rank 0 must have spoken by then.
            with suppress(LostRank):
                self.numbers(_FINE)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Of the random numbers within a step (dropout): others on every rank, and none need be kept to resume."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))
