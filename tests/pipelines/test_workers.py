"""Ctrl-C between two results, wherever it comes."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.workers import HeldInterrupts, Workers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_check_and_a_second_does_not(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    signal.signal(number, signal.default_int_handler)
    try:
        with HeldInterrupts() as interrupts:
            interrupts.check()
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            with pytest.raises(KeyboardInterrupt):
                interrupts.check()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
                time.sleep(1)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_no_lock_is_held_when_the_interrupt_comes() -> None:
    """Signals as fast as results: the pool ends, which it would not if the interrupt had come with a future's lock."""
    for _ in range(20):
        with ThreadPoolExecutor(2) as executor, HeldInterrupts() as interrupts:
            workers = Workers(executor, interrupts)
            timer = threading.Timer(0.004, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            futures = [workers.submit(time.sleep, 0.0001) for _ in range(300)]
            with pytest.raises(KeyboardInterrupt):
                for done in workers.results(futures):
                    done.result()
                timer.join()
                interrupts.check()
            assert all(future.done() or future.running() for future in futures)


def test_results_come_as_they_end_and_all_of_them() -> None:
    with ThreadPoolExecutor(2) as executor, HeldInterrupts() as interrupts:
        workers = Workers(executor, interrupts)
        first = threading.Event()

        def waits() -> str:
            assert first.wait(10)
            return "late"

        def opens() -> str:
            return "early"

        futures = [workers.submit(waits), workers.submit(opens)]
        seen = []
        for future in workers.results(futures):
            seen.append(future.result())
            first.set()
        assert seen == ["early", "late"]
