"""What Ctrl-C and SIGTERM do while something runs, and that they do afterwards what they did before."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

import pytest

from pipelines.workers import HeldInterrupts
from tracknet.training.stop import StopRequest
from tracknet.utils.signals import Interrupts, StopSignals

BOTH = (signal.SIGINT, signal.SIGTERM)
KINDS: list[Callable[[], StopSignals]] = [Interrupts, HeldInterrupts, lambda: StopRequest(print)]


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("make", KINDS)
def test_what_is_ignored_stays_ignored(number: signal.Signals, make: Callable[[], StopSignals]) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with make():
            assert signal.getsignal(number) is signal.SIG_IGN
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("make", KINDS)
def test_what_was_before_is_so_again(make: Callable[[], StopSignals]) -> None:
    before = [signal.getsignal(number) for number in BOTH]
    with make():
        assert all(signal.getsignal(number) not in before for number in BOTH)
    assert [signal.getsignal(number) for number in BOTH] == before


@pytest.mark.parametrize("make", KINDS)
def test_in_another_thread_nothing_is_changed(make: Callable[[], StopSignals]) -> None:
    seen: list[list[object]] = []

    def elsewhere() -> None:
        with make():
            seen.append([signal.getsignal(number) for number in BOTH])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [[signal.getsignal(number) for number in BOTH]]


@pytest.mark.parametrize("number", BOTH)
def test_an_interrupt_is_known_even_where_it_was_swallowed(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        assert not interrupts.came
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(number)
            pytest.fail("it is raised at once")
        assert interrupts.came
