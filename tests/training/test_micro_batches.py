"""Batches are cut into even parts, which are halved to one window at last; what would fit is worked out and said."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.conftest import batch_of
from tracknet.training.micro_batches import MicroBatches, too_many, too_many_to_predict

GIB = 2**30


@given(st.integers(1, 64), st.integers(1, 80))
def test_parts_are_as_few_and_as_even_as_can_be(windows: int, size: int) -> None:
    parts = MicroBatches(size, windows).parts(batch_of(windows))
    lengths = [len(part) for part in parts]
    assert len(parts) == math.ceil(windows / size)
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1
    assert torch.cat([part.rows for part in parts]).flatten().tolist() == list(range(windows))


@given(st.integers(1, 64), st.one_of(st.integers(1, 80), st.just("auto"), st.none()))
def test_the_lengths_that_parts_may_have(windows: int, setting: Any) -> None:
    micro = MicroBatches(setting, windows)
    foretold, seen = micro.lengths(), set()
    while True:
        seen |= {len(part) for part in micro.parts(batch_of(windows))}
        if not micro.may_halve:
            break
        micro.halve()
    assert foretold == seen
    assert MicroBatches("auto", 7).lengths() == {7, 3, 4, 1, 2}


@given(st.integers(1, 100))
def test_halving_ends_at_one(windows: int) -> None:
    micro = MicroBatches("auto", windows)
    halvings = 0
    while micro.may_halve:
        micro.halve()
        halvings += 1
    assert micro.size == 1
    assert halvings == math.ceil(math.log2(windows))
    assert not MicroBatches(None, windows).may_halve
    assert not MicroBatches(windows, windows).may_halve


class Memory:
    """1 GiB of weights and half a GiB a window, of 10."""

    def __init__(self, limit_gib: float = 10.0, fixed_gib: float = 1.0, each_gib: float = 0.5) -> None:
        self.limit, self.fixed, self.each = limit_gib * GIB, fixed_gib * GIB, each_gib * GIB
        self.windows = 0
        self.released = 0

    def run(self, windows: int) -> None:
        self.windows = windows
        if self.fixed + windows * self.each > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def limit_bytes(self) -> int:
        return int(self.limit)

    def peak_bytes(self, work: Callable[[], object]) -> int:
        work()
        return int(self.fixed + self.windows * self.each)

    def release(self) -> None:
        self.released += 1


def test_what_would_fit_is_worked_out_from_two_probes() -> None:
    memory = Memory()
    error = too_many("CUDA out of memory.", 32, batch=32, memory=memory, run=memory.run)
    assert str(error).splitlines() == [
        "32 windows at once do not fit into memory: one takes 1.50 GiB, two 2.00 GiB, so 32 about 17.00 GiB of "
        "10.00 GiB (CUDA out of memory.)",
        # (0.95 * 10 - 1) / 0.5 = 17 windows; 32 in two parts are 16 each.
        "  remedy: set training.micro_batch=16 (the same step of 32 windows in 2 parts), or auto; less memory is taken "
        "with training.gradient_checkpointing=true, training.amp=bf16, model.backbone.freeze=true or a smaller "
        "data.resize",
    ]
    assert memory.released == 2
    # The optimizer's moments are to come: 4 GiB more leave (9.5 - 5) / 0.5 = 9 windows, 4 parts of 8.
    error = too_many("", 32, batch=32, memory=memory, run=memory.run, still_to_come_bytes=4 * GIB)
    assert "training.micro_batch=8 " in str(error.remedy)


@pytest.mark.parametrize(
    ("limit_gib", "says"), [(1.6, "training.micro_batch=1 "), (1.2, "less memory is taken")]
)
def test_what_hardly_fits_or_does_not(limit_gib: float, says: str) -> None:
    memory = Memory(limit_gib)
    error = too_many("CUDA out of memory.", 4, batch=4, memory=memory, run=memory.run)
    assert str(error.remedy).startswith((says, f"set {says}"))


def test_no_parts_are_advised_where_a_batch_cannot_be_cut() -> None:
    memory = Memory()
    error = too_many("CUDA out of memory.", 32, batch=32, memory=memory, run=memory.run, in_parts=False)
    assert "take batches of" in str(error.remedy) and "set training.micro_batch" not in str(error.remedy)


def test_one_window_that_does_not_fit_is_not_halved() -> None:
    memory = Memory(1.2)
    error = too_many("CUDA out of memory.", 1, batch=1, memory=memory, run=memory.run)
    assert error.what == "1 window at once does not fit into memory: CUDA out of memory."
    assert "micro_batch" not in str(error.remedy)


def test_what_can_be_evaluated_is_measured_where_memory_is_counted() -> None:
    memory = Memory()
    error = too_many_to_predict(
        "full", 32, memory=memory, run=memory.run, set_windows="--batch-size {}".format
    )
    # (0.95 * 10 - 1) / 0.5 = 17 windows.
    assert error.remedy == "set --batch-size 17"
    assert "so 32 about 17.00 GiB of 10.00 GiB (full)" in error.what
