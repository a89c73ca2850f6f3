"""Batches one ahead: the order, what the loader raises, and what counts as waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch

from tests.training.conftest import MakeTrainer, batch_of, take_steps
from tracknet.datasets.batch import Batch
from tracknet.training.look_ahead import AsAsked, LookAhead, batches_on
from tracknet.utils.errors import RunError


class Moves:
    """Stands for the copies to a device, and writes down what happens."""

    def __init__(self, *, busy: bool = True) -> None:
        self.log: list[str] = []
        self._busy = busy

    def begin(self, batch: Batch) -> Batch:
        self.log.append(f"begin {len(batch)}")
        return batch

    def finish(self, batch: Batch) -> Batch:
        self.log.append(f"finish {len(batch)}")
        return batch

    def busy(self) -> Callable[[], bool]:
        return lambda: self._busy


def source(count: int, error: Exception | None = None) -> Iterator[Batch]:
    for number in range(1, count + 1):
        yield batch_of(number)
    if error is not None:
        raise error


def ahead_of(batches: Iterator[Batch], moves: Moves) -> LookAhead[Any]:
    return LookAhead(batches, moves.begin, moves.finish, busy=moves.busy)


def test_the_next_batch_moves_while_this_one_is_worked_on() -> None:
    moves = Moves()
    ahead = ahead_of(source(2), moves)
    for batch in ahead:
        moves.log.append(f"work {len(batch)}")
        ahead.advance()
        ahead.advance()
    assert moves.log == ["begin 1", "finish 1", "work 1", "begin 2", "finish 2", "work 2"]


def test_without_a_word_it_is_as_without_a_look_ahead() -> None:
    assert [len(batch) for batch in ahead_of(source(3), Moves())] == [1, 2, 3]
    assert [len(batch) for batch in AsAsked(source(3), torch.device("cpu"))] == [1, 2, 3]


def test_what_the_loader_raises_comes_when_that_batch_is_asked_for() -> None:
    ahead = ahead_of(source(1, RunError("train-000.tar: damaged")), Moves())
    assert len(next(ahead)) == 1
    assert ahead.advance() >= 0.0
    for _ in range(2):
        with pytest.raises(RunError, match="damaged"):
            next(ahead)


def test_waiting_counts_where_the_device_has_nothing_to_do() -> None:
    assert ahead_of(source(1), Moves(busy=True)).advance() == 0.0
    assert ahead_of(source(1), Moves(busy=False)).advance() > 0.0


def test_on_a_cpu_nothing_is_ahead() -> None:
    batches = batches_on(torch.device("cpu"), source(2), prefetch=True)
    assert isinstance(batches, AsAsked)
    assert batches.advance() == 0.0


def test_a_training_gives_it_time_once_a_batch(small_trainer: MakeTrainer) -> None:
    trainer = small_trainer("training.accumulate=2", "training.micro_batch=2")
    calls: list[float] = []
    trainer.learner.gradients.meanwhile = lambda: cast(float, calls.append(0.0) or 100.0)  # type: ignore[func-returns-value]
    steps = take_steps(trainer, 2)
    assert len(calls) == 4
    # What it says that the device was idle is waiting for data.
    assert all(200.0 < step.data_s < 201.0 for step in steps)


def test_copies_have_a_stream_of_their_own_and_kernels_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of calls, on streams that only write down what they are asked for: no GPU is needed."""
    log: list[str] = []
    done = {"work": False}

    class Event:
        def query(self) -> bool:
            return done["work"]

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = name if isinstance(name, str) else "copies"

        def record_event(self) -> Event:
            log.append(f"event on {self.name}")
            return Event()

        def wait_event(self, event: Event) -> None:
            log.append(f"{self.name} waits")

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        log.append(f"on {stream.name}")
        yield
        log.append(f"off {stream.name}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("kernels"))
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda self, stream: log.append(f"held for {stream.name}")
    )
    monkeypatch.setattr(Batch, "to", lambda self, device: log.append(f"copy to {device}") or self)
    ahead = batches_on(torch.device("cuda"), source(2), prefetch=True)
    assert len(next(ahead)) == 1
    copied = ["on copies", "copy to cuda", "event on copies", "off copies"]
    taken = ["kernels waits", *["held for kernels"] * 3]
    assert log == [*copied, *taken]
    log.clear()
    # The kernels of the first are still at work when the loader has answered: nobody waited.
    assert ahead.advance() == 0.0
    assert log == ["event on kernels", *copied]
    log.clear()
    assert len(next(ahead)) == 2
    assert log == taken
    done["work"] = True
    assert ahead.advance() > 0.0
    with pytest.raises(StopIteration):
        next(ahead)
